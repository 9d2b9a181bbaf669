//! Durations: `1h2m3.5s`.

/// Nanoseconds of each unit, the largest first.
const UNITS: [(&str, u64); 8] = [
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ns", 1),
];

/// Reads a duration in nanoseconds, or says why it is none.
pub(crate) fn read(text: &[u8]) -> Result<i64, String> {
    let invalid = || format!("time: invalid duration {}", quoted(text));
    let (negative, mut rest) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    if rest == b"0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total = 0_u64;
    while !rest.is_empty() {
        let digits = |bytes: &[u8]| bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let whole = digits(rest);
        let (number, behind) = rest.split_at(whole);
        let (fraction, behind) = match behind {
            [b'.', behind @ ..] => behind.split_at(digits(behind)),
            _ => (&[][..], behind),
        };
        if number.is_empty() && fraction.is_empty() {
            return Err(invalid());
        }
        let end = behind.iter().take_while(|&&byte| byte != b'.' && !byte.is_ascii_digit()).count();
        let (unit, behind) = behind.split_at(end);
        if unit.is_empty() {
            return Err(format!("time: missing unit in duration {}", quoted(text)));
        }
        let scale = UNITS
            .iter()
            .find(|(name, _)| name.as_bytes() == unit)
            .map(|(_, nanos)| *nanos)
            .ok_or_else(|| {
                format!("time: unknown unit {} in duration {}", quoted(unit), quoted(text))
            })?;
        let mut nanos = number
            .iter()
            .try_fold(0_u64, |sum, byte| sum.checked_mul(10)?.checked_add(u64::from(byte - b'0')))
            .and_then(|number| number.checked_mul(scale))
            .ok_or_else(invalid)?;
        let mut weight = scale;
        for byte in fraction {
            weight /= 10;
            nanos = nanos.checked_add(weight * u64::from(byte - b'0')).ok_or_else(invalid)?;
        }
        total = total.checked_add(nanos).ok_or_else(invalid)?;
        rest = behind;
    }
    let total = i128::from(total);
    i64::try_from(if negative { -total } else { total }).map_err(|_| invalid())
}

/// Writes a duration in nanoseconds: `1h0m0s`, `1.5s`, `100ms`.
pub(crate) fn write(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let nanos = nanos.unsigned_abs();
    let (unit, scale) = match nanos {
        0 => return "0s".to_owned(),
        1..1_000 => ("ns", 1),
        1_000..1_000_000 => ("µs", 1_000),
        1_000_000..1_000_000_000 => ("ms", 1_000_000),
        _ => {
            let minutes = nanos / 60_000_000_000;
            let seconds = decimal(nanos % 60_000_000_000, 1_000_000_000);
            return match (minutes / 60, minutes % 60) {
                (0, 0) => format!("{sign}{seconds}s"),
                (0, minutes) => format!("{sign}{minutes}m{seconds}s"),
                (hours, minutes) => format!("{sign}{hours}h{minutes}m{seconds}s"),
            };
        }
    };
    format!("{sign}{}{unit}", decimal(nanos, scale))
}

/// `nanos / scale` with as many decimals as it takes.
fn decimal(nanos: u64, scale: u64) -> String {
    let fraction = nanos % scale;
    if fraction == 0 {
        return (nanos / scale).to_string();
    }
    let width = scale.ilog10() as usize;
    let digits = format!("{fraction:0width$}");
    format!("{}.{}", nanos / scale, digits.trim_end_matches('0'))
}

fn quoted(text: &[u8]) -> String {
    let mut quoted = String::from("\"");
    for &byte in text {
        match byte {
            b'"' | b'\\' => quoted.extend(['\\', char::from(byte)]),
            b' '..=b'~' => quoted.push(char::from(byte)),
            _ => quoted.push_str(&format!("\\x{byte:02x}")),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_and_written() {
        for (text, nanos, written) in [
            ("0", 0, "0s"),
            ("5s", 5_000_000_000, "5s"),
            ("1.5s", 1_500_000_000, "1.5s"),
            ("-2m", -120_000_000_000, "-2m0s"),
            ("1h", 3_600_000_000_000, "1h0m0s"),
            ("1h2m3.004s", 3_723_004_000_000, "1h2m3.004s"),
            ("100ms", 100_000_000, "100ms"),
            ("1.25ms", 1_250_000, "1.25ms"),
            ("12us", 12_000, "12µs"),
            ("12µs", 12_000, "12µs"),
            (".5ns1ns", 1, "1ns"),
            ("90s", 90_000_000_000, "1m30s"),
        ] {
            assert_eq!(read(text.as_bytes()), Ok(nanos), "{text}");
            assert_eq!(write(nanos), written);
        }
    }

    #[test]
    fn refused() {
        for (text, why) in [
            ("", "time: invalid duration \"\""),
            ("x", "time: invalid duration \"x\""),
            ("5", "time: missing unit in duration \"5\""),
            ("5y", "time: unknown unit \"y\" in duration \"5y\""),
            (".s", "time: invalid duration \".s\""),
            ("99999999999h", "time: invalid duration \"99999999999h\""),
        ] {
            assert_eq!(read(text.as_bytes()), Err(why.to_owned()));
        }
    }
}
