//! The table of RPCs against `tests/wire.txt`.

use etcdkit_proto::etcdserverpb::{RangeResponse, RangeStreamResponse, ResponseHeader};
use etcdkit_proto::method::{self, Class, Method, MethodInfo, Patience, Shape};
use etcdkit_proto::{HasHeader, ServerError};

use crate::wire::facts;

/// The RPCs that etcd has. It has no reflection.
fn of_etcd() -> impl Iterator<Item = &'static MethodInfo> {
    method::ALL.iter().filter(|info| !info.service.starts_with("grpc.reflection."))
}

#[test]
fn every_rpc_is_in_the_table() {
    let mut wire = Vec::new();
    for words in facts("rpc") {
        let shape = match words[1] {
            "unary" => Shape::Unary,
            "server-stream" => Shape::ServerStream,
            "bidi-stream" => Shape::Bidi,
            other => panic!("{other}"),
        };
        wire.push((words[0], shape));
    }
    let mut table: Vec<_> = of_etcd().map(|info| (info.path, info.shape)).collect();
    let by_path = |row: &(&'static str, Shape)| row.0;
    wire.sort_by_key(by_path);
    table.sort_by_key(by_path);
    assert_eq!(table, wire);
}

#[test]
fn messages_are_those_on_the_wire() {
    fn last(path: &str) -> String {
        path.rsplit(['.', ':']).next().unwrap().to_lowercase()
    }
    /// Every answer of etcd's own services has a header.
    fn etcd<Req, Res: HasHeader + Default>(method: Method<Req, Res>) {
        assert_eq!(Res::default().header(), None);
        check(method);
    }
    fn check<Req, Res>(method: Method<Req, Res>) {
        let row = facts("rpc").into_iter().find(|words| words[0] == method.path()).unwrap();
        assert_eq!(last(std::any::type_name::<Req>()), last(row[2]), "{method:?}");
        assert_eq!(last(std::any::type_name::<Res>()), last(row[3]), "{method:?}");
    }
    macro_rules! all {
        ($check:ident $($module:ident: $($constant:ident)*;)*) => {{
            $($($check(method::$module::$constant);)*)*
            [$($(method::$module::$constant.path(),)*)*].len()
        }};
    }
    let checked = all! { etcd
        kv: RANGE RANGE_STREAM PUT DELETE_RANGE TXN COMPACT;
        watch: WATCH;
        lease: GRANT REVOKE KEEP_ALIVE TIME_TO_LIVE LEASES;
        cluster: MEMBER_ADD MEMBER_REMOVE MEMBER_UPDATE MEMBER_LIST MEMBER_PROMOTE;
        maintenance: ALARM STATUS DEFRAGMENT HASH HASH_KV SNAPSHOT MOVE_LEADER DOWNGRADE;
        auth: ENABLE DISABLE STATUS AUTHENTICATE USER_ADD USER_GET USER_LIST USER_DELETE
            USER_CHANGE_PASSWORD USER_GRANT_ROLE USER_REVOKE_ROLE ROLE_ADD ROLE_GET ROLE_LIST
            ROLE_DELETE ROLE_GRANT_PERMISSION ROLE_REVOKE_PERMISSION;
        lock: LOCK UNLOCK;
        election: CAMPAIGN PROCLAIM LEADER OBSERVE RESIGN;
    } + all! { check
        health: CHECK WATCH;
    };
    assert_eq!(checked, of_etcd().count());
}

#[test]
fn paths_are_found_and_made_of_their_parts() {
    for info in method::ALL {
        assert_eq!(MethodInfo::by_path(info.path), Some(info));
        assert_eq!(info.path, format!("/{}/{}", info.service, info.name));
    }
    assert_eq!(MethodInfo::by_path("/etcdserverpb.KV/range"), None);
    assert_eq!(MethodInfo::by_path(""), None);
}

#[test]
fn streams_are_patient_as_streams() {
    for info in method::ALL {
        let stream = info.shape != Shape::Unary;
        assert_eq!(stream, info.patience == Patience::Stream, "{}", info.path);
        assert!(info.done.is_none() || info.class == Class::Repeatable, "{}", info.path);
    }
}

#[test]
fn what_must_not_be_repeated_is_a_write() {
    for info in [
        method::lease::GRANT.info(),
        method::kv::PUT.info(),
        method::kv::TXN.info(),
        method::maintenance::ALARM.info(),
        method::maintenance::DEFRAGMENT.info(),
        method::auth::ENABLE.info(),
        method::lock::LOCK.info(),
        method::election::CAMPAIGN.info(),
    ] {
        assert_eq!(info.class, Class::Write, "{}", info.path);
    }
    assert_eq!(method::lease::REVOKE.info().done, Some(ServerError::LeaseNotFound));
    assert_eq!(method::auth::STATUS.class(), Class::Read);
    assert_eq!(method::maintenance::SNAPSHOT.class(), Class::Read);
}

#[test]
fn a_piece_of_a_range_has_the_header_of_its_range() {
    let header = ResponseHeader { revision: 7, ..Default::default() };
    let range = RangeResponse { header: Some(header.clone()), ..Default::default() };
    let piece = RangeStreamResponse { range_response: Some(range) };
    assert_eq!(piece.header(), Some(&header));
}
