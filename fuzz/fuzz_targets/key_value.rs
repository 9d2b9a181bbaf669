//! Any bytes as an entry of the bucket of keys.

#![no_main]

use etcdkit_datadir::schema::{ConfState, Downgrade, KeyValueRef, Member, RevisionKey};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = KeyValueRef::decode(data);
    let _ = (Member::decode(data), ConfState::decode(data), Downgrade::decode(data));
    if let Ok(key) = RevisionKey::decode(data) {
        assert_eq!(key.encode(), data);
    }
});
