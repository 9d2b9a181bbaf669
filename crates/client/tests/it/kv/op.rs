//! Requests whose kind is decided at run time.

use etcdkit::{Compare, Delete, Get, Op, OpResponse, Put, Txn};

use super::members::*;

#[tokio::test]
async fn kv_do() {
    on_every_version(async |client, _| {
        let key = "kv_do/k";
        let txn = Txn::new()
            .when([Compare::missing(key)])
            .then([Put::new(key, "created")])
            .or_else([Get::new(key)]);
        let ops: [Op; 5] = [
            txn.clone().into(),
            Get::new(key).into(),
            Put::new(key, "again").prev_kv().into(),
            txn.into(),
            Delete::new(key).prev_kv().into(),
        ];
        let mut said = Vec::new();
        for op in ops {
            said.push(match client.call(op).await.unwrap() {
                OpResponse::Get(get) => {
                    format!("got {:?}", get.first().unwrap().value_str().unwrap())
                }
                OpResponse::Put(put) => {
                    format!("over {:?}", put.prev_kv().unwrap().value_str().unwrap())
                }
                OpResponse::Delete(delete) => format!("deleted {}", delete.deleted()),
                OpResponse::Txn(txn) => format!("txn {}", txn.succeeded()),
                other => panic!("unexpected {other:?}"),
            });
        }
        assert_eq!(
            said,
            ["txn true", "got \"created\"", "over \"created\"", "txn false", "deleted 1"]
        );
    })
    .await;
}
