//! Requests and answers of many sizes, against the limits of both sides.

use etcdkit::config::Limits;
use etcdkit::{Client, ErrorKind, Get, Put, ServerError, Txn};
use etcdkit_testkit::etcd::{Etcd, Version};

use super::members::*;

const MIB: usize = 1024 * 1024;

async fn client(etcd: &Etcd, limits: Limits) -> Client {
    tolerant().endpoints([etcd.client_url()]).limits(limits).connect().await.unwrap()
}

/// The answer to a put of `size` bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Answer {
    Written,
    RefusedByServer,
    /// By the server's gRPC, before etcd sees it.
    RefusedByGrpc,
    RefusedByClient,
}

/// What the server takes, what the client sends, and values by their size with what becomes of them.
type Row = (usize, Option<usize>, &'static [(usize, Answer)]);

#[tokio::test]
async fn kv_large_requests() {
    use Answer::*;
    let table: &[Row] = &[
        (256, None, &[(1024, RefusedByServer), (3 * MIB, RefusedByClient), (100, Written)]),
        // Without a limit of the client's own it would be too small for this server.
        (7 * MIB + 512 * 1024, None, &[(5 * MIB, RefusedByClient), (MIB, Written)]),
        (7 * MIB + 512 * 1024, Some(7 * MIB), &[(5 * MIB, Written), (7 * MIB, RefusedByClient)]),
        (10 * MIB, Some(100 * MIB), &[(10 * MIB, RefusedByServer), (11 * MIB, RefusedByGrpc)]),
        (10 * MIB, Some(10 * MIB), &[(10 * MIB, RefusedByClient), (10 * MIB - 1024, Written)]),
    ];
    for version in Version::available() {
        let _named = Named::new(version);
        let mut etcd: Option<(usize, Etcd)> = None;
        for &(server, send, sizes) in table {
            if etcd.as_ref().is_none_or(|(limit, _)| *limit != server) {
                let limit = u32::try_from(server).unwrap();
                etcd =
                    Some((server, Etcd::builder(version).max_request_bytes(limit).start().await));
            }
            let etcd = &etcd.as_ref().unwrap().1;
            let limits = send.map_or_else(Limits::new, |send| Limits::new().max_send_message(send));
            let client = client(etcd, limits).await;
            for &(size, expected) in sizes {
                let case = format!("server {server}, client {send:?}, value {size}");
                let answer = match client.put("foo", vec![b'v'; size]).await {
                    Ok(_) => Written,
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::ResourceExhausted, "{case}: {error}");
                        assert!(!error.maybe_applied(), "{case}: {error}");
                        match error.server_error() {
                            Some(ServerError::RequestTooLarge) => RefusedByServer,
                            Some(other) => panic!("{case}: {other:?}"),
                            None if error.attempts().is_empty() => RefusedByClient,
                            None => RefusedByGrpc,
                        }
                    }
                };
                assert_eq!(answer, expected, "{case}");
                if answer == Written {
                    let read = client.get("foo").await.unwrap();
                    assert_eq!(read.first().unwrap().value().len(), size, "{case}");
                }
            }
        }
    }
}

#[tokio::test]
async fn v3_too_large_request() {
    on_every_version(async |client, _| {
        // 1.5 MiB in one value, and in many operations.
        let outcome = client.put("v3_too_large_request", vec![b'a'; 3 * MIB / 2]).await;
        refused(outcome, ServerError::RequestTooLarge);
        let puts = (0..20)
            .map(|index| Put::new(format!("v3_too_large_request/{index}"), vec![b'a'; 100 * 1024]));
        let outcome = client.txn(Txn::new().then(puts)).await;
        refused(outcome, ServerError::RequestTooLarge);
    })
    .await;
}

/// Answers above the client's limit are refused, and said to be; the connection stays.
#[tokio::test]
async fn answers_above_the_limit() {
    on_every_version(async |roomy, etcd| {
        let prefix = "answers_above_the_limit/";
        for index in 0..3 {
            roomy.put(format!("{prefix}{index}"), vec![b'a'; MIB / 2]).await.unwrap();
        }
        let limits = Limits::new().max_send_message(MIB).max_receive_message(MIB);
        let client = client(etcd, limits).await;
        let error = client.get(Get::prefix(prefix)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ResourceExhausted, "{error}");
        assert!(error.to_string().contains("1048576"), "does not name the limit: {error}");
        // In pieces it fits.
        let mut found = 0;
        for index in 0..3 {
            found += client.get(format!("{prefix}{index}")).await.unwrap().count();
        }
        assert_eq!(found, 3);
    })
    .await;
}
