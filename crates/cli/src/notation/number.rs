//! Numbers and truth values.

use super::quote::quote;

/// Reads a whole number of so many bits: decimal, or with a prefix `0x`, `0o`, `0b` or `0`.
pub(crate) fn read_int(text: &[u8], bits: u32) -> Result<i64, String> {
    let failed = |why: &str| failure("ParseInt", text, why);
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let magnitude = i128::from(magnitude(digits).map_err(|why| failed(why.text()))?);
    let number = if negative { -magnitude } else { magnitude };
    let limit = 1_i128 << (bits - 1);
    if number < -limit || number >= limit {
        return Err(failed(Unreadable::Range.text()));
    }
    i64::try_from(number).map_err(|_| failed(Unreadable::Range.text()))
}

/// Reads a number without a sign, as [`read_int`] does.
pub(crate) fn read_uint(text: &[u8], bits: u32) -> Result<u64, String> {
    let failed = |why: Unreadable| failure("ParseUint", text, why.text());
    let number = magnitude(text).map_err(failed)?;
    if bits < 64 && number >> bits != 0 {
        return Err(failed(Unreadable::Range));
    }
    Ok(number)
}

/// Reads digits in a given base and nothing else around them, as ids are written.
pub(crate) fn read_in_base(text: &[u8], base: u32) -> Result<i64, String> {
    let failed = |why: Unreadable| failure("ParseInt", text, why.text());
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let magnitude = i128::from(digits_in(digits, base).map_err(failed)?);
    i64::try_from(if negative { -magnitude } else { magnitude })
        .map_err(|_| failed(Unreadable::Range))
}

/// The same without a sign.
pub(crate) fn read_uint_in_base(text: &[u8], base: u32) -> Result<u64, String> {
    digits_in(text, base).map_err(|why| failure("ParseUint", text, why.text()))
}

/// Reads `true`, `1`, `F` and the like.
pub(crate) fn read_bool(text: &[u8]) -> Result<bool, String> {
    match text {
        b"1" | b"t" | b"T" | b"true" | b"TRUE" | b"True" => Ok(true),
        b"0" | b"f" | b"F" | b"false" | b"FALSE" | b"False" => Ok(false),
        _ => Err(failure("ParseBool", text, Unreadable::Syntax.text())),
    }
}

/// What is wrong with a number.
#[derive(Clone, Copy)]
enum Unreadable {
    Syntax,
    Range,
}

impl Unreadable {
    const fn text(self) -> &'static str {
        match self {
            Self::Syntax => "invalid syntax",
            Self::Range => "value out of range",
        }
    }
}

fn failure(function: &str, text: &[u8], why: &str) -> String {
    format!("strconv.{function}: parsing {}: {why}", quote(text))
}

/// The digits behind a sign, in the base that their prefix names. Underscores may stand between digits, and between
/// prefix and digits.
fn magnitude(text: &[u8]) -> Result<u64, Unreadable> {
    let (base, prefixed, digits) = match text {
        [b'0', b'x' | b'X', digits @ ..] => (16, true, digits),
        [b'0', b'o' | b'O', digits @ ..] => (8, true, digits),
        [b'0', b'b' | b'B', digits @ ..] => (2, true, digits),
        [b'0', digits @ ..] if !digits.is_empty() => (8, true, digits),
        digits => (10, false, digits),
    };
    let underscores_fit = digits.last() != Some(&b'_')
        && (prefixed || digits.first() != Some(&b'_'))
        && !digits.windows(2).any(|pair| pair == b"__");
    if !underscores_fit {
        return Err(Unreadable::Syntax);
    }
    let digits: Vec<u8> = digits.iter().copied().filter(|&byte| byte != b'_').collect();
    digits_in(&digits, base)
}

fn digits_in(digits: &[u8], base: u32) -> Result<u64, Unreadable> {
    if digits.is_empty() {
        return Err(Unreadable::Syntax);
    }
    let mut number = Some(0_u64);
    for &byte in digits {
        let digit = char::from(byte).to_digit(base).ok_or(Unreadable::Syntax)?;
        number = number
            .and_then(|number| number.checked_mul(u64::from(base)))
            .and_then(|number| number.checked_add(u64::from(digit)));
    }
    number.ok_or(Unreadable::Range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for (text, expected) in [
            ("0", Ok(0)),
            ("-12", Ok(-12)),
            ("+7", Ok(7)),
            ("0x1f", Ok(31)),
            ("-0b101", Ok(-5)),
            ("017", Ok(15)),
            ("0o17", Ok(15)),
            ("1_000", Ok(1000)),
            ("0x_f", Ok(15)),
            ("9223372036854775807", Ok(i64::MAX)),
            ("-9223372036854775808", Ok(i64::MIN)),
            ("9223372036854775808", Err("value out of range")),
            ("99999999999999999999", Err("value out of range")),
            ("", Err("invalid syntax")),
            ("-", Err("invalid syntax")),
            ("1.5", Err("invalid syntax")),
            ("08", Err("invalid syntax")),
            ("1__0", Err("invalid syntax")),
            ("_1", Err("invalid syntax")),
            ("1_", Err("invalid syntax")),
            ("0x", Err("invalid syntax")),
        ] {
            let expected =
                expected.map_err(|why| format!("strconv.ParseInt: parsing \"{text}\": {why}"));
            assert_eq!(read_int(text.as_bytes(), 64), expected, "{text}");
        }
        assert!(read_int(b"2147483648", 32).is_err());
        assert_eq!(read_uint(b"18446744073709551615", 64), Ok(u64::MAX));
        assert!(read_uint(b"-1", 64).is_err());
        assert_eq!(read_in_base(b"7fffffffffffffff", 16), Ok(i64::MAX));
        assert!(read_in_base(b"0x1", 16).is_err());
    }

    #[test]
    fn truth() {
        assert_eq!(read_bool(b"T"), Ok(true));
        assert_eq!(read_bool(b"0"), Ok(false));
        assert_eq!(
            read_bool(b"yes"),
            Err("strconv.ParseBool: parsing \"yes\": invalid syntax".to_owned())
        );
    }
}
