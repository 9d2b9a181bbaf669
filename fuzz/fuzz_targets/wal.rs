//! Any bytes as a segment of the log.

#![no_main]

use etcdkit_datadir::wal::Reader;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut reader = Reader::new(data);
    let mut records = 0;
    while let Ok(Some(_)) = reader.next_record() {
        records += 1;
    }
    assert!(records <= data.len() / 8);
    assert!(reader.offset() <= data.len() as u64);
    assert!(reader.tail().is_some());
});
