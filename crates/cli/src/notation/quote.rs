//! Quoted strings: `"a\n\xff"`.

use std::fmt::Write as _;

/// The bytes between double quotes, with escapes for what can't be printed.
pub(crate) fn quote(bytes: &[u8]) -> String {
    let mut quoted = String::with_capacity(bytes.len() + 2);
    quoted.push('"');
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            escape(character, '"', &mut quoted);
        }
        for byte in chunk.invalid() {
            let _ = write!(quoted, "\\x{byte:02x}");
        }
    }
    quoted.push('"');
    quoted
}

/// The byte as a character between single quotes.
pub(crate) fn quote_char(byte: u8) -> String {
    let mut quoted = String::from("'");
    escape(char::from(byte), '\'', &mut quoted);
    quoted.push('\'');
    quoted
}

fn escape(character: char, delimiter: char, into: &mut String) {
    match character {
        '\\' => into.push_str("\\\\"),
        _ if character == delimiter => into.extend(['\\', delimiter]),
        '\x07' => into.push_str("\\a"),
        '\x08' => into.push_str("\\b"),
        '\x0c' => into.push_str("\\f"),
        '\n' => into.push_str("\\n"),
        '\r' => into.push_str("\\r"),
        '\t' => into.push_str("\\t"),
        '\x0b' => into.push_str("\\v"),
        _ if is_printable(character) => into.push(character),
        '\0'..='\x7f' => {
            let _ = write!(into, "\\x{:02x}", u32::from(character));
        }
        '\u{80}'..='\u{ffff}' => {
            let _ = write!(into, "\\u{:04x}", u32::from(character));
        }
        _ => {
            let _ = write!(into, "\\U{:08x}", u32::from(character));
        }
    }
}

/// Whether a character shows as itself. The standard library knows, and escapes a combining mark only where there is
/// nothing to combine with.
fn is_printable(character: char) -> bool {
    let mut text = [b'a'; 5];
    let length = character.encode_utf8(&mut text[1..]).len();
    let text = std::str::from_utf8(&text[..=length]).unwrap_or_default();
    text.escape_debug().count() == 2 || matches!(character, '\'' | '"')
}

/// The bytes that a quoted string stands for, if it is one and nothing follows it. Double quotes with escapes, or
/// backquotes without.
pub(crate) fn unquote(text: &[u8]) -> Option<Vec<u8>> {
    let (bytes, rest) = unquote_prefix(text)?;
    rest.is_empty().then_some(bytes)
}

/// The bytes that the quoted string at the beginning of `text` stands for, and what follows it.
pub(crate) fn unquote_prefix(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let (&delimiter, mut rest) = text.split_first()?;
    let mut bytes = Vec::new();
    match delimiter {
        b'`' => {
            let end = rest.iter().position(|&byte| byte == b'`')?;
            bytes.extend(rest[..end].iter().filter(|&&byte| byte != b'\r'));
            Some((bytes, &rest[end + 1..]))
        }
        b'"' => loop {
            match rest {
                [b'"', behind @ ..] => return Some((bytes, behind)),
                [b'\\', escaped @ ..] => rest = unescape(escaped, &mut bytes)?,
                [b'\n', ..] | [] => return None,
                [byte, behind @ ..] => {
                    bytes.push(*byte);
                    rest = behind;
                }
            }
        },
        _ => None,
    }
}

/// Reads what follows a backslash, and returns what follows that.
fn unescape<'t>(text: &'t [u8], into: &mut Vec<u8>) -> Option<&'t [u8]> {
    let (&letter, rest) = text.split_first()?;
    let simple = match letter {
        b'a' => 0x07,
        b'b' => 0x08,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 0x0b,
        b'\\' | b'"' => letter,
        b'x' => {
            let number = digits(rest.get(..2)?, 16)?;
            into.push(u8::try_from(number).ok()?);
            return Some(&rest[2..]);
        }
        b'0'..=b'7' => {
            let number = digits(text.get(..3)?, 8)?;
            into.push(u8::try_from(number).ok()?);
            return Some(&text[3..]);
        }
        b'u' | b'U' => {
            let length = if letter == b'u' { 4 } else { 8 };
            let character = char::from_u32(digits(rest.get(..length)?, 16)?)?;
            into.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            return Some(&rest[length..]);
        }
        _ => return None,
    };
    into.push(simple);
    Some(rest)
}

fn digits(text: &[u8], base: u32) -> Option<u32> {
    text.iter().try_fold(0_u32, |number, &byte| {
        number.checked_mul(base)?.checked_add(char::from(byte).to_digit(base)?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_and_back() {
        for (bytes, expected) in [
            (&b""[..], r#""""#),
            (b"a b", r#""a b""#),
            (b"a\"b\\c'd", r#""a\"b\\c'd""#),
            (b"\x07\x08\x0c\n\r\t\x0b\0\x1f\x7f", r#""\a\b\f\n\r\t\v\x00\x1f\x7f""#),
            (b"\xff\xc3", r#""\xff\xc3""#),
            ("é世e\u{301}\u{301}".as_bytes(), "\"é世e\u{301}\u{301}\""),
            ("\u{a0}\u{200b}\u{e000}\u{10ffff}".as_bytes(), r#""\u00a0\u200b\ue000\U0010ffff""#),
        ] {
            assert_eq!(quote(bytes), expected);
            assert_eq!(unquote(expected.as_bytes()).as_deref(), Some(bytes));
        }
        assert_eq!(quote_char(b'\''), r"'\''");
        assert_eq!(quote_char(b'"'), "'\"'");
    }

    #[test]
    fn unquoted() {
        assert_eq!(unquote(br#""\101\x42\u0043""#).as_deref(), Some(&b"ABC"[..]));
        assert_eq!(unquote(b"`a\\n`").as_deref(), Some(&b"a\\n"[..]));
        assert_eq!(unquote_prefix(b"\"a\" b"), Some((b"a".to_vec(), &b" b"[..])));
        for text in
            ["", "a", "\"", "\"a", "\"\\", "\"\\q\"", "\"\\x4\"", "\"\\400\"", "\"\\ud800\"", "'a'"]
        {
            assert_eq!(unquote(text.as_bytes()), None, "{text}");
        }
    }
}
