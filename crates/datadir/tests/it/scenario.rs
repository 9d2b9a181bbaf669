//! Databases in all the states that matter, made by a real etcd.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use etcdkit_testkit::etcd::{Etcd, Version};
use tempfile::TempDir;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum State {
    Plain,
    Compacted,
    Defragmented,
    Deleted,
    LeasesAndAuth,
}

impl State {
    pub(crate) const ALL: [Self; 5] =
        [Self::Plain, Self::Compacted, Self::Defragmented, Self::Deleted, Self::LeasesAndAuth];
}

/// Key, create revision, mod revision, version, value, lease: of every key that exists.
pub(crate) type Keys = BTreeMap<String, (i64, i64, i64, String, i64)>;

/// A snapshot, and what its server said about it.
pub(crate) struct Sample {
    pub(crate) version: Version,
    pub(crate) state: State,
    pub(crate) snapshot: PathBuf,
    pub(crate) keys: Keys,
    pub(crate) hash_kv: u32,
    pub(crate) leases: Vec<i64>,
    pub(crate) user: Option<&'static str>,
    pub(crate) folder: TempDir,
}

impl Sample {
    /// Runs a server of that version into that state and saves a snapshot.
    pub(crate) async fn make(version: Version, state: State) -> Self {
        let etcd = Etcd::builder(version).start().await;
        let mut sample = Self {
            version,
            state,
            snapshot: PathBuf::new(),
            keys: Keys::new(),
            hash_kv: 0,
            leases: Vec::new(),
            user: None,
            folder: tempfile::tempdir().expect("a folder"),
        };
        sample.fill(&etcd).await;
        // The cluster's version is agreed on after a few seconds; the storage's version follows.
        if version.at_least(3, 6) {
            etcdkit_testkit::wait::eventually(
                "the storage version",
                std::time::Duration::from_secs(30),
                async || get(&etcd, "/version").contains(r#""storage":"3"#).then_some(()),
            )
            .await;
        }
        if sample.user.is_none() {
            sample.keys = keys(&etcd, "");
        }
        sample.save(&etcd).await;
        sample
    }

    async fn fill(&mut self, etcd: &Etcd) {
        for round in 0..3 {
            put_many(etcd, 300, round);
        }
        etcd.etcdctl(["put", "large", &"x".repeat(100_000)]).await;
        etcd.etcdctl(["del", "key-0001"]).await;
        match self.state {
            State::Plain => {}
            State::Compacted => compact(etcd).await,
            State::Deleted | State::Defragmented => {
                etcd.etcdctl(["del", "key-00", "key-02"]).await;
                if self.state == State::Defragmented {
                    compact(etcd).await;
                    etcd.etcdctl(["defrag"]).await;
                }
                etcd.etcdctl(["del", "key-0290"]).await;
            }
            State::LeasesAndAuth => self.leases_and_auth(etcd).await,
        }
    }

    async fn leases_and_auth(&mut self, etcd: &Etcd) {
        for number in 0..3 {
            let granted = etcd.etcdctl(["lease", "grant", "5000"]).await;
            let id = granted.split_whitespace().nth(1).expect("lease ID granted").to_owned();
            etcd.etcdctl(["put", &format!("leased-{number}"), "v", &format!("--lease={id}")]).await;
            self.leases.push(i64::from_str_radix(&id, 16).expect("hexadecimal"));
        }
        self.leases.sort_unstable();
        for command in [
            "user add root:secret",
            "role add root",
            "user grant-role root root",
            "user add reader:word",
            "role add reading",
            "role grant-permission reading read key- key.",
            "user grant-role reader reading",
        ] {
            etcd.etcdctl(command.split(' ')).await;
        }
        self.keys = keys(etcd, "");
        etcd.etcdctl(["auth", "enable"]).await;
        self.user = Some("--user=root:secret");
    }

    async fn save(&mut self, etcd: &Etcd) {
        self.snapshot = self.folder.path().join("snapshot.db");
        let path = self.snapshot.display().to_string();
        etcd.etcdctl(self.user.into_iter().chain(["snapshot", "save", &path])).await;
        self.hash_kv = hash_kv(etcd, self.user).await;
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn is(&self) -> String {
        format!("{} {:?}", self.version, self.state)
    }
}

/// What `endpoint hashkv` prints: an endpoint and a hash.
pub(crate) async fn hash_kv(etcd: &Etcd, user: Option<&str>) -> u32 {
    let line = etcd.etcdctl(user.into_iter().chain(["endpoint", "hashkv"])).await;
    let hash = line.trim().split(", ").nth(1).expect("endpoint, hash");
    hash.parse().expect("a number")
}

async fn compact(etcd: &Etcd) {
    let current = keys(etcd, "").values().map(|key| key.1).max().expect("there are keys");
    etcd.etcdctl(["compact", &(current - 1).to_string(), "--physical"]).await;
    etcd.etcdctl(["put", "after", "compaction"]).await;
}

/// Puts keys through the JSON gateway, 100 in a transaction.
pub(crate) fn put_many(etcd: &Etcd, count: usize, round: usize) {
    let numbers: Vec<usize> = (0..count).collect();
    for numbers in numbers.chunks(100) {
        let mut puts = String::new();
        for number in numbers {
            let comma = if puts.is_empty() { "" } else { "," };
            let key = base64(format!("key-{number:04}").as_bytes());
            let value = base64(format!("{round}-{number}").repeat(number % 30).as_bytes());
            let put = format!(r#"{comma}{{"request_put":{{"key":"{key}","value":"{value}"}}}}"#);
            puts.push_str(&put);
        }
        post(etcd, "/v3/kv/txn", &format!(r#"{{"success":[{puts}]}}"#));
    }
}

/// Every key that exists, as the server tells it. `token` is for servers with authentication.
pub(crate) fn keys(etcd: &Etcd, token: &str) -> Keys {
    let path = "/v3/kv/range";
    let answer = request(etcd, path, r#"{"key":"AA==","range_end":"AA=="}"#, token);
    let answer: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
    let number = |value: &serde_json::Value| {
        value.as_str().map_or(0, |text| text.parse().expect("a number"))
    };
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let kvs = answer["kvs"].as_array().unwrap_or_else(|| panic!("no keys in {answer}"));
    kvs.iter()
        .map(|kv| {
            let revisions = (number(&kv["create_revision"]), number(&kv["mod_revision"]));
            let rest = (number(&kv["version"]), text(&kv["value"]), number(&kv["lease"]));
            (text(&kv["key"]), (revisions.0, revisions.1, rest.0, rest.1, rest.2))
        })
        .collect()
}

/// A token of the gateway.
pub(crate) fn token(etcd: &Etcd, name: &str, password: &str) -> String {
    let body = format!(r#"{{"name":"{name}","password":"{password}"}}"#);
    let answer = post(etcd, "/v3/auth/authenticate", &body);
    let answer: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
    answer["token"].as_str().expect("a token").to_owned()
}

pub(crate) fn get(etcd: &Etcd, path: &str) -> String {
    exchange(etcd, &format!("GET {path} HTTP/1.0\r\nHost: etcd\r\n\r\n")).1
}

fn post(etcd: &Etcd, path: &str, body: &str) -> String {
    request(etcd, path, body, "")
}

fn request(etcd: &Etcd, path: &str, body: &str, token: &str) -> String {
    let mut head =
        format!("POST {path} HTTP/1.0\r\nHost: etcd\r\nContent-Length: {}\r\n", body.len());
    if !token.is_empty() {
        write!(head, "Authorization: {token}\r\n").expect("memory");
    }
    let (status, body) = exchange(etcd, &format!("{head}\r\n{body}"));
    assert_eq!(status, "200", "{path}: {body}");
    body
}

fn exchange(etcd: &Etcd, request: &str) -> (String, String) {
    let mut stream = TcpStream::connect(etcd.client_addr()).expect("it listens");
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("HTTP");
    (head.split(' ').nth(1).expect("a status").to_owned(), body.to_owned())
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let mut number = 0;
        for index in 0..3 {
            number = number << 8 | u32::from(chunk.get(index).copied().unwrap_or_default());
        }
        for index in 0..4 {
            let digit = DIGITS[(number >> (18 - 6 * index) & 63) as usize];
            text.push(if index <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

/// Copies a snapshot's database without its trailer.
pub(crate) fn without_trailer(snapshot: &Path, to: &Path) {
    let bytes = std::fs::read(snapshot).expect("a snapshot");
    std::fs::write(to, &bytes[..bytes.len() - 32]).expect("a folder");
}
