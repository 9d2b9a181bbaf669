//! Holders who come as the last one before them goes.

use std::sync::Arc;
use std::task::{Context, Waker};

use bytes::Bytes;
use etcdkit::proto::etcdserverpb::{LeaseKeepAliveRequest, LeaseKeepAliveResponse};
use etcdkit::transport::{Channel, Failure, Source, Transport};
use etcdkit::{Client, Error, LeaseId, Result};
use prost::Message;
use tokio::sync::{Barrier, oneshot};
use tokio::task::JoinSet;

use crate::kv::members::in_time;
use crate::stub::{Armed, AtEnd, Member, Requests, header};

/// Renews whatever it is asked for.
struct Renewing {
    requests: Requests,
    _end: Armed,
}

impl Source for Renewing {
    async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        let request: LeaseKeepAliveRequest = self.requests.next().await;
        let answer = LeaseKeepAliveResponse { header: header(), id: request.id, ttl: 60 };
        Ok(Some(answer.encode_to_vec().into()))
    }
}

fn client(at_end: &AtEnd) -> Client<Channel<impl Transport>> {
    let at_end = at_end.clone();
    let member = Member::new(move |requests| Renewing { requests, _end: at_end.armed() });
    Client::builder().endpoints(["http://stub:1"]).build_on(member).unwrap()
}

fn id(number: i64) -> LeaseId {
    LeaseId::new(number).unwrap()
}

/// Runs `test` on threads that are not waited for: what is tested may keep one of them busy for ever.
fn on_two_threads(test: impl Future<Output = Result<()>>) {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_all().build().unwrap();
    let outcome = runtime.block_on(test);
    runtime.shutdown_background();
    outcome.unwrap();
}

/// The task that keeps leases alive took the stream that it had just let go of for open, and went round for ever.
#[test]
fn a_holder_who_comes_as_the_stream_of_the_last_one_is_put_away_is_served() {
    on_two_threads(async {
        let at_end = AtEnd::default();
        let client = client(&at_end);
        let last = client.keep_alive(id(1)).await?;
        let (begun, next) = oneshot::channel();
        let other = client.clone();
        at_end.set(move || {
            let mut coming = Box::pin(async move { other.keep_alive(id(2)).await });
            let polled = coming.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert!(polled.is_pending() && begun.send(coming).is_ok());
        });
        drop(last);
        in_time("the next holder", next.await.unwrap()).await.map(drop)
    });
}

/// One comes while the other goes, at every moment of that: none is left without renewals, or told that it is over.
#[test]
fn holders_who_come_and_go_all_the_time_are_served() {
    on_two_threads(async {
        let client = client(&AtEnd::default());
        let together = Arc::new(Barrier::new(2));
        let mut holders = JoinSet::new();
        for number in [0, 1] {
            let (client, together) = (client.clone(), Arc::clone(&together));
            holders.spawn(async move {
                let mut kept = None;
                for round in 0..20_000 {
                    together.wait().await;
                    drop(kept.take());
                    if round % 2 == number {
                        // So long it may take until it is noticed that the other one has left.
                        (0..37 * round % 5000).for_each(|_| std::hint::spin_loop());
                        kept = Some(client.keep_alive(id(7)).await?);
                    }
                }
                Ok::<_, Error>(())
            });
        }
        while let Some(ended) = in_time("a holder", holders.join_next()).await {
            ended.unwrap()?;
        }
        Ok(())
    });
}
