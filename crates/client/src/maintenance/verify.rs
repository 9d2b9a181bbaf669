//! Whether a snapshot is whole: a machine without I/O.
//!
//! A member sends its backend in pieces, each with the number of bytes that are left, and at the end 32 bytes more: the
//! SHA-256 of the backend. A stream can end early and cleanly, a proxy can lose a piece, a byte can flip: all of it
//! shows here.

use bytes::{Bytes, BytesMut};

use super::digest::Sha256;
use crate::error::{Error, ErrorKind, Result};

const DIGEST: usize = 32;

/// Compares what comes with what was announced.
#[derive(Debug)]
pub(super) struct Verifier {
    hash: Sha256,
    /// Bytes of the backend, as the first message announced them.
    total: Option<u64>,
    received: u64,
    digest: BytesMut,
}

impl Verifier {
    pub(super) fn new() -> Self {
        Self { hash: Sha256::new(), total: None, received: 0, digest: BytesMut::new() }
    }

    /// Takes a message in, and returns what of it belongs to the backend, with the bytes of it that are still to come.
    pub(super) fn message(&mut self, mut blob: Bytes, remaining: u64) -> Result<(Bytes, u64)> {
        let total = *self.total.get_or_insert_with(|| remaining.saturating_add(blob.len() as u64));
        let missing = total - self.received;
        let own = usize::try_from(missing).unwrap_or(usize::MAX).min(blob.len());
        let piece = blob.split_to(own);
        self.received += own as u64;
        self.hash.update(&piece);
        let missing = total - self.received;
        if missing != remaining {
            return Err(corrupt(format!(
                "{} of {total} bytes have come, and the server says that {remaining} are left",
                self.received
            )));
        }
        self.digest.extend_from_slice(&blob);
        if self.digest.len() > DIGEST {
            return Err(corrupt("there is more after its checksum".to_owned()));
        }
        Ok((piece, remaining))
    }

    /// The stream has ended: returns the digest if everything is there and unchanged.
    pub(super) fn finish(self) -> Result<[u8; DIGEST]> {
        let total = self.total.unwrap_or(0);
        let Ok(digest) = <[u8; DIGEST]>::try_from(&*self.digest) else {
            return Err(corrupt(format!(
                "it ends after {} of {total} bytes and {} of {DIGEST} bytes of its checksum",
                self.received,
                self.digest.len()
            )));
        };
        if !self.hash.finishes_as(&digest) {
            return Err(corrupt("its SHA-256 is not what it ends with".to_owned()));
        }
        Ok(digest)
    }
}

fn corrupt(why: String) -> Error {
    Error::new(ErrorKind::Corrupt, format!("the snapshot is damaged: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SHA-256 of `abcdef`.
    const ABCDEF: [u8; 32] = [
        0xbe, 0xf5, 0x7e, 0xc7, 0xf5, 0x3a, 0x6d, 0x40, 0xbe, 0xb6, 0x40, 0xa7, 0x80, 0xa6, 0x39,
        0xc8, 0x3b, 0xc2, 0x9a, 0xc8, 0xa9, 0x81, 0x6f, 0x1f, 0xc6, 0xc5, 0xc6, 0xdc, 0xd9, 0x3c,
        0x47, 0x21,
    ];

    /// What comes: a blob, and how much is left after it.
    type Stream<'a> = &'a [(&'a [u8], u64)];

    /// What becomes of a stream of messages: the backend, or why not.
    fn run(messages: Stream<'_>) -> Result<Vec<u8>, String> {
        let mut verifier = Verifier::new();
        let mut backend = Vec::new();
        for (blob, remaining) in messages {
            let taken = verifier.message(Bytes::copy_from_slice(blob), *remaining);
            backend.extend_from_slice(&taken.map_err(|error| error.to_string())?.0);
        }
        match verifier.finish() {
            Ok(digest) => assert_eq!(digest, ABCDEF),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Corrupt);
                return Err(error.to_string());
            }
        }
        Ok(backend)
    }

    #[test]
    fn whole_ones_pass() {
        let table: [Stream<'_>; 5] = [
            &[(b"abc", 3), (b"def", 0), (&ABCDEF, 0)],
            &[(b"abcdef", 0), (&ABCDEF, 0)],
            // An empty message where the backend ends at a full buffer.
            &[(b"abc", 3), (b"def", 0), (b"", 0), (&ABCDEF, 0)],
            &[(b"abcdef", 0), (&ABCDEF[..10], 0), (&ABCDEF[10..], 0)],
            &[(b"", 6), (b"abcdef", 0), (&ABCDEF, 0)],
        ];
        for messages in table {
            assert_eq!(run(messages).as_deref(), Ok(b"abcdef".as_slice()), "{messages:?}");
        }
    }

    #[test]
    fn damaged_ones_do_not() {
        let mut flipped = ABCDEF;
        flipped[31] ^= 1;
        let more = [&ABCDEF[..], b"x"].concat();
        let table: [(Stream<'_>, &str); 9] = [
            (&[], "ends after 0 of 0 bytes and 0 of 32"),
            (&[(b"abc", 3)], "ends after 3 of 6 bytes and 0 of 32"),
            (&[(b"abc", 3), (b"def", 0)], "ends after 6 of 6 bytes and 0 of 32"),
            (&[(b"abcdef", 0), (&ABCDEF[1..], 0)], "and 31 of 32"),
            (&[(b"abcdef", 0), (&flipped, 0)], "SHA-256"),
            (&[(b"abcdeg", 0), (&ABCDEF, 0)], "SHA-256"),
            (&[(b"abc", 3), (b"de", 0)], "5 of 6 bytes have come"),
            (&[(b"ab", 4), (b"ef", 0)], "4 of 6 bytes have come"),
            (&[(b"abcdef", 0), (&more, 0)], "more after its checksum"),
        ];
        for (messages, why) in table {
            let told = run(messages).unwrap_err();
            assert!(told.contains(why), "{told} does not say {why}");
        }
    }
}
