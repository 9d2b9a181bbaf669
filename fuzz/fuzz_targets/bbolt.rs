//! Any bytes as a database: check, dump, copy, status, hash and every typed bucket.
//!
//! The meta pages' checksums would stop nearly every input at the door; they are made right where there is a magic
//! number, so that what lies behind is reached.

#![no_main]

use std::io::Cursor;

use etcdkit_datadir::bbolt::{Bbolt, DumpOptions};
use etcdkit_datadir::schema::Backend;
use etcdkit_datadir::{HashKv, Status, defragment};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut data = data.to_vec();
    for start in [0, 1024, 4096] {
        mend(&mut data, start);
    }
    let Ok(mut db) = Bbolt::open(Cursor::new(&data)) else { return };
    let sound = db.check().is_ok_and(|report| report.is_sound());
    let _ = db.dump(&mut std::io::sink(), DumpOptions::default());
    let copied = defragment::copy(&mut db, Cursor::new(Vec::new()));
    assert!(sound || copied.is_err(), "what is unsound is not copied");
    let mut backend = Backend::open(Cursor::new(&data)).expect("it was one before");
    let _ = Status::of(&mut backend);
    let _ = HashKv::newest().compute(&mut backend);
    let _ = (backend.meta(), backend.auth(), backend.downgrade(), backend.cluster_version());
    let _ = backend.leases().map(Iterator::count);
    let _ = backend.users().map(Iterator::count);
    let _ = backend.roles().map(Iterator::count);
    let _ = backend.alarms().map(Iterator::count);
    let _ = backend.members().map(Iterator::count);
    let _ = backend.removed_members().map(Iterator::count);
});

fn mend(data: &mut [u8], start: usize) {
    let Some(body) = data.get_mut(start + 16..start + 80) else { return };
    if body[..4] != 0xED0C_DAED_u32.to_le_bytes() {
        return;
    }
    let checksum = body[..56].iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    body[56..].copy_from_slice(&checksum.to_le_bytes());
}
