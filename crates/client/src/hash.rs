//! A hash for numbers that this crate, the program around it or its cluster chooses: watches and leases. Nobody else has a
//! say in them who could make them collide on purpose.

use std::hash::{BuildHasherDefault, Hasher};

pub(crate) type Numbers = BuildHasherDefault<NumberHasher>;

#[derive(Debug, Default)]
pub(crate) struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        // Fibonacci hashing, with the high bits folded down to where the table looks first.
        let mixed = (self.0 ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = mixed ^ (mixed >> 32);
    }

    fn write_i64(&mut self, number: i64) {
        self.write_u64(number.cast_unsigned());
    }
}
