//! Calls that go over many keys, polled by hand: whoever writes gets in between.

use std::future::Future;
use std::mem;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use etcdkit_proto::ServerError;
use etcdkit_proto::etcdserverpb::compare::CompareTarget;
use etcdkit_proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use etcdkit_proto::etcdserverpb::request_op::Request;
use etcdkit_proto::etcdserverpb::response_op::Response;
use etcdkit_proto::etcdserverpb::{
    AuthRoleAddRequest, AuthUserGrantRoleRequest, CompactionRequest, Compare, HashKvRequest,
    LeaseGrantRequest, LeaseRevokeRequest, PutRequest, RangeRequest, RequestOp, ResponseHeader,
    ResponseOp, TxnRequest, TxnResponse,
};
use etcdkit_proto::leasepb::Lease;
use futures_util::FutureExt as _;
use futures_util::future::poll_immediate;
use prost::Message as _;

use super::kv::{range, txn};
use super::lease::renew;
use super::maintenance::{hash, hash_kv};
use super::session::Events;
use crate::budget::{Budget, Hold};
use crate::caller::Caller;
use crate::clock::Clock;
use crate::config::Config;
use crate::grpc::PREFIX;
use crate::mvcc::KeyRange;
use crate::node::Node;
use crate::state::State;
use crate::status::Result;
use crate::storage::{Batch, Bucket, Load, Memory, Source, Storage, StorageError};
use crate::task::spawn;

/// A node with keys for several pieces of each hash.
fn node() -> Arc<Node> {
    let mut state = State::new(Arc::new(Config::default()), 7);
    for number in 0..5000 {
        state.store.put(format!("key-{number:05}").as_bytes(), &[7; 500], 0);
        state.store.finish();
    }
    let revision = state.store.revision();
    state.publish(revision);
    Arc::new(Node::new(state, Clock::new(), false))
}

fn hold(node: &Node) -> Hold {
    Budget::new(&node.held).answer()
}

/// Reads a range on a connection of its own.
async fn read(node: &Arc<Node>, request: &RangeRequest) -> Result<Vec<u8>> {
    range(node, &Caller::default(), request, &mut hold(node)).await
}

/// Polls a call to its end, and writes whenever it lets others go on. Returns the answer, and how often that was.
fn with_puts_between<T>(node: &Node, call: impl Future<Output = Result<T>>) -> (T, i64) {
    let mut call = pin!(call);
    let mut context = Context::from_waker(Waker::noop());
    let mut puts = 0;
    loop {
        if let Poll::Ready(answer) = call.as_mut().poll(&mut context) {
            return (answer.unwrap(), puts);
        }
        let put = PutRequest { key: "meanwhile".into(), ..PutRequest::default() };
        let caller = Caller::default();
        let mut write = pin!(node.write_as(&caller, |state, who| state.put(who, &put)));
        assert!(write.as_mut().poll(&mut context).is_ready(), "the put waits");
        puts += 1;
    }
}

/// Polls a call that nobody writes beside.
fn alone<T>(call: impl Future<Output = Result<T>>) -> T {
    let mut call = pin!(call);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(answer) = call.as_mut().poll(&mut context) {
            return answer.unwrap();
        }
    }
}

#[test]
fn puts_do_not_wait_for_the_hash_of_a_large_store() {
    let node = node();
    let caller = Caller::default();
    let revision = node.state().store.revision();
    let at = HashKvRequest { revision };
    let expected = alone(hash_kv(&node, &caller, &at));
    let (found, puts) = with_puts_between(&node, hash_kv(&node, &caller, &at));
    assert_eq!(found, expected);
    assert!(puts > 3, "{puts}");
    assert_eq!(node.state().store.revision(), revision + puts);

    let expected = alone(hash(&node, &caller));
    let (found, puts) = with_puts_between(&node, hash(&node, &caller));
    assert_eq!(found, expected);
    assert!(puts > 1, "{puts}");
    assert_ne!(alone(hash(&node, &caller)).hash, expected.hash);
}

#[test]
fn a_compaction_hashes_what_it_leaves_a_piece_at_a_time() {
    let node = node();
    let caller = Caller::default();
    let revision = node.state().store.revision();
    let at = HashKvRequest { revision };
    let before = alone(hash_kv(&node, &caller, &at));
    let compact = CompactionRequest { revision, physical: false };
    alone(node.write_as(&caller, |state, who| state.compact(who, &compact)));
    assert!(node.state().remembered(revision).is_none(), "hashed under the lock");
    // Until it has come so far, who asks has it made.
    let asked = alone(hash_kv(&node, &caller, &at));
    assert_eq!((asked.hash, asked.compact_revision), (before.hash, -1));
    while node.state_mut().compact_some() {}
    let hashed = node.state().remembered(revision).unwrap();
    assert_eq!((hashed.hash, hashed.compacted), (before.hash, -1));
    assert_eq!(alone(hash_kv(&node, &caller, &at)), asked);
}

/// While long reads overlapped, not one record was removed.
#[test]
fn a_compaction_waits_for_the_reads_before_it_and_not_for_those_behind() {
    let node = node();
    let old = node.state().published();
    for number in 0..5000 {
        let put = PutRequest { key: format!("key-{number:05}").into(), ..PutRequest::default() };
        alone(node.write(|state| state.put(None, &put)));
    }
    let revision = node.state().published();
    let all = RangeRequest { key: "k".into(), range_end: "z".into(), ..RangeRequest::default() };
    let all_before = RangeRequest { revision: old, ..all.clone() };
    let [expected_before, expected] =
        [&all_before, &all].map(|request| alone(read(&node, request)));

    let mut context = Context::from_waker(Waker::noop());
    let mut before = pin!(read(&node, &all_before));
    assert!(before.as_mut().poll(&mut context).is_pending());
    let compact = CompactionRequest { revision, physical: false };
    alone(node.write(|state| state.compact(None, &compact)));
    while node.state_mut().compact_some() {}
    let mut behind = Box::pin(read(&node, &all));
    assert!(behind.as_mut().poll(&mut context).is_pending());
    while node.state_mut().compact_some() {}
    assert_eq!(node.state().totals.removed, 0, "it is still read");
    assert!(alone(before.as_mut()) == expected_before);
    // From here on some read is always under way.
    let mut steps = 0;
    while node.state_mut().compact_some() {
        let mut next = Box::pin(read(&node, &all));
        assert!(next.as_mut().poll(&mut context).is_pending());
        assert!(alone(mem::replace(&mut behind, next)) == expected);
        steps += 1;
    }
    assert!(steps > 3, "{steps}");
    assert_eq!(node.state().totals.removed, 5000);
    assert!(alone(behind) == expected);
    assert_eq!(node.state().copies.len(), 0);
}

#[tokio::test]
async fn puts_do_not_wait_for_a_transaction_that_reads_a_large_store() {
    let node = node();
    let caller = Caller::default();
    let all = RangeRequest { key: "k".into(), range_end: "z".into(), ..RangeRequest::default() };
    let revision = node.state().published();
    let ranges = [
        RangeRequest { limit: 3, ..all.clone() },
        all.clone(),
        RangeRequest { key: "none".into(), ..RangeRequest::default() },
        RangeRequest { revision: 2000, count_only: true, ..all.clone() },
        RangeRequest {
            sort_order: SortOrder::Descend.into(),
            sort_target: SortTarget::Mod.into(),
            ..all
        },
        RangeRequest { key: "meanwhile".into(), ..RangeRequest::default() },
    ];
    let operations: Vec<RequestOp> = ranges
        .iter()
        .map(|range| RequestOp { request: Some(Request::Range(range.clone())) })
        .collect();
    let mut compare = Compare { key: "key-00001".into(), ..Compare::default() };
    compare.set_target(CompareTarget::Lease);
    let request = TxnRequest { compare: vec![compare], success: operations, failure: Vec::new() };
    let header = ResponseHeader { revision, ..ResponseHeader::default() };
    let responses = ranges.iter().map(|range| {
        let found = node.state().range(None, range).unwrap().response(header.clone());
        ResponseOp { response: Some(Response::Range(found)) }
    });
    let expected = TxnResponse {
        responses: responses.collect(),
        header: Some(node.state().header(revision)),
        succeeded: true,
    };

    let (found, puts) =
        with_puts_between(&node, txn(&node, &caller, &request, 0, &mut hold(&node)));
    assert_eq!(TxnResponse::decode(&found[PREFIX..]).unwrap(), expected);
    assert_eq!(found[PREFIX..], expected.encode_to_vec());
    assert!(puts > 10, "{puts}");
}

#[tokio::test]
async fn a_renewal_is_not_answered_before_its_lease_is_durable() {
    let mut state = State::new(Arc::new(Config::default()), 7);
    state.keep_journal();
    let node = Arc::new(Node::new(state, Clock::new(), true));
    let caller = Caller::default();
    let committing = || {
        let node = Arc::clone(&node);
        spawn(async move { node.commit(Box::new(Memory)).await })
    };
    let renewed = || renew(&node, &caller, 5).map(|renewed| renewed.unwrap().ttl);

    let grant = LeaseGrantRequest { id: 5, ttl: 60 };
    let granted = node.write(|state| state.lease_grant(None, &grant, Duration::ZERO));
    assert!(granted.now_or_never().is_none(), "it is durable already");
    let mut waiting = Box::pin(renewed());
    assert_eq!(poll_immediate(&mut waiting).await, None, "a power cut would undo the grant");
    let committer = committing();
    assert_eq!(waiting.await, 60);
    committer.stopped().await;

    let put = PutRequest { key: "a".into(), ..PutRequest::default() };
    assert!(node.write(|state| state.put(None, &put)).now_or_never().is_none());
    assert_eq!(renewed().now_or_never(), Some(60), "what is on its way is not about leases");

    let revoke = LeaseRevokeRequest { id: 5 };
    assert!(node.write(|state| state.lease_revoke(None, &revoke)).now_or_never().is_none());
    let mut waiting = Box::pin(renewed());
    assert_eq!(poll_immediate(&mut waiting).await, None, "a power cut would undo its end");
    let _committer = committing();
    assert_eq!(waiting.await, 0);
}

#[tokio::test]
async fn a_renewal_that_outdates_a_checkpoint_is_stored() {
    let mut state = State::new(Arc::new(Config::default()), 7);
    let lease = |remaining_ttl| Lease { id: 5, ttl: 3600, remaining_ttl };
    let key = 5_i64.to_be_bytes();
    state.import(Bucket::Lease, &key, &lease(10).encode_to_vec(), Duration::ZERO).unwrap();
    state.keep_journal();
    let node = Arc::new(Node::new(state, Clock::new(), true));
    let caller = Caller::default();
    let renewed = renew(&node, &caller, 5);
    assert!(renewed.now_or_never().is_none(), "it is answered before it is stored");
    let (batch, _) = node.state_mut().take_batch();
    let mut expected = Batch::default();
    expected.put(Bucket::Lease, key, lease(0).encode_to_vec());
    assert_eq!(batch.operations()[..1], *expected.operations());
}

/// A disk that is full, with a lease of which a checkpoint left ten seconds.
#[derive(Debug)]
struct Full;

impl Full {
    const LEASE: i64 = 5;
}

impl Storage for Full {
    fn load(&mut self, each: &mut Load<'_>) -> Result<(), StorageError> {
        let lease = Lease { id: Self::LEASE, ttl: 3600, remaining_ttl: 10 };
        each(Bucket::Lease, &Self::LEASE.to_be_bytes(), &lease.encode_to_vec())
    }

    fn commit(&mut self, _: &Batch) -> Result<(), StorageError> {
        Err(StorageError::Full("the disk".to_owned()))
    }

    fn fill(&mut self, _: &mut Source<'_>) -> Result<(), StorageError> {
        Ok(())
    }
}

/// It was tried again at once, and each time all of the storage was read.
#[tokio::test]
async fn a_renewal_that_cannot_be_stored_on_a_full_disk_is_answered() {
    let config = Arc::new(Config::default());
    let mut state = State::of_storage(config, &mut Full, Duration::ZERO).unwrap();
    state.keep_journal();
    let node = Arc::new(Node::new(state, Clock::new(), true));
    let committing = Arc::clone(&node);
    let _committer = spawn(async move { committing.commit(Box::new(Full)).await });
    for _ in 0..2 {
        let renewed = renew(&node, &Caller::default(), Full::LEASE).await;
        assert_eq!(renewed.map(|renewed| renewed.ttl), Ok(3600));
        let state = node.state();
        let left = state.lessor.time_to_live(Full::LEASE, node.now()).unwrap().remaining;
        assert!(left > Duration::from_secs(10), "{left:?}");
        assert!(state.lessor.has_checkpoint(Full::LEASE), "what is stored is not known any more");
    }
}

/// All of it was one turn of the connection's task, whose other calls waited.
#[test]
fn a_watch_of_a_long_history_lets_others_go_on_while_it_catches_up() {
    let node = node();
    let none = KeyRange::single("none".into());
    let mut events = Events::of(&node, &Caller::default(), none, 2).unwrap();
    let mut next = pin!(events.next());
    let mut context = Context::from_waker(Waker::noop());
    let mut turns = 0;
    while node.state().hub.lagging() > 0 {
        assert!(next.as_mut().poll(&mut context).is_pending());
        turns += 1;
    }
    assert_eq!(turns, 5, "a thousand revisions in each");
}

#[test]
fn a_transaction_that_is_wrong_is_refused_before_its_token_and_before_anybody_waits() {
    let node = node();
    let caller = Caller { token: Some("none".into()), ..Caller::default() };
    {
        let mut state = node.state_mut();
        let name = || "root".to_owned();
        state.user_add(None, "root", Some("hash".to_owned())).unwrap();
        state.role_add(None, &AuthRoleAddRequest { name: name() }).unwrap();
        let grant = AuthUserGrantRoleRequest { user: name(), role: name() };
        state.user_grant_role(None, &grant).unwrap();
        state.auth_enable(None).unwrap();
    }
    let get = |key: &'static str| RangeRequest { key: key.into(), ..RangeRequest::default() };
    let get = |key| RequestOp { request: Some(Request::Range(get(key))) };
    let put = PutRequest { key: "a".into(), ..PutRequest::default() };
    let put = RequestOp { request: Some(Request::Put(put)) };
    for (success, expected) in [
        (vec![get("a")], ServerError::InvalidAuthToken),
        (vec![put.clone()], ServerError::InvalidAuthToken),
        (vec![get("")], ServerError::EmptyKey),
        (vec![get("a"); 129], ServerError::TooManyOps),
        (vec![put.clone(), get("")], ServerError::EmptyKey),
        (vec![put.clone(), put], ServerError::DuplicateKey),
    ] {
        let request = TxnRequest { success, ..TxnRequest::default() };
        let mut hold = hold(&node);
        let mut asked = pin!(txn(&node, &caller, &request, 0, &mut hold));
        let mut context = Context::from_waker(Waker::noop());
        let Poll::Ready(Err(refused)) = asked.as_mut().poll(&mut context) else {
            panic!("{expected:?} is not told");
        };
        assert_eq!(refused.message, expected.message(), "{request:?}");
    }
}
