//! Strings in Huffman's code (RFC 7541, section 5.2 and appendix B), read only: what this end sends is sent plain.
//!
//! The code is canonical: codes of one length are consecutive in the order of their symbols, and shorter ones come before
//! longer ones. So the lengths tell all codes.

use super::DecodeError;

/// The length of the code of each byte, in bits; at last that of the end of the string, which never occurs whole.
pub(super) const LENGTHS: [u8; SYMBOLS] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, //
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28, //
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, //
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, //
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, //
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, //
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, //
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, //
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, //
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, //
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, //
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, //
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, //
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, //
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, //
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, //
    30,
];

const SYMBOLS: usize = 257;
const END: u16 = 256;
const LONGEST: usize = 30;
/// Codes of up to this many bits are looked up at once; they are those of letters, digits and usual punctuation.
const SHORT: u32 = 8;

/// The codes of one length.
#[derive(Clone, Copy)]
struct Group {
    /// The first one.
    first: u32,
    /// Above the last one, with zeros behind it up to 32 bits.
    limit: u64,
    /// Where the symbol of the first one stands in [`SORTED`].
    symbols: usize,
}

/// By length.
static GROUPS: [Group; LONGEST + 1] = groups();
/// The symbols in the order of their codes.
static SORTED: [u16; SYMBOLS] = sorted();
/// By the next eight bits: the symbol and the length of a short code, or length 0 if it is a longer one.
static FAST: [(u8, u8); 1 << SHORT] = fast();

const fn sorted() -> [u16; SYMBOLS] {
    let mut sorted = [0; SYMBOLS];
    let (mut length, mut filled) = (1, 0);
    while length <= LONGEST {
        let mut symbol = 0;
        while symbol < SYMBOLS {
            if LENGTHS[symbol] as usize == length {
                sorted[filled] = symbol as u16;
                filled += 1;
            }
            symbol += 1;
        }
        length += 1;
    }
    sorted
}

const fn groups() -> [Group; LONGEST + 1] {
    let mut groups = [Group { first: 0, limit: 0, symbols: 0 }; LONGEST + 1];
    let (sorted, mut code, mut symbols, mut length) = (sorted(), 0, 0, 1);
    while length <= LONGEST {
        code <<= 1;
        groups[length].first = code;
        groups[length].symbols = symbols;
        while symbols < SYMBOLS && LENGTHS[sorted[symbols] as usize] as usize == length {
            code += 1;
            symbols += 1;
        }
        groups[length].limit = (code as u64) << (32 - length);
        length += 1;
    }
    groups
}

const fn fast() -> [(u8, u8); 1 << SHORT] {
    let mut fast = [(0, 0); 1 << SHORT];
    let (sorted, mut symbols, mut filled) = (sorted(), 0, 0);
    while LENGTHS[sorted[symbols] as usize] as u32 <= SHORT {
        let length = LENGTHS[sorted[symbols] as usize];
        let mut same = 0;
        while same < 1 << (SHORT - length as u32) {
            fast[filled] = (sorted[symbols] as u8, length);
            filled += 1;
            same += 1;
        }
        symbols += 1;
    }
    fast
}

/// Appends the text that the input is the code of: at most 8 bytes for each 5 of the input.
pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let mut rest = input.iter();
    // What was taken from the input and not yet decoded: `held` bits from the top on, and zeros behind them.
    let (mut bits, mut held) = (0_u64, 0_u32);
    loop {
        while held <= u64::BITS - 8 {
            let Some(&byte) = rest.next() else { break };
            bits |= u64::from(byte) << (u64::BITS - 8 - held);
            held += 8;
        }
        if held == 0 {
            return Ok(());
        }
        let (symbol, length) = match FAST[(bits >> (u64::BITS - SHORT)) as usize] {
            (_, 0) => long(bits),
            (symbol, length) => (u16::from(symbol), u32::from(length)),
        };
        if length > held {
            // The last byte is filled up with ones, the start of the code of the end.
            let padding = held < 8 && bits >> (u64::BITS - held) == (1 << held) - 1;
            return if padding { Ok(()) } else { Err(DecodeError::InvalidHuffman) };
        }
        if symbol == END {
            return Err(DecodeError::InvalidHuffman);
        }
        out.push(symbol as u8);
        bits <<= length;
        held -= length;
    }
}

/// The symbol and the length of a code that is longer than [`SHORT`].
#[cold]
fn long(bits: u64) -> (u16, u32) {
    let next = bits >> 32;
    let mut length = SHORT as usize + 1;
    // The last limit is 2^32, above whatever stands in 32 bits.
    while next >= GROUPS[length].limit {
        length += 1;
    }
    let group = &GROUPS[length];
    let nth = (next >> (32 - length)) as usize - group.first as usize;
    (SORTED[group.symbols + nth], length as u32)
}
