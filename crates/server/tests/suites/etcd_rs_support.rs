//! What the tests of etcd-rs expect around them: a cluster that is there, and changes as values. `cargo xtask suites` puts it
//! in the place of theirs, which starts three members.

use etcd_rs::{Client, ClientConfig};

pub struct Context;

impl Context {
    pub fn new(_with_tls: bool) -> Self {
        Self
    }

    pub async fn connect_to_cluster(&self) -> Client {
        let endpoint = std::env::var("ETCD_ENDPOINTS").expect("cargo xtask suites sets it");
        let config = ClientConfig::new([format!("http://{endpoint}").as_str().into()]);
        Client::connect(config).await.expect("the server is there")
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum KVOp {
    Put(String, String),
    Delete(String),
}

/// Makes each change.
macro_rules! apply_kv_ops {
    ($client:expr, $changes:expr) => {
        for change in $changes.iter() {
            match change.clone() {
                KVOp::Put(key, value) => drop($client.put(PutRequest::new(key, value)).await.unwrap()),
                KVOp::Delete(key) => {
                    drop($client.delete(DeleteRequest::new(KeyRange::key(key))).await.unwrap());
                }
            }
        }
    };
}

/// Reads as many events as there were changes, which they must be.
macro_rules! assert_ops_events {
    ($changes:expr, $stream:expr) => {
        let mut events = Vec::new();
        while events.len() < $changes.len() {
            match $stream.inbound().await {
                etcd_rs::WatchInbound::Ready(response) => {
                    events.extend(response.events.into_iter().map(|event| {
                        let key = event.kv.key_str().to_owned();
                        match event.event_type {
                            EventType::Put => KVOp::Put(key, event.kv.value_str().to_owned()),
                            EventType::Delete => KVOp::Delete(key),
                        }
                    }));
                }
                etcd_rs::WatchInbound::Closed => break,
                other => panic!("no event but {other:?}"),
            }
        }
        assert_eq!(events, $changes);
    };
}
