//! Integers that begin within a byte (RFC 7541, section 5.1).

use bytes::{BufMut, BytesMut};

use super::DecodeError;

/// How many bytes may follow the first one. Four tell lengths of up to 256 MiB, more than any block holds.
const MAX_FURTHER: u32 = 4;

/// Takes an integer off the input, of which the first byte has `prefix` bits for it.
pub(super) fn read(input: &mut &[u8], prefix: u32) -> Result<usize, DecodeError> {
    let mut next = || {
        let (&byte, rest) = input.split_first().ok_or(DecodeError::UnexpectedEnd)?;
        *input = rest;
        Ok(byte)
    };
    let mask = (1 << prefix) - 1;
    let mut value = usize::from(next()? & mask);
    if value < usize::from(mask) {
        return Ok(value);
    }
    for place in 0..MAX_FURTHER {
        let byte = next()?;
        value += usize::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(DecodeError::IntegerTooLarge)
}

/// Appends an integer whose first byte has `prefix` bits for it, below those of `first`.
pub(super) fn write(mut value: usize, prefix: u32, first: u8, out: &mut BytesMut) {
    let mask = (1 << prefix) - 1;
    if value < usize::from(mask) {
        out.put_u8(first | value as u8);
        return;
    }
    out.put_u8(first | mask);
    value -= usize::from(mask);
    while value >= 0x80 {
        out.put_u8(0x80 | (value & 0x7f) as u8);
        value >>= 7;
    }
    out.put_u8(value as u8);
}
