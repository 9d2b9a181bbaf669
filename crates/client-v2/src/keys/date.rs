//! The one date that the API has: when a key ends.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Reads an RFC 3339 date. `None` if it is none, or before 1970.
pub(super) fn parse(text: &str) -> Option<SystemTime> {
    let (date, time) = text.split_at_checked(10)?;
    let [year, month, day] = numbers(date, '-')?;
    let time = time.strip_prefix(['T', 't', ' '])?;
    let zone = time.find(['Z', 'z', '+', '-'])?;
    let (time, zone) = time.split_at(zone);
    let (time, fraction) = time.split_once('.').unwrap_or((time, ""));
    let [hour, minute, second] = numbers(time, ':')?;
    let in_range = (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    if !in_range || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let offset = match zone {
        "Z" | "z" => 0,
        zone => {
            let (sign, zone) = zone.split_at_checked(1)?;
            let [hours, minutes] = numbers(zone, ':')?;
            let seconds = hours * 3_600 + minutes * 60;
            if sign == "-" { -seconds } else { seconds }
        }
    };
    let seconds = days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second - offset;
    let nanos: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    UNIX_EPOCH.checked_add(Duration::new(seconds.try_into().ok()?, nanos.parse().ok()?))
}

fn numbers<const N: usize>(text: &str, separator: char) -> Option<[i64; N]> {
    let mut numbers = [0; N];
    let mut parts = text.split(separator);
    for number in &mut numbers {
        let part = parts.next()?;
        // Also keeps signs out.
        if part.len() > 4 || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(numbers)
}

/// Days from 1970-01-01 in the Gregorian calendar, with years that begin in March, so that a leap day is a year's last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let leap_days = year / 4 - year / 100 + year / 400;
    // 1970-01-01 is day 719468 after 0000-03-01.
    year * 365 + leap_days + (month * 153 + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Some((0, 0))),
            ("2015-04-01T16:26:17.2508397Z", Some((1_427_905_577, 250_839_700))),
            ("2016-02-29T23:59:59+01:00", Some((1_456_786_799, 0))),
            ("2000-03-01T00:00:00-00:30", Some((951_870_600, 0))),
            ("1969-12-31T23:59:59Z", None),
            ("2015-13-01T00:00:00Z", None),
            ("2015-04-01", None),
            ("2015-04-01T00:00Z", None),
            ("2015-04-01T00:00:00", None),
            ("+015-04-01T00:00:00Z", None),
            ("foobar", None),
            ("", None),
        ] {
            let expected =
                expected.map(|(seconds, nanos)| UNIX_EPOCH + Duration::new(seconds, nanos));
            assert_eq!(parse(text), expected, "{text}");
        }
    }
}
