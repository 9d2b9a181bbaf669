//! What bodies and headers become. Named after the tests of Go's client.

use std::time::UNIX_EPOCH;

use bytes::Bytes;
use http::HeaderMap;

use super::*;
use crate::error::{ErrorCode, ErrorKind};

fn answer(status: u16, headers: &[(&'static str, &str)], body: &str) -> Answer {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(*name, value.parse().unwrap());
    }
    Answer { status, headers: map, body: Bytes::copy_from_slice(body.as_bytes()) }
}

#[test]
fn unmarshal_successful_response() {
    let body = r#"{"action":"update","node":{"key":"/a","value":"1","modifiedIndex":6,"createdIndex":5,
        "expiration":"2015-04-07T04:40:23.044979686Z","ttl":10},
        "prevNode":{"key":"/a","value":"0","modifiedIndex":5,"createdIndex":5}}"#;
    let headers =
        [("x-etcd-index", "42"), ("x-etcd-cluster-id", "7e27652122e8b2ae"), ("x-raft-term", "2")];
    let response = decode(&answer(200, &headers, body)).unwrap();
    assert_eq!((response.action(), response.index()), (&Action::Update, 42));
    assert_eq!(response.cluster_id(), Some("7e27652122e8b2ae"));
    assert_eq!((response.raft_term(), response.raft_index()), (Some(2), None));
    let node = response.node().unwrap();
    assert_eq!((node.key(), node.name(), node.value()), ("/a", "a", Some("1")));
    assert_eq!((node.created_index(), node.modified_index()), (5, 6));
    let expiration = UNIX_EPOCH + Duration::new(1_428_381_623, 44_979_686);
    assert_eq!(node.expiration(), Some(expiration));
    assert_eq!(response.prev_node().unwrap().value(), Some("0"));
}

#[test]
fn bad_indexes_are_refused_and_missing_ones_are_zero() {
    let body = r#"{"action":"delete"}"#;
    assert_eq!(decode(&answer(200, &[], body)).unwrap().index(), 0);
    assert_eq!(decode(&answer(200, &[("x-etcd-index", "")], body)).unwrap().index(), 0);
    for bad in ["poo", "-1", "99999999999999999999"] {
        let error = decode(&answer(200, &[("x-etcd-index", bad)], body)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal, "{bad}");
    }
}

#[test]
fn directories_are_read_to_any_depth() {
    let body = r#"{"action":"get","node":{"dir":true,"nodes":[
        {"key":"/a","dir":true,"nodes":[{"key":"/a/b","value":"","createdIndex":1}]},
        {"key":"/c","dir":true,"nodes":null}]}}"#;
    let (node, _) = decode(&answer(200, &[], body)).unwrap().into_nodes();
    let node = node.unwrap();
    assert!(node.is_directory() && node.key().is_empty() && node.value().is_none());
    assert_eq!(node.nodes()[0].nodes()[0].value(), Some(""));
    assert!(node.nodes()[1].nodes().is_empty());
}

#[test]
fn json_is_case_sensitive_and_unknown_fields_are_ignored() {
    let body = r#"{"action":"get","node":{"key":"/a","KEY":"/b","TTL":5,"Value":"x","new":[1]}}"#;
    let response = decode(&answer(200, &[], body)).unwrap();
    let node = response.node().unwrap();
    assert_eq!((node.key(), node.value(), node.ttl()), ("/a", None, None));
}

#[test]
fn node_ttl_duration() {
    for (ttl, expected) in [("null", None), ("0", Some(0)), ("9", Some(9)), ("-1", Some(0))] {
        let body = format!(r#"{{"action":"get","node":{{"key":"/a","ttl":{ttl}}}}}"#);
        let response = decode(&answer(200, &[], &body)).unwrap();
        assert_eq!(response.node().unwrap().ttl(), expected.map(Duration::from_secs), "{ttl}");
    }
}

#[test]
fn unmarshal_failed_keys_response() {
    let body = r#"{"errorCode":100,"message":"Key not found","cause":"/foo","index":18}"#;
    let error = decode(&answer(404, &[], body)).unwrap_err();
    assert_eq!(error.error_code(), Some(ErrorCode::KEY_NOT_FOUND));
    assert_eq!((error.cause(), error.index()), (Some("/foo"), Some(18)));
    assert_eq!((error.kind(), error.status()), (ErrorKind::NotFound, Some(404)));
    assert_eq!(error.to_string(), "100: Key not found (/foo) [18]");
    assert!(!error.maybe_applied());
}

#[test]
fn unmarshal_failed_keys_response_bad_json() {
    for (status, body, kind) in [
        (400, "{", ErrorKind::InvalidArgument),
        (404, "404 page not found", ErrorKind::Unsupported),
        (418, "", ErrorKind::Internal),
        (200, "{", ErrorKind::Internal),
        (200, "", ErrorKind::Internal),
        (200, r#"{"node":{}}"#, ErrorKind::Internal),
        (200, r#"{"action":"get","node":{"expiration":"soon"}}"#, ErrorKind::Internal),
    ] {
        assert_eq!(decode(&answer(status, &[], body)).unwrap_err().kind(), kind, "{status} {body}");
    }
}

#[test]
fn every_code_has_a_kind() {
    for (code, status, kind) in [
        (100, 404, ErrorKind::NotFound),
        (101, 412, ErrorKind::Conflict),
        (102, 403, ErrorKind::WrongType),
        (104, 400, ErrorKind::WrongType),
        (105, 412, ErrorKind::Conflict),
        (107, 403, ErrorKind::PermissionDenied),
        (108, 403, ErrorKind::Conflict),
        (110, 401, ErrorKind::Unauthenticated),
        (202, 400, ErrorKind::InvalidArgument),
        (300, 500, ErrorKind::Unavailable),
        (301, 500, ErrorKind::NoLeader),
        (401, 400, ErrorKind::IndexCleared),
        (999, 400, ErrorKind::Internal),
    ] {
        let body = format!(r#"{{"errorCode":{code},"message":"m","cause":"c","index":1}}"#);
        assert_eq!(decode(&answer(status, &[], &body)).unwrap_err().kind(), kind, "{code}");
    }
}

#[test]
fn actions_have_etcds_names() {
    for name in ["get", "set", "compareAndSwap", "expire", "somethingNew"] {
        let action = Action::from(name.to_owned());
        assert_eq!(action.to_string(), name);
        assert_eq!(matches!(action, Action::Other(_)), name == "somethingNew");
    }
}
