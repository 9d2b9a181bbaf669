//! Header blocks (RFC 7541): written in the plainest form there is, read in every form.

use std::io;

use bytes::{BufMut, Bytes, BytesMut};

/// Encodes headers as literals without indexing and without Huffman coding.
///
/// Names and values are written as they are, valid or not.
pub fn encode<N: AsRef<[u8]>, V: AsRef<[u8]>>(headers: &[(N, V)]) -> Bytes {
    let mut block = BytesMut::new();
    for (name, value) in headers {
        block.put_u8(0);
        for string in [name.as_ref(), value.as_ref()] {
            put_len(&mut block, string.len());
            block.put_slice(string);
        }
    }
    block.freeze()
}

/// Writes a string's length: an integer with a prefix of seven bits.
fn put_len(block: &mut BytesMut, len: usize) {
    const PREFIX: usize = 0x7f;
    if len < PREFIX {
        block.put_u8(len as u8);
        return;
    }
    block.put_u8(PREFIX as u8);
    let mut rest = len - PREFIX;
    while rest >= 0x80 {
        block.put_u8((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    block.put_u8(rest as u8);
}

/// Decodes the header blocks of one connection, whose dynamic table it keeps.
pub struct Decoder(loona_hpack::Decoder<'static>);

impl Decoder {
    /// A decoder with the table size that connections start with.
    #[expect(clippy::new_without_default, reason = "a decoder belongs to one connection")]
    pub fn new() -> Self {
        Self(loona_hpack::Decoder::new())
    }

    /// Decodes a whole block; names that are no UTF-8 get replacement characters.
    ///
    /// # Errors
    ///
    /// If the block is invalid; the decoder is of no more use then.
    pub fn decode(&mut self, block: &[u8]) -> io::Result<Vec<(String, Vec<u8>)>> {
        let headers = self.0.decode(block);
        let headers = headers.map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
        let text = |name: Vec<u8>| String::from_utf8_lossy(&name).into_owned();
        Ok(headers.into_iter().map(|(name, value)| (text(name), value)).collect())
    }
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder").finish_non_exhaustive()
    }
}
