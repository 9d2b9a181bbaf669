//! Calls that go over many keys, polled by hand: whoever writes gets in between.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use etcdkit_proto::ServerError;
use etcdkit_proto::etcdserverpb::compare::CompareTarget;
use etcdkit_proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use etcdkit_proto::etcdserverpb::request_op::Request;
use etcdkit_proto::etcdserverpb::response_op::Response;
use etcdkit_proto::etcdserverpb::{
    AuthRoleAddRequest, AuthUserGrantRoleRequest, CompactionRequest, Compare, HashKvRequest,
    PutRequest, RangeRequest, RequestOp, ResponseHeader, ResponseOp, TxnRequest, TxnResponse,
};
use prost::Message as _;

use super::kv::txn;
use super::maintenance::{hash, hash_kv};
use crate::budget::{Budget, Hold};
use crate::caller::Caller;
use crate::clock::Clock;
use crate::config::Config;
use crate::grpc::PREFIX;
use crate::node::Node;
use crate::state::State;
use crate::status::Result;

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
    Budget::new(&node.held).hold()
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
