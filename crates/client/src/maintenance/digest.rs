//! SHA-256: that of the TLS provider, which uses the processor's instructions for it, or one of our own in a build
//! without provider.

use std::fmt;

/// A SHA-256 under way.
pub(super) enum Sha256 {
    #[cfg(any(feature = "aws-lc-rs", feature = "ring"))]
    Provided(Box<dyn rustls::crypto::hash::Context>),
    #[cfg(any(test, not(any(feature = "aws-lc-rs", feature = "ring"))))]
    Plain(plain::Sha256),
}

impl Sha256 {
    #[cfg(any(feature = "aws-lc-rs", feature = "ring"))]
    pub(super) fn new() -> Self {
        #[cfg(feature = "aws-lc-rs")]
        use rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256 as SUITE;
        #[cfg(not(feature = "aws-lc-rs"))]
        use rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256 as SUITE;

        match SUITE {
            rustls::SupportedCipherSuite::Tls13(suite) => {
                Self::Provided(suite.common.hash_provider.start())
            }
            rustls::SupportedCipherSuite::Tls12(suite) => {
                Self::Provided(suite.common.hash_provider.start())
            }
        }
    }

    #[cfg(not(any(feature = "aws-lc-rs", feature = "ring")))]
    pub(super) fn new() -> Self {
        Self::Plain(plain::Sha256::new())
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            #[cfg(any(feature = "aws-lc-rs", feature = "ring"))]
            Self::Provided(context) => context.update(bytes),
            #[cfg(any(test, not(any(feature = "aws-lc-rs", feature = "ring"))))]
            Self::Plain(hash) => hash.update(bytes),
        }
    }

    /// Whether the digest of everything is `expected`.
    pub(super) fn finishes_as(self, expected: &[u8]) -> bool {
        match self {
            #[cfg(any(feature = "aws-lc-rs", feature = "ring"))]
            Self::Provided(context) => context.finish().as_ref() == expected,
            #[cfg(any(test, not(any(feature = "aws-lc-rs", feature = "ring"))))]
            Self::Plain(hash) => hash.finish() == expected,
        }
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sha256")
    }
}

/// FIPS 180-4, by the book.
#[cfg(any(test, not(any(feature = "aws-lc-rs", feature = "ring"))))]
mod plain {
    const K: [u32; 64] = [
        0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4,
        0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe,
        0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f,
        0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7,
        0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc,
        0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
        0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116,
        0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
        0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
        0xc67178f2,
    ];

    #[derive(Debug)]
    pub(in crate::maintenance) struct Sha256 {
        state: [u32; 8],
        /// Bytes that do not fill a block yet.
        rest: Vec<u8>,
        length: u64,
    }

    impl Sha256 {
        pub(super) fn new() -> Self {
            let state = [
                0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab,
                0x5be0cd19,
            ];
            Self { state, rest: Vec::with_capacity(64), length: 0 }
        }

        pub(super) fn update(&mut self, mut bytes: &[u8]) {
            self.length = self.length.wrapping_add(bytes.len() as u64);
            while !bytes.is_empty() {
                let (now, later) = bytes.split_at(bytes.len().min(64 - self.rest.len()));
                self.rest.extend_from_slice(now);
                bytes = later;
                if let Ok(block) = <[u8; 64]>::try_from(&*self.rest) {
                    self.block(&block);
                    self.rest.clear();
                }
            }
        }

        pub(super) fn finish(mut self) -> [u8; 32] {
            let bits = self.length.wrapping_mul(8);
            self.update(&[0x80]);
            while self.rest.len() != 56 {
                self.update(&[0]);
            }
            self.update(&bits.to_be_bytes());
            let mut digest = [0; 32];
            for (to, word) in digest.chunks_exact_mut(4).zip(self.state) {
                to.copy_from_slice(&word.to_be_bytes());
            }
            digest
        }

        fn block(&mut self, block: &[u8; 64]) {
            let mut w = [0_u32; 64];
            for (word, bytes) in w.iter_mut().zip(block.chunks_exact(4)) {
                *word = bytes.iter().fold(0, |word, byte| word << 8 | u32::from(*byte));
            }
            for t in 16..64 {
                let (a, b) = (w[t - 15], w[t - 2]);
                let s0 = a.rotate_right(7) ^ a.rotate_right(18) ^ (a >> 3);
                let s1 = b.rotate_right(17) ^ b.rotate_right(19) ^ (b >> 10);
                w[t] = w[t - 16].wrapping_add(s0).wrapping_add(w[t - 7]).wrapping_add(s1);
            }
            let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = self.state;
            for (k, w) in K.into_iter().zip(w) {
                let s1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
                let choice = (e & f) ^ (!e & g);
                let t1 = h.wrapping_add(s1).wrapping_add(choice).wrapping_add(k).wrapping_add(w);
                let s0 = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
                let t2 = s0.wrapping_add((a & b) ^ (a & c) ^ (b & c));
                (h, g, f, e) = (g, f, e, d.wrapping_add(t1));
                (d, c, b, a) = (c, b, a, t1.wrapping_add(t2));
            }
            for (state, word) in self.state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
                *state = state.wrapping_add(word);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        let table: [(&[u8], &str); 3] = [
            (b"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            (b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            (
                b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
            ),
        ];
        for (input, hex) in table {
            let digest: Vec<u8> = (0..32)
                .map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap())
                .collect();
            for mut hash in [Sha256::new(), Sha256::Plain(plain::Sha256::new())] {
                hash.update(input);
                assert!(hash.finishes_as(&digest), "{input:?}");
            }
        }
    }

    #[test]
    fn ours_is_that_of_the_provider() {
        let bytes: Vec<u8> = (0..1000_u32).map(|at| (at * 7) as u8).collect();
        for length in 0..200 {
            let mut ours = plain::Sha256::new();
            let mut provided = Sha256::new();
            for piece in bytes[..length * 5].chunks(37) {
                ours.update(piece);
                provided.update(piece);
            }
            assert!(provided.finishes_as(&ours.finish()), "{length}");
        }
    }
}
