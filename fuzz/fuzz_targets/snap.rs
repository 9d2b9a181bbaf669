//! Any bytes as a snap file; what is read is written and read again.

#![no_main]

use etcdkit_datadir::snap;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(snapshot) = snap::read(data) else { return };
    let mut file = Vec::new();
    snap::write(&mut file, &snapshot).expect("memory can be written");
    assert_eq!(snap::read(file.as_slice()).expect("it was written"), snapshot);
});
