//! The runtime of the task behind all watches ends, and others go on.

use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use etcdkit::proto::etcdserverpb::{
    WatchRequest, WatchResponse as Wire, watch_request::RequestUnion,
};
use etcdkit::transport::{Channel, Failure, Source, Transport};
use etcdkit::{CallOptions, Client, ErrorKind, Watch};
use prost::Message;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use super::watch;
use crate::kv::members::{fails, in_time};
use crate::stub::{Armed, AtEnd, Member, Requests, header};

/// Creates every watch, and tells nothing.
struct Creating {
    requests: Requests,
    _end: Armed,
}

impl Source for Creating {
    async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            let request: WatchRequest = self.requests.next().await;
            if let Some(RequestUnion::Create(create)) = request.request_union {
                let watch_id = create.watch_id;
                let created = Wire { header: header(), watch_id, created: true, ..Wire::default() };
                return Ok(Some(created.encode_to_vec().into()));
            }
        }
    }
}

fn client(at_end: &AtEnd) -> Client<Channel<impl Transport>> {
    let at_end = at_end.clone();
    let member = Member::new(move |requests| Creating { requests, _end: at_end.armed() });
    let client = Client::builder().endpoints(["http://stub:1"]).build_on(member).unwrap();
    client.with_options(CallOptions::new().no_timeout())
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn from_1() -> Watch {
    Watch::new("a").from_revision(1).created_notify()
}

/// Was added, and never heard that nobody was there to take it in.
#[test]
fn a_watch_that_waits_when_the_runtime_of_the_others_ends_is_told() {
    let (first, second) = (runtime(), runtime());
    let client = client(&AtEnd::default());
    let watching = first.block_on(watch(&client, from_1()));
    let _context = second.enter();
    let mut coming = Box::pin(client.watch(from_1()));
    let polled = coming.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(polled.is_pending());
    drop(first);
    fails(second.block_on(in_time("the end", coming)), ErrorKind::Closed);
    drop(watching);
    // And the next one is served there.
    drop(second.block_on(watch(&client, from_1())));
}

/// The same while the task is on its way out.
#[test]
fn a_watch_that_comes_while_the_runtime_of_the_others_ends_is_told() {
    let first = runtime();
    let at_end = AtEnd::default();
    let client = client(&at_end);
    let mut watching = first.block_on(watch(&client, from_1()));
    // The stream is open.
    first.block_on(in_time("the creation", watching.next())).unwrap().unwrap();
    let (told, outcome) = oneshot::channel();
    at_end.set(move || {
        let mut coming = Box::pin(client.watch(from_1()));
        let polled = coming.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        let Poll::Ready(outcome) = polled else { panic!("nobody is there who would tell it") };
        assert!(told.send(outcome).is_ok());
    });
    drop(first);
    let outcome = runtime().block_on(in_time("the end of the runtime", outcome)).unwrap();
    fails(outcome, ErrorKind::Closed);
}
