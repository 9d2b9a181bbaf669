//! Attempts that arrive when the copy is further already.

use std::sync::{Arc, Mutex};

use etcdkit::mirror::Mirror;
use etcdkit::{AnyRequest, Txn};
use etcdkit_testkit::proxy::{Direction, Proxy};
use etcdkit_testkit::wait::eventually;
use tokio::sync::Notify;

use crate::kv::members::*;
use crate::observed::observed;

/// A member that was frozen did what it had been sent when others had done it, and more, and the copy went back.
#[tokio::test]
async fn an_attempt_that_arrives_late_does_not_undo_what_was_copied_since() {
    on_every_version(async |client, etcd| {
        for (checkpoint, last) in [(false, Some("2")), (true, Some("2")), (true, None)] {
            let prefix = format!("mirror_late/{checkpoint}/{}", last.is_some());
            let (from, to) = (format!("{prefix}/from/"), format!("{prefix}/to/"));
            let (source, copy) = (format!("{from}k"), format!("{to}k"));
            let proxy = Proxy::start(etcd.client_addr()).await;
            let txns = Arc::new(Mutex::new(Vec::<Txn>::new()));
            let recorded = Arc::clone(&txns);
            let destination = crate::kv::lost::eager(&proxy).await;
            let destination = observed(&destination, move |request| {
                if let AnyRequest::Txn(txn) = request {
                    recorded.lock().unwrap().push(txn);
                }
            });
            let mirror = Mirror::new(&client, &*from, &destination, &*to);
            let mirror = mirror.from_revision(revision(&client).await);
            let mirror =
                if checkpoint { mirror.checkpoint(format!("{prefix}/mark")) } else { mirror };

            let copied = async |expected: Option<&str>| {
                let is_copied =
                    async || (value(&client, &copy).await.as_deref() == expected).then_some(());
                eventually("the copy", DEADLINE, is_copied).await;
            };
            let begun = Notify::new();
            let script = async {
                begun.notified().await;
                proxy.drop_direction(Direction::ToServer);
                client.put(&*source, "1").await.unwrap();
                let sent = async || txns.lock().unwrap().first().cloned();
                let late = eventually("an attempt", DEADLINE, sent).await;
                proxy.reset();
                proxy.heal();
                copied(Some("1")).await;
                match last {
                    Some(value) => drop(client.put(&*source, value).await.unwrap()),
                    None => drop(client.delete(&*source).await.unwrap()),
                }
                copied(last).await;
                client.txn(late).await.unwrap();
                assert_eq!(value(&client, &copy).await.as_deref(), last, "{prefix}");
            };
            tokio::select! {
                outcome = mirror.run(|_| begun.notify_one()) => panic!("{:?}", outcome.unwrap_err()),
                () = script => {}
            }
        }
    })
    .await;
}
