//! The same generated requests to this server and to real etcd 3.7.1: the answers must be equal field by field, and so
//! must what watchers see. Only ids, terms and sizes may differ, and what depends on the time of day. Against older versions
//! there is a list of what differs (`known.rs`).
#![cfg(test)]

mod generate;
mod known;
mod normal;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use etcdkit_proto::etcdserverpb::watch_request::RequestUnion;
use etcdkit_proto::etcdserverpb::{
    AuthenticateRequest, WatchCreateRequest, WatchRequest, WatchResponse,
};
use etcdkit_proto::method;
use etcdkit_proto::mvccpb::Event;
use etcdkit_server::Server;
use etcdkit_testkit::etcd::{Etcd, Version};
use fastrand::Rng;
use h2::SendStream;
use prost::Message;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::peer::{Messages, Peer, Refused, framed};
use generate::{Call, Generator};

/// What both servers are asked, and how the one under test is reached.
struct Pair {
    ours: Peer,
    real: Peer,
}

impl Pair {
    async fn both(&self, call: &Call) -> (Outcome, Outcome) {
        let ours = self.ours.call_bytes(call.path, call.message.clone()).await;
        let real = self.real.call_bytes(call.path, call.message.clone()).await;
        (normal::of(call.path, ours), normal::of(call.path, real))
    }

    /// From here on both are asked by a user, or by nobody. The password of each is its name.
    async fn log_in(&mut self, name: &str) {
        for peer in [&mut self.ours, &mut self.real] {
            peer.token = None;
            let request = AuthenticateRequest { name: name.to_owned(), password: name.to_owned() };
            // Who was deleted is nobody.
            let answer = peer.call(method::auth::AUTHENTICATE, &request).await;
            peer.token = answer.ok().map(|answer| answer.token);
        }
        assert_eq!(self.ours.token.is_some(), self.real.token.is_some(), "{name}");
    }
}

/// What is compared: an answer as text, or why there is none.
type Outcome = Result<String, Refused>;

struct Watcher {
    _requests: SendStream<Bytes>,
    messages: Messages,
}

impl Watcher {
    /// A watch of everything from the first change on, one of a prefix with what was before, and one of deletions.
    async fn open(peer: &Peer) -> Self {
        let (mut requests, response) = peer.open(method::watch::WATCH.path()).await;
        let everything = WatchCreateRequest {
            key: vec![0].into(),
            range_end: vec![0].into(),
            start_revision: 2,
            watch_id: 7,
            ..WatchCreateRequest::default()
        };
        let before = WatchCreateRequest {
            key: "b".into(),
            range_end: "f".into(),
            prev_kv: true,
            ..WatchCreateRequest::default()
        };
        let deletions = WatchCreateRequest {
            key: "c".into(),
            filters: vec![0],
            prev_kv: true,
            ..WatchCreateRequest::default()
        };
        for request in [everything, before, deletions] {
            let request = WatchRequest { request_union: Some(RequestUnion::Create(request)) };
            requests.send_data(framed(&request.encode_to_vec()), false).unwrap();
        }
        let response = response.await.unwrap();
        let mut messages = Messages::new(response.into_body());
        // One that lags behind a compaction would be cancelled.
        for _ in 0..3 {
            let created = WatchResponse::decode(messages.next().await.unwrap().unwrap()).unwrap();
            assert!(created.created && !created.canceled, "{created:?}");
        }
        Self { _requests: requests, messages }
    }

    /// All events of each watch up to a revision, which the last change made. They come in whole revisions, in order.
    async fn events_until(&mut self, revision: i64) -> BTreeMap<i64, Vec<Event>> {
        let mut events: BTreeMap<i64, Vec<Event>> = BTreeMap::new();
        loop {
            let message = timeout(Duration::from_secs(60), self.messages.next()).await;
            let message =
                message.unwrap_or_else(|_| panic!("no revision {revision} in {events:?}"));
            let response = WatchResponse::decode(message.unwrap().unwrap()).unwrap();
            assert!(!response.canceled, "{response:?}");
            let of_watch = events.entry(response.watch_id).or_default();
            of_watch.extend(response.events);
            let last = |events: &Vec<Event>| events.last().and_then(|event| event.kv.clone());
            if events.get(&7).and_then(last).is_some_and(|kv| kv.mod_revision >= revision)
                && events.get(&0).and_then(last).is_some_and(|kv| kv.mod_revision >= revision)
                && events.get(&1).and_then(last).is_some_and(|kv| kv.mod_revision >= revision)
            {
                return events;
            }
        }
    }
}

/// Sends `count` requests to this server and to a version of etcd, after a seed that a failure prints.
async fn compare(version: Version, seed: u64, count: usize) {
    let etcd = Etcd::builder(version).argument("--bcrypt-cost=4").start().await;
    let server = Server::start_ephemeral().await.unwrap();
    let stream = TcpStream::connect(etcd.client_addr()).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let mut pair =
        Pair { ours: Peer::over(server.connect()).await, real: Peer::over(stream).await };
    let mut ours = Watcher::open(&pair.ours).await;
    let mut real = Watcher::open(&pair.real).await;

    let mut generator = Generator::new(Rng::with_seed(seed), version);
    let mut differences = Vec::new();
    let users = ["", "root", "u", "v"];
    let mut user = "";
    for number in 0..count {
        // In the second half it matters who asks.
        if number == count / 2 {
            for call in generator.users_matter() {
                let (a, b) = pair.both(&call).await;
                assert_eq!(a, b, "{}", call.shown);
            }
        }
        if number > count / 2 && generator.log_in() {
            user = generator.pick(&users);
            pair.log_in(user).await;
        }
        let call = generator.next(server.revision(), user);
        let (a, b) = pair.both(&call).await;
        if a.is_ok() {
            generator.done(&call);
        }
        if !known::same(version, &call, &a, &b) {
            differences.push(format!("{number}: {}\n  ours {a:?}\n  etcd {b:?}", call.shown));
            assert!(differences.len() < 5, "seed {seed}\n{}", differences.join("\n"));
        }
    }
    assert!(differences.is_empty(), "seed {seed}\n{}", differences.join("\n"));

    // Something that all three watches see comes last.
    pair.log_in("root").await;
    for call in generator.ending() {
        let (a, b) = pair.both(&call).await;
        assert!(known::same(version, &call, &a, &b), "{}\n  ours {a:?}\n  etcd {b:?}", call.shown);
        assert!(a.is_ok(), "{a:?}");
    }
    let last = server.revision();
    let (ours, real) = (ours.events_until(last).await, real.events_until(last).await);
    for (watch, events) in &real {
        assert_eq!(ours.get(watch), Some(events), "watch {watch}, seed {seed}");
    }
}

#[tokio::test]
async fn answers_and_events_are_those_of_etcd() {
    for seed in [1, 2, 3] {
        compare(Version::V3_7, seed, 1500).await;
    }
}

#[tokio::test]
#[ignore = "long: cargo xtask soak"]
async fn soak_answers_and_events_are_those_of_etcd() {
    for seed in 100..110 {
        compare(Version::V3_7, seed, 10_000).await;
    }
}

#[tokio::test]
async fn older_versions_differ_in_what_is_known() {
    for version in [Version::V3_5, Version::V3_6] {
        compare(version, 4, 1500).await;
    }
}

#[tokio::test]
#[ignore = "long: cargo xtask soak"]
async fn soak_older_versions_differ_in_what_is_known() {
    for version in [Version::V3_5, Version::V3_6] {
        for seed in 200..210 {
            compare(version, seed, 10_000).await;
        }
    }
}
