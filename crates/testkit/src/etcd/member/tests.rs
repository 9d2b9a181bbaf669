use std::net::TcpListener;

use super::*;
use crate::etcd::ports::Port;

#[tokio::test]
async fn a_member_whose_port_is_taken_starts_on_another() {
    let settings = Etcd::builder(Version::newest()).into_settings();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap().port();
    let mut attempts = 0;
    let members = launch_on(&settings, 1, || {
        attempts += 1;
        let mut ports = Ports::pick();
        match attempts {
            1 => ports.client = Port::unclaimed(taken),
            2 => ports.peer = Port::unclaimed(taken),
            3 => ports.metrics = Port::unclaimed(taken),
            _ => {}
        }
        ports
    })
    .await;
    assert_eq!(attempts, 4);
    assert_eq!(members[0].etcdctl(["put", "a", "1"]).await, "OK\n");
}

#[tokio::test]
#[should_panic(expected = "flag provided but not defined: -no-such-flag")]
async fn a_member_that_does_not_start_fails_with_its_log() {
    let settings = Etcd::builder(Version::newest()).argument("--no-such-flag").into_settings();
    launch(&settings, 1).await;
}
