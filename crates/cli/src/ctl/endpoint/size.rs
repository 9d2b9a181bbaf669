//! Sizes as people read them.

/// A number of bytes in the unit that suits it, with one decimal below ten: `33 kB`, `2.1 GB`.
pub(crate) fn shown(bytes: i64) -> String {
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let bytes = u64::try_from(bytes).unwrap_or(0);
    if bytes < 10 {
        return format!("{bytes} B");
    }
    let unit = (bytes.ilog10() / 3) as usize;
    // Tenths, rounded to the nearest; twelve digits more than 64 bits hold are enough for the largest unit.
    let scale = 10_u128.pow(3 * unit.min(UNITS.len() - 1) as u32);
    let tenths = (u128::from(bytes) * 10 + scale / 2) / scale;
    let unit = UNITS[unit.min(UNITS.len() - 1)];
    if tenths < 100 {
        format!("{}.{} {unit}", tenths / 10, tenths % 10)
    } else {
        // Halves go to the even number, as printing does it.
        let (whole, rest) = (tenths / 10, tenths % 10);
        let whole = whole + u128::from(rest > 5 || rest == 5 && whole % 2 == 1);
        format!("{whole} {unit}")
    }
}

/// How much of a database is free, in whole percents; what is in use is rounded down. Nothing of an empty one is.
pub(super) fn percentage_not_in_use(size: i64, in_use: i64) -> i64 {
    if size <= 0 {
        return 0;
    }
    100 - i64::try_from(i128::from(in_use) * 100 / i128::from(size)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (bytes, expected) in [
            (0, "0 B"),
            (9, "9 B"),
            (10, "10 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (20480, "20 kB"),
            (32768, "33 kB"),
            (45056, "45 kB"),
            (9949, "9.9 kB"),
            (2_147_483_648, "2.1 GB"),
            (26_886_144, "27 MB"),
            (i64::MAX, "9.2 EB"),
        ] {
            assert_eq!(shown(bytes), expected);
        }
    }

    /// The official tool divides by the size of the database, and so by zero.
    #[test]
    fn an_empty_database_has_a_percentage_too() {
        assert_eq!(percentage_not_in_use(45056, 28672), 37);
        assert_eq!(percentage_not_in_use(32768, 32768), 0);
        assert_eq!(percentage_not_in_use(0, 0), 0);
    }
}
