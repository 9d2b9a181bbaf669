//! As much HPACK (RFC 7541) as it takes to read the `:path` of a request.
//!
//! The dynamic table must be kept exactly, or later blocks mean something else; but of its entries only
//! the sizes matter, and the text of those that are a path.

use std::collections::VecDeque;
use std::fmt;
use std::sync::LazyLock;

/// The table size that a peer may use when we announce none.
const TABLE_CAPACITY: usize = 4096;
/// What RFC 7541 section 4.1 adds to the length of each entry.
const ENTRY_OVERHEAD: usize = 32;
/// Names in the static table by length, to know the size of an entry that borrows its name.
const STATIC_NAME_LENGTHS: [usize; 61] = [
    10, 7, 7, 5, 5, 7, 7, 7, 7, 7, 7, 7, 7, 7, 14, 15, 15, 13, 6, 27, 3, 5, 13, 13, 19, 16, 16, 14,
    16, 13, 12, 6, 4, 4, 6, 7, 4, 4, 8, 17, 13, 8, 19, 13, 4, 8, 12, 18, 19, 5, 7, 7, 11, 6, 10,
    25, 17, 10, 4, 3, 16,
];
const PATH: &[u8] = b":path";

/// Why a header block cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed(&'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "malformed header block: {}", self.0)
    }
}

impl std::error::Error for Malformed {}

/// What reading a block did to the decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing: the same bytes will mean the same again, until a block changes the table.
    None,
    /// The dynamic table changed.
    TableChanged,
}

#[derive(Debug)]
struct Entry {
    name_len: usize,
    value_len: usize,
    /// The value, if this is a path.
    path: Option<Box<[u8]>>,
}

impl Entry {
    fn size(&self) -> usize {
        self.name_len + self.value_len + ENTRY_OVERHEAD
    }
}

/// The name of a field: all that matters of it.
#[derive(Debug, Clone, Copy)]
struct Name {
    len: usize,
    is_path: bool,
}

/// The decoding side of one connection.
#[derive(Debug)]
pub struct Decoder {
    /// Newest first, as the indices run.
    entries: VecDeque<Entry>,
    size: usize,
    capacity: usize,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// A decoder with an empty table of the default capacity.
    #[must_use]
    pub fn new() -> Self {
        Self { entries: VecDeque::new(), size: 0, capacity: TABLE_CAPACITY }
    }

    /// Reads one whole block and leaves its path, if it has one, in `path`.
    ///
    /// # Errors
    /// The block breaks the format; the connection cannot go on.
    pub fn read(&mut self, block: &[u8], path: &mut Vec<u8>) -> Result<Effect, Malformed> {
        path.clear();
        let mut effect = Effect::None;
        let mut input = Input(block);
        while let Some(&first) = input.0.first() {
            match first {
                0x80.. => self.indexed(input.integer(7)?, path)?,
                0x40.. => {
                    self.literal(&mut input, 6, true, path)?;
                    effect = Effect::TableChanged;
                }
                0x20.. => {
                    let capacity = input.integer(5)?;
                    if capacity > TABLE_CAPACITY {
                        return Err(Malformed("the table grows beyond what was allowed"));
                    }
                    self.capacity = capacity;
                    self.evict(0);
                    effect = Effect::TableChanged;
                }
                _ => self.literal(&mut input, 4, false, path)?,
            }
        }
        Ok(effect)
    }

    fn indexed(&self, index: usize, path: &mut Vec<u8>) -> Result<(), Malformed> {
        match index {
            0 => return Err(Malformed("index 0")),
            4 => path.extend_from_slice(b"/"),
            5 => path.extend_from_slice(b"/index.html"),
            1..=61 => {}
            _ => {
                if let Some(value) = &self.dynamic(index)?.path {
                    path.extend_from_slice(value);
                }
            }
        }
        Ok(())
    }

    fn dynamic(&self, index: usize) -> Result<&Entry, Malformed> {
        let position = index.checked_sub(STATIC_NAME_LENGTHS.len() + 1);
        position
            .and_then(|position| self.entries.get(position))
            .ok_or(Malformed("no such table entry"))
    }

    fn literal(
        &mut self,
        input: &mut Input<'_>,
        prefix: u32,
        keep: bool,
        path: &mut Vec<u8>,
    ) -> Result<(), Malformed> {
        let name = match input.integer(prefix)? {
            0 => {
                let name = input.string()?.decode()?;
                Name { len: name.len(), is_path: name == PATH }
            }
            index => match STATIC_NAME_LENGTHS.get(index - 1) {
                Some(&len) => Name { len, is_path: matches!(index, 4 | 5) },
                None => {
                    let entry = self.dynamic(index)?;
                    Name { len: entry.name_len, is_path: entry.path.is_some() }
                }
            },
        };
        let value = input.string()?;
        if !keep && !name.is_path {
            return Ok(());
        }
        let value = value.decode()?;
        if name.is_path {
            path.extend_from_slice(&value);
        }
        if keep {
            let value_len = value.len();
            let path = name.is_path.then(|| value.into_boxed_slice());
            self.insert(Entry { name_len: name.len, value_len, path });
        }
        Ok(())
    }

    fn insert(&mut self, entry: Entry) {
        self.evict(entry.size());
        if entry.size() <= self.capacity {
            self.size += entry.size();
            self.entries.push_front(entry);
        }
    }

    /// Drops the oldest entries until `coming` bytes fit in.
    fn evict(&mut self, coming: usize) {
        while self.size + coming > self.capacity
            && let Some(oldest) = self.entries.pop_back()
        {
            self.size -= oldest.size();
        }
    }
}

/// The rest of a block.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> Result<u8, Malformed> {
        let (&byte, rest) = self.0.split_first().ok_or(Malformed("it ends too early"))?;
        self.0 = rest;
        Ok(byte)
    }

    /// RFC 7541 section 5.1.
    fn integer(&mut self, prefix: u32) -> Result<usize, Malformed> {
        let mask = (1usize << prefix) - 1;
        let mut value = usize::from(self.byte()?) & mask;
        if value < mask {
            return Ok(value);
        }
        // Four more bytes reach 2^28, beyond any length that fits into a frame.
        for shift in [0, 7, 14, 21] {
            let byte = usize::from(self.byte()?);
            value += (byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed("an integer is too large"))
    }

    /// RFC 7541 section 5.2.
    fn string(&mut self) -> Result<Text<'a>, Malformed> {
        let huffman = self.0.first().is_some_and(|first| first & 0x80 != 0);
        let len = self.integer(7)?;
        let (bytes, rest) =
            self.0.split_at_checked(len).ok_or(Malformed("a string is longer than its block"))?;
        self.0 = rest;
        Ok(Text { huffman, bytes })
    }
}

/// A string as it came over the wire.
struct Text<'a> {
    huffman: bool,
    bytes: &'a [u8],
}

impl Text<'_> {
    fn decode(&self) -> Result<Vec<u8>, Malformed> {
        if self.huffman { HUFFMAN.decode(self.bytes) } else { Ok(self.bytes.to_vec()) }
    }
}

/// The symbols of each code length (RFC 7541 appendix B), in the order of their codes. The code is
/// canonical: codes count upwards through the lengths, so lengths are all there is to know.
const CODE: [(u32, &[u8]); 20] = [
    (5, b"012aceiost"),
    (6, b" %-./3456789=A_bdfghlmnpru"),
    (7, b":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz"),
    (8, b"&*,;XZ"),
    (10, b"!\"()?"),
    (11, b"'+|"),
    (12, b"#>"),
    (13, b"\0$@[]~"),
    (14, b"^}"),
    (15, b"<`{"),
    (19, b"\\\xc3\xd0"),
    (20, b"\x80\x82\x83\xa2\xb8\xc2\xe0\xe2"),
    (21, b"\x99\xa1\xa7\xac\xb0\xb1\xb3\xd1\xd8\xd9\xe3\xe5\xe6"),
    (
        22,
        b"\x81\x84\x85\x86\x88\x92\x9a\x9c\xa0\xa3\xa4\xa9\xaa\xad\xb2\xb5\xb9\xba\xbb\xbd\xbe\xc4\
          \xc6\xe4\xe8\xe9",
    ),
    (
        23,
        b"\x01\x87\x89\x8a\x8b\x8c\x8d\x8f\x93\x95\x96\x97\x98\x9b\x9d\x9e\xa5\xa6\xa8\xae\xaf\xb4\
          \xb6\xb7\xbc\xbf\xc5\xe7\xef",
    ),
    (24, b"\x09\x8e\x90\x91\x94\x9f\xab\xce\xd7\xe1\xec\xed"),
    (25, b"\xc7\xcf\xea\xeb"),
    (26, b"\xc0\xc1\xc8\xc9\xca\xcd\xd2\xd5\xda\xdb\xee\xf0\xf2\xf3\xff"),
    (27, b"\xcb\xcc\xd3\xd4\xd6\xdd\xde\xdf\xf1\xf4\xf5\xf6\xf7\xf8\xfa\xfb\xfc\xfd\xfe"),
    (
        28,
        b"\x02\x03\x04\x05\x06\x07\x08\x0b\x0c\x0e\x0f\x10\x11\x12\x13\x14\x15\x17\x18\x19\x1a\x1b\
          \x1c\x1d\x1e\x1f\x7f\xdc\xf9",
    ),
];
/// Three symbols of 30 bits, and the end of string, which may only appear as padding.
const LONGEST: (u32, &[u8]) = (30, b"\x0a\x0d\x16");

static HUFFMAN: LazyLock<Huffman> = LazyLock::new(Huffman::new);

/// A canonical code, searched length by length: header strings are few and short here.
#[derive(Debug)]
struct Huffman {
    /// For each length: its first code and its symbols.
    lengths: Vec<(u32, u32, &'static [u8])>,
}

impl Huffman {
    fn new() -> Self {
        let mut lengths = Vec::with_capacity(CODE.len() + 1);
        let (mut code, mut previous) = (0u32, 0);
        for (bits, symbols) in CODE.into_iter().chain([LONGEST]) {
            code <<= bits - previous;
            lengths.push((bits, code, symbols));
            code += symbols.len() as u32;
            previous = bits;
        }
        Self { lengths }
    }

    fn decode(&self, bytes: &[u8]) -> Result<Vec<u8>, Malformed> {
        let mut text = Vec::with_capacity(bytes.len() * 8 / 5);
        let (mut code, mut bits) = (0u32, 0u32);
        let mut lengths = self.lengths.iter();
        for byte in bytes {
            for shift in (0..8).rev() {
                code = code << 1 | u32::from(byte >> shift & 1);
                bits += 1;
                let Some(&(length, first, symbols)) = lengths.as_slice().first() else {
                    return Err(Malformed("a code that does not exist"));
                };
                if bits < length {
                    continue;
                }
                // Lengths without symbols are not listed: `bits == length` here.
                lengths.next();
                let position = code.checked_sub(first).and_then(|at| usize::try_from(at).ok());
                if let Some(&symbol) = position.and_then(|at| symbols.get(at)) {
                    text.push(symbol);
                    (code, bits) = (0, 0);
                    lengths = self.lengths.iter();
                }
            }
        }
        // Padding is less than a byte of ones: the beginning of the end of string.
        if bits < 8 && code == (1 << bits) - 1 { Ok(text) } else { Err(Malformed("bad padding")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u32> = hex.chars().filter_map(|digit| digit.to_digit(16)).collect();
        digits.chunks(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect()
    }

    #[test]
    fn the_code_is_complete() {
        let mut seen = [0; 256];
        let mut space = 0u64;
        for (bits, symbols) in CODE.into_iter().chain([LONGEST]) {
            space += (symbols.len() as u64) << (30 - bits);
            symbols.iter().for_each(|&symbol| seen[usize::from(symbol)] += 1);
            assert!(symbols.is_sorted(), "length {bits}");
        }
        assert_eq!(space + 1, 1 << 30, "the end of string is the one code left");
        assert_eq!(seen, [1; 256]);
    }

    /// RFC 7541 appendix C.4: requests with Huffman coding on one connection.
    #[test]
    fn blocks_of_the_rfc_are_read() {
        let mut decoder = Decoder::new();
        let mut path = Vec::new();
        for (block, expected, size) in [
            ("8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff", "/", 57),
            ("8286 84be 5886 a8eb 1064 9cbf", "/", 110),
            ("8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf", "/index.html", 164),
        ] {
            let effect = decoder.read(&bytes(block), &mut path).unwrap();
            assert_eq!(effect, Effect::TableChanged);
            assert_eq!(String::from_utf8_lossy(&path), expected);
            assert_eq!(decoder.size, size, "{block}");
        }
        assert_eq!(HUFFMAN.decode(&bytes("25a849e95bb8e8b4bf")).unwrap(), b"custom-value");
    }

    #[test]
    fn paths_live_in_the_table_until_they_are_evicted() {
        let mut decoder = Decoder::new();
        let mut path = Vec::new();
        let mut block = vec![0x44, 2];
        block.extend_from_slice(b"/a");
        assert_eq!(decoder.read(&block, &mut path), Ok(Effect::TableChanged));
        assert_eq!(decoder.read(&[0xbe], &mut path), Ok(Effect::None));
        assert_eq!(path, b"/a");
        // A literal that borrows the entry's name and is not kept.
        assert_eq!(decoder.read(&[0x0f, 47, 2, b'/', b'b'], &mut path), Ok(Effect::None));
        assert_eq!(path, b"/b");
        assert_eq!(decoder.read(&[0x20], &mut path), Ok(Effect::TableChanged));
        assert!(decoder.read(&[0xbe], &mut path).is_err());
    }

    #[test]
    fn malformed_blocks_are_refused() {
        for block in [
            &[0x80][..],
            &[0xff],
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
            &[0x44],
            &[0x44, 5, b'/'],
            &[0x44, 0x82, 0xff, 0xff],
            &[0x44, 0x84, 0xff, 0xff, 0xff, 0xff],
            &[0x3f, 0xe2, 0x1f],
            &[0xbe],
        ] {
            assert!(Decoder::new().read(block, &mut Vec::new()).is_err(), "{block:02x?}");
        }
    }
}
