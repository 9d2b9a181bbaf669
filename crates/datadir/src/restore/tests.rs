//! The bytes that etcd's own tools write.

use sha2::{Digest, Sha256};

use super::cluster::Cluster;
use super::log;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_default_members_log_and_snap_file() {
    let urls = ["http://localhost:2380".to_owned()];
    let cluster = Cluster::new("default", "default=http://localhost:2380", "etcd-cluster", &urls)
        .expect("valid");
    let mut wal = Vec::new();
    log::write_wal(&mut wal, &cluster).expect("memory");
    assert_eq!(wal.len(), 288);
    let expected = "5d6ef1158b8cf9062b717f2d86ae1cf6ef98f09cb5a0af0f259a839ff2050928";
    assert_eq!(hex(&Sha256::digest(&wal)), expected);

    let mut snap = Vec::new();
    log::write_snap(&mut snap, &cluster).expect("memory");
    assert_eq!(snap.len(), 903);
    let expected = "99b3315b2986a4338fee01e199f2dc06b72188be814b72892db8f4452ad6a70c";
    assert_eq!(hex(&Sha256::digest(&snap)), expected);
}
