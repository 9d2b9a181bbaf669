//! Any bytes as the messages of any RPC, several calls on one connection. The server goes on.

#![no_main]

use etcdkit_fuzz::{Peer, framed, runtime};
use etcdkit_proto::grpc_health_v1::HealthCheckRequest;
use etcdkit_proto::method::{ALL, health};
use etcdkit_server::Server;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    runtime().block_on(async {
        let server = Server::start_ephemeral().await.expect("it starts");
        let peer = Peer::to(&server).await;
        let mut calls = Vec::new();
        let mut rest = data;
        // A call: the RPC, whether its bytes are a message or what is around it too, and how many there are.
        while let [rpc, length, tail @ ..] = rest {
            let info = &ALL[usize::from(rpc & 0x7f) % ALL.len()];
            let (bytes, tail) = tail.split_at(usize::from(*length).min(tail.len()));
            rest = tail;
            let (response, mut body) = peer.open(info.path, "").await;
            let bytes =
                if rpc & 0x80 == 0 { framed(bytes) } else { bytes::Bytes::copy_from_slice(bytes) };
            // A call that was refused before it was sent whole is over.
            let _ = body.send_data(bytes, calls.len() % 2 == 0);
            calls.push((response, body));
        }
        let alive = peer.call(health::CHECK, &HealthCheckRequest::default(), "").await;
        assert!(alive.is_some(), "the connection is gone");
    });
});
