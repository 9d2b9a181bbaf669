//! Frames: a length of eight bytes, a record, and zeros up to a multiple of eight.
//!
//! The length's lowest 56 bits count the record's bytes; if there is padding, the highest byte is 0x80 plus the number
//! of padding bytes. A length of zero is no record but the end of the log.

/// Bytes of the length.
pub(super) const LENGTH: usize = 8;

const LENGTH_BITS: u32 = 56;

/// What a length says: bytes of the record, and of the padding behind it.
pub(super) fn parse(length: [u8; LENGTH]) -> (u64, u64) {
    let field = u64::from_le_bytes(length);
    let record = field & ((1 << LENGTH_BITS) - 1);
    let top = field >> LENGTH_BITS;
    let padding = if top & 0x80 == 0 { 0 } else { top & 0x7 };
    (record, padding)
}

/// The length of a record, and how many zeros follow it.
pub(super) fn encode(record: usize) -> ([u8; LENGTH], usize) {
    let padding = record.wrapping_neg() % 8;
    let mut field = record as u64;
    if padding > 0 {
        field |= (0x80 | padding as u64) << LENGTH_BITS;
    }
    (field.to_le_bytes(), padding)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths() {
        let check = |record: usize, expected: u64| {
            let (length, padding) = encode(record);
            assert_eq!(u64::from_le_bytes(length), expected, "{record}");
            assert_eq!((record + padding) % 8, 0, "{record}");
            assert_eq!(parse(length), (record as u64, padding as u64), "{record}");
        };
        check(4, 0x8400_0000_0000_0004);
        check(32, 32);
        check(14, 0x8200_0000_0000_000e);
        check(25, 0x8700_0000_0000_0019);
    }
}
