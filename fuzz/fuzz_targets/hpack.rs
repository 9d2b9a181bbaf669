//! Any bytes as blocks of compressed fields. What is read is written again, and comes out as the same fields.

#![no_main]

use bytes::BytesMut;
use etcdkit_http2::hpack::{Decoded, Decoder, Encoder, Field, Indexing};
use libfuzzer_sys::fuzz_target;

const MAX_LIST: usize = 1 << 16;

fuzz_target!(|data: &[u8]| {
    let [table, rest @ ..] = data else { return };
    let mut rest = rest;
    // Whether the peer may have the usual table, a small one, or none.
    let table = [4096, 100, 0][usize::from(table % 3)];
    let mut decoder = Decoder::new(table, MAX_LIST);
    let (mut encoder, mut second) = (Encoder::new(), Decoder::new(4096, MAX_LIST));
    // A block: a byte for its length, the highest bit of which has the peer acknowledge the settings before it.
    while let [length, tail @ ..] = rest {
        if length & 0x80 != 0 {
            decoder.settings_acknowledged();
            encoder.set_max_table(u32::from(length & 0x7f) * 8);
        }
        let (block, tail) = tail.split_at(usize::from(length & 0x7f).min(tail.len()));
        rest = tail;
        let (mut fields, mut size) = (Vec::new(), 0);
        let decoded = decoder.decode(block, |name, value| {
            size += name.len() + value.len() + 32;
            fields.push((name.to_vec(), value.to_vec()));
        });
        assert!(size <= MAX_LIST, "more was told than may be");
        let Ok(decoded) = decoded else { return };
        if decoded == Decoded::TooLong {
            continue;
        }
        let mut written = BytesMut::new();
        for (nth, (name, value)) in fields.iter().enumerate() {
            let indexing = [Indexing::Repeats, Indexing::Varies, Indexing::Secret][nth % 3];
            encoder.encode(Field { name, value, indexing }, &mut written);
        }
        let mut again = Vec::new();
        let decoded = second.decode(&written, |name, value| {
            again.push((name.to_vec(), value.to_vec()));
        });
        assert_eq!((decoded, again), (Ok(Decoded::Whole), fields));
    }
});
