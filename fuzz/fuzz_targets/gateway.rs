//! Any bytes as a body for the JSON gateway, or as a whole HTTP/1.1 request. There is an answer, or the connection ends.

#![no_main]

use etcdkit_fuzz::runtime;
use etcdkit_server::Server;
use libfuzzer_sys::fuzz_target;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The paths whose answers do not wait for anybody.
const PATHS: &[&str] = &[
    "kv/range",
    "kv/put",
    "kv/deleterange",
    "kv/txn",
    "kv/compaction",
    "lease/grant",
    "lease/revoke",
    "lease/keepalive",
    "lease/timetolive",
    "cluster/member/add",
    "cluster/member/update",
    "cluster/member/list",
    "maintenance/alarm",
    "maintenance/status",
    "maintenance/hashkv",
    "maintenance/downgrade",
    "auth/user/add",
    "auth/user/get",
    "auth/role/add",
    "auth/role/grant",
    "auth/role/revoke",
    "auth/authenticate",
    "election/proclaim",
    "election/leader",
    "election/resign",
];

fuzz_target!(|data: &[u8]| {
    let Some((choice, bytes)) = data.split_first() else { return };
    runtime().block_on(async {
        let server = Server::start_ephemeral().await.expect("it starts");
        let mut connection = server.connect();
        let request = match PATHS.get(usize::from(*choice)) {
            Some(path) => {
                let length = bytes.len();
                let head = format!(
                    "POST /v3/{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
                );
                [head.as_bytes(), bytes].concat()
            }
            None => bytes.to_vec(),
        };
        // What the server does not want to read it does not.
        let _ = connection.write_all(&request).await;
        if usize::from(*choice) >= PATHS.len() {
            let _ = connection.shutdown().await;
        }
        let mut answer = Vec::new();
        let _ = connection.read_to_end(&mut answer).await;
        if usize::from(*choice) < PATHS.len() {
            assert!(answer.starts_with(b"HTTP/1.1 "), "{}", String::from_utf8_lossy(&answer));
        }
    });
});
