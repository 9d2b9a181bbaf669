//! What the tests of etcd-rs expect around them: a fresh cluster for each test, and changes as values. `cargo xtask suites`
//! puts it in the place of theirs, which starts three members; this starts one, the embedded server.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use etcd_rs::{Client, ClientConfig};

pub struct Context {
    server: Child,
    url: String,
}

impl Context {
    pub fn new(_with_tls: bool) -> Self {
        let program = std::env::var_os("ETCDKIT_EMBEDDED").expect("cargo xtask suites sets it");
        let mut server = Command::new(program)
            .args(["serve", "--in-memory", "--listen-client-urls=http://127.0.0.1:0"])
            .arg("--advertise-client-urls=http://127.0.0.1:0")
            .stderr(Stdio::piped())
            .spawn()
            .expect("it can be run");
        let mut log = BufReader::new(server.stderr.take().expect("it was asked for"));
        let mut line = String::new();
        let url = loop {
            line.clear();
            let read = log.read_line(&mut line).expect("it says where it listens");
            assert!(read > 0, "it ends without a word of where it listens");
            let after = line.split_once(r#""address":""#).and_then(|(_, rest)| rest.split_once('"'));
            if let Some((address, _)) = after {
                break format!("http://{address}");
            }
        };
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Self { server, url }
    }

    pub async fn connect_to_cluster(&self) -> Client {
        let config = ClientConfig::new([self.url.as_str().into()]);
        Client::connect(config).await.expect("the server is there")
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
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
                KVOp::Put(key, value) => {
                    drop($client.put(PutRequest::new(key, value)).await.unwrap())
                }
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
