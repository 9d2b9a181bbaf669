//! No request reaches out of a namespace, whatever it is.

use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use super::*;
use crate::request::election::*;
use crate::request::lock::*;
use crate::request::roles::*;
use crate::request::{Compact, Compare, Delete, Get, KeyRange, Op, Put, Txn, Watch};
use crate::response::election::LeaderKey;
use crate::response::{
    Event, GetResponse, HeaderResponse, KeyValue, LeaseTimeToLiveResponse, ResponseHeader,
    TxnResponse, WatchResponse,
};
use crate::service::service_fn;
use crate::{AnyResponse, OpResponse};

/// Over few bytes, so that keys, ranges and prefixes meet.
fn bytes(length: std::ops::Range<usize>) -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![Just(0), Just(1), Just(b'a'), Just(0xfe), Just(0xff)];
    prop::collection::vec(byte, length)
}

fn range() -> impl Strategy<Value = KeyRange> {
    // Empty ones among them, as no builder makes them.
    prop_oneof![
        bytes(0..4).prop_map(KeyRange::key),
        bytes(0..4).prop_map(KeyRange::prefix),
        bytes(0..4).prop_map(KeyRange::from_key),
        (bytes(0..4), bytes(0..4))
            .prop_map(|(start, end)| KeyRange::from_parts(start.into(), end.into())),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let leaf = prop_oneof![
        range().prop_map(|range| Op::from(Get::new(range))),
        bytes(0..4).prop_map(|key| Put::new(key, "").into()),
        range().prop_map(|range| Delete::new(range).into()),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        let ops = || prop::collection::vec(inner.clone(), 0..3);
        (prop::collection::vec(range(), 0..3), ops(), ops()).prop_map(|(when, then, or_else)| {
            Txn::new()
                .when(when.into_iter().map(Compare::exists))
                .then(then)
                .or_else(or_else)
                .into()
        })
    })
}

fn lease() -> LeaseId {
    LeaseId::new(7).unwrap()
}

fn request() -> impl Strategy<Value = AnyRequest> {
    let leader =
        || (bytes(0..3), bytes(0..4)).prop_map(|(name, key)| LeaderKey::new(name, key, 3, lease()));
    prop_oneof![
        8 => op().prop_map(|op| match op {
            Op::Get(get) => AnyRequest::Get(get),
            Op::Put(put) => AnyRequest::Put(put),
            Op::Delete(delete) => AnyRequest::Delete(delete),
            Op::Txn(txn) => AnyRequest::Txn(txn),
        }),
        2 => op().prop_map(AnyRequest::Op),
        1 => bytes(0..4).prop_map(|name| AnyRequest::Lock(Lock::new(name, lease()))),
        1 => bytes(0..4).prop_map(|key| AnyRequest::Unlock(Unlock::new(key))),
        1 => bytes(0..4).prop_map(|name| AnyRequest::Campaign(Campaign::new(name, lease(), ""))),
        1 => leader().prop_map(|leader| AnyRequest::Proclaim(Proclaim::new(leader, ""))),
        1 => leader().prop_map(|leader| AnyRequest::Resign(Resign::new(leader))),
        1 => bytes(0..4).prop_map(|name| AnyRequest::Leader(Leader::of(name))),
        1 => range().prop_map(|range| AnyRequest::RoleGrantPermission(
            RoleGrantPermission::new("r", range, Permission::Read)
        )),
        1 => range().prop_map(|range| AnyRequest::RoleRevokePermission(
            RoleRevokePermission::new("r", range)
        )),
    ]
}

/// Every range of keys that a request is about. What etcd does under a name stays under that name and a slash.
fn ranges(request: &AnyRequest) -> Vec<KeyRange> {
    use AnyRequest as R;
    let under = |name: &[u8]| KeyRange::prefix([name, b"/"].concat());
    let proof = |leader: LeaderKey| vec![under(leader.name()), KeyRange::key(leader.key().clone())];
    match request {
        R::Get(get) => vec![get.key_range()],
        R::Put(put) => vec![KeyRange::key(put.key_bytes())],
        R::Delete(delete) => vec![delete.key_range()],
        R::Txn(txn) => of_op(&Op::Txn(txn.clone())),
        R::Op(op) => of_op(op),
        R::Lock(lock) => vec![under(lock.name())],
        R::Unlock(unlock) => vec![KeyRange::key(unlock.key())],
        R::Campaign(campaign) => vec![under(campaign.name())],
        R::Proclaim(proclaim) => proof(proclaim.leader()),
        R::Resign(resign) => proof(resign.leader()),
        R::Leader(leader) => vec![under(leader.name())],
        R::RoleGrantPermission(grant) => vec![grant.key_range()],
        R::RoleRevokePermission(revoke) => vec![revoke.key_range()],
        other => panic!("{other:?} is not among those made here"),
    }
}

fn of_op(op: &Op) -> Vec<KeyRange> {
    match op {
        Op::Get(get) => vec![get.key_range()],
        Op::Put(put) => vec![KeyRange::key(put.key_bytes())],
        Op::Delete(delete) => vec![delete.key_range()],
        Op::Txn(txn) => {
            let compares = txn.compares().map(|compare| compare.key_range());
            compares.chain(txn.success().chain(txn.failure()).flat_map(|op| of_op(&op))).collect()
        }
    }
}

/// Whether no key of the range lies outside: a range is an interval, so its first and its last key tell.
fn keeps_to(prefix: &[u8], range: &KeyRange) -> bool {
    let starts = range.start().starts_with(prefix) && range.start().len() > prefix.len();
    let last = crate::prefix_end(prefix);
    let ends = match range.end() {
        [] => true,
        [0] => *last == [0],
        end => *last == [0] || *end <= *last,
    };
    starts && ends
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn no_request_leaves_the_namespace(start in bytes(1..4), request in request()) {
        let prefix = Prefix::new(start.clone().into());
        let before = ranges(&request);
        match prefix.request_in(request) {
            Ok(moved) => {
                let after = ranges(&moved);
                prop_assert_eq!(before.len(), after.len());
                for range in after {
                    prop_assert!(keeps_to(&start, &range), "{:?} leaves {:?}", range, start);
                }
            }
            // Only an empty key is a reason to refuse.
            Err(error) => {
                prop_assert_eq!(error.kind(), ErrorKind::InvalidArgument);
                prop_assert!(before.iter().any(|range| range.start().is_empty()), "{}", error);
            }
        }
    }

    #[test]
    fn no_stream_leaves_the_namespace(start in bytes(1..4), range in range(), name in bytes(0..3)) {
        use AnyStreamRequest as R;
        let prefix = Prefix::new(start.clone().into());
        for stream in [R::GetStream(Get::new(range.clone()).streamed()), R::Watch(Watch::new(range.clone()))] {
            match prefix.stream_in(stream) {
                Ok(R::GetStream(stream)) => prop_assert!(keeps_to(&start, &stream.get().key_range())),
                Ok(R::Watch(watch)) => prop_assert!(keeps_to(&start, &watch.key_range())),
                Ok(other) => panic!("{other:?}"),
                Err(error) => prop_assert!(range.start().is_empty(), "{}", error),
            }
        }
        let R::Observe(observe) = prefix.stream_in(R::Observe(Observe::new(name))).unwrap() else {
            panic!("an observation stays one");
        };
        prop_assert!(observe.name().starts_with(&start));
    }

    /// Two namespaces within each other are one with both prefixes.
    #[test]
    fn namespaces_nest(outer in bytes(0..3), inner in bytes(0..3), request in request()) {
        let both = Prefix::new([outer.clone(), inner.clone()].concat().into());
        let (outer, inner) = (Prefix::new(outer.into()), Prefix::new(inner.into()));
        let nested = inner.request_in(request.clone()).and_then(|request| outer.request_in(request));
        let at_once = both.request_in(request);
        match (nested, at_once) {
            (Ok(nested), Ok(at_once)) => {
                // The end of the inner namespace is a key of the outer one, or the outer one's end: the same keys.
                for (one, other) in ranges(&nested).iter().zip(ranges(&at_once)) {
                    prop_assert_eq!(one, &other);
                }
            }
            (Err(_), Err(_)) => {}
            (nested, at_once) => prop_assert!(false, "{:?} and {:?}", nested, at_once),
        }
    }
}

#[test]
fn an_empty_key_is_refused_by_its_place() {
    let prefix = Prefix::new("p/".into());
    let txn = Txn::new().then([Txn::new().or_else([Get::new("a"), Get::new("")])]);
    let error = prefix.request_in(AnyRequest::Txn(txn)).unwrap_err();
    assert!(error.to_string().starts_with("then[0]: or_else[1]: the key"), "{error}");
}

#[test]
fn what_belongs_to_all_is_passed_on() {
    let prefix = Prefix::new("p/".into());
    let compact = AnyRequest::Compact(Compact::new(7));
    assert_eq!(prefix.request_in(compact.clone()).unwrap(), compact);
    let snapshot = AnyStreamRequest::Snapshot(crate::request::snapshot::Snapshot::new());
    let refused = prefix.stream_in(snapshot.clone()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
    assert_eq!(Prefix::new("".into()).stream_in(snapshot.clone()).unwrap(), snapshot);
}

/// Whatever a server answers, no key from outside is passed on, and nothing panics.
#[test]
fn a_server_that_answers_with_foreign_keys_is_not_believed() {
    let prefix = Prefix::new(Bytes::from_static(b"pfx\xff"));
    // What a range that ended one key too late would hold.
    let foreign = || KeyValue::new([b'p', b'f', b'y'], "secret");
    let own = || KeyValue::new(b"pfx\xffa", "1");
    let get = |kv| GetResponse::new(ResponseHeader::at(3), [kv]);
    assert_eq!(prefix.get_out(get(own())).unwrap(), get(KeyValue::new("a", "1")));
    let nested = TxnResponse::success(ResponseHeader::at(3), [OpResponse::from(get(foreign()))]);
    let nested = TxnResponse::failure(ResponseHeader::at(3), [OpResponse::from(nested)]);
    let watch = WatchResponse::new(ResponseHeader::at(3), [Event::delete(foreign())]);
    let errors = [
        prefix.response_out(AnyResponse::Get(get(foreign()))).unwrap_err(),
        prefix.response_out(AnyResponse::Txn(nested)).unwrap_err(),
        prefix.watch_out(watch).unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::Internal, "{error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}

/// A lease that holds keys of others is not revoked, and its foreign keys are not shown.
#[tokio::test]
async fn a_lease_with_foreign_keys_is_not_revoked() {
    let keys = Arc::new(Mutex::new(vec![Bytes::from("a/1"), Bytes::from("b/1")]));
    let (seen, revoked) = (Arc::clone(&keys), Arc::new(Mutex::new(0)));
    let counted = Arc::clone(&revoked);
    let cluster = Client::from_service(service_fn(move |request| {
        let (keys, counted) = (Arc::clone(&seen), Arc::clone(&counted));
        async move {
            match request {
                AnyRequest::LeaseTimeToLive(_) => {
                    let answer = LeaseTimeToLiveResponse::new(ResponseHeader::at(3), None);
                    let keys = keys.lock().unwrap().clone();
                    Ok(AnyResponse::LeaseTimeToLive(answer.with_keys(keys)))
                }
                AnyRequest::LeaseRevoke(_) => {
                    *counted.lock().unwrap() += 1;
                    Ok(AnyResponse::LeaseRevoke(HeaderResponse::default()))
                }
                other => panic!("unexpected {other:?}"),
            }
        }
    }));
    let client = cluster.namespace("a/");
    let shown = client.time_to_live(LeaseTimeToLive::new(lease()).keys()).await.unwrap();
    assert_eq!(shown.keys(), [Bytes::from("1")]);
    let error = client.revoke(lease()).await.unwrap_err();
    assert_eq!((error.kind(), *revoked.lock().unwrap()), (ErrorKind::PermissionDenied, 0));
    keys.lock().unwrap().pop();
    client.revoke(lease()).await.unwrap();
    assert_eq!(*revoked.lock().unwrap(), 1);
}
