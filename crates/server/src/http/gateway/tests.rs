//! Translation, checked by the messages' own types.

use etcdkit_proto::etcdserverpb::{HashKvResponse, RangeRequest, TxnRequest, WatchResponse};
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;
use serde_json::{Value, json};

use super::message::method;
use super::schema::METHODS;
use super::{decode, encode};
use crate::base64;

fn request<M: Message + Default>(path: &str, json: &Value) -> Result<M, String> {
    let input = method(path).expect("there is such a method").input;
    Ok(M::decode(decode::message(input, json)?.as_slice()).expect("it is valid"))
}

const RANGE: &str = "/etcdserverpb.KV/Range";

#[test]
fn requests_have_either_name_and_either_form() {
    let expected = RangeRequest {
        key: "foo".into(),
        limit: 10,
        sort_order: 2,
        keys_only: true,
        min_mod_revision: -5,
        ..RangeRequest::default()
    };
    for json in [
        json!({"key": "Zm9v", "limit": 10, "sort_order": "DESCEND", "keys_only": true, "min_mod_revision": -5}),
        json!({"key": "Zm9v", "limit": "10", "sortOrder": 2, "keysOnly": true, "minModRevision": "-5"}),
        json!({"key": "Zm9v", "limit": 1e1, "sort_order": "DESCEND", "keys_only": true, "min_mod_revision": -5.0,
               "range_end": null, "unknown": [1]}),
    ] {
        assert_eq!(request::<RangeRequest>(RANGE, &json), Ok(expected.clone()), "{json}");
    }
    // A name that no order has counts as none.
    let none = request::<RangeRequest>(RANGE, &json!({"sort_order": "UPWARDS"}));
    assert_eq!(none, Ok(RangeRequest::default()));
}

#[test]
fn what_is_wrong_is_named() {
    for (json, expected) in [
        (json!([]), "a request is an object, not a list"),
        (json!({"key": "!!"}), "field key must be base64, not \"!!\""),
        (json!({"key": 5}), "field key must be base64, not 5"),
        (json!({"limit": "x"}), "field limit must be a whole number, not \"x\""),
        (json!({"limit": 1.5}), "field limit must be a whole number, not 1.5"),
        (
            json!({"limit": 9_223_372_036_854_775_808_u64}),
            "field limit must be a whole number, not 9223372036854775808",
        ),
        (json!({"keys_only": "true"}), "field keys_only must be true or false, not \"true\""),
        (json!({"sort_order": {}}), "field sort_order must be a name or a number, not {}"),
    ] {
        assert_eq!(request::<RangeRequest>(RANGE, &json).unwrap_err(), expected);
    }
    let txn = "/etcdserverpb.KV/Txn";
    let error = request::<TxnRequest>(txn, &json!({"success": {}})).unwrap_err();
    assert_eq!(error, "field success must be a list, each of it an object, not {}");
}

#[test]
fn base64_is_that_of_everybody() {
    for (bytes, text) in [
        (&b""[..], ""),
        (b"f", "Zg=="),
        (b"fo", "Zm8="),
        (b"foo", "Zm9v"),
        (b"\xfb\xff\xbf", "+/+/"),
        (b"foobar", "Zm9vYmFy"),
    ] {
        let mut out = String::new();
        base64::encode(bytes, &mut out);
        assert_eq!(out, text);
        assert_eq!(base64::decode(text).as_deref(), Some(bytes), "{text}");
        assert_eq!(base64::decode(text.trim_end_matches('=')).as_deref(), Some(bytes), "{text}");
    }
    assert_eq!(base64::decode("-_-_").as_deref(), Some(&b"\xfb\xff\xbf"[..]));
    for text in ["A", "A=", "AA=", "AAAAA", "A===", "=", "AA==A", "A A=", "/_AA"] {
        assert_eq!(base64::decode(text), None, "{text}");
    }
}

#[test]
fn answers_have_what_is_on_the_wire() {
    let answer = |path: &str, message: &[u8]| -> Option<Value> {
        let mut out = String::new();
        encode::message(method(path).expect("there is such a method").output, message, &mut out)?;
        Some(serde_json::from_str(&out).expect("JSON"))
    };
    let hash = HashKvResponse { hash: u32::MAX, compact_revision: -1, ..HashKvResponse::default() };
    let path = "/etcdserverpb.Maintenance/HashKV";
    let expected = json!({"hash": 4_294_967_295_u32, "compact_revision": "-1"});
    assert_eq!(answer(path, &hash.encode_to_vec()), Some(expected));
    let path = "/etcdserverpb.Watch/Watch";
    let created = WatchResponse {
        created: true,
        cancel_reason: "\"\n".to_owned(),
        ..WatchResponse::default()
    };
    let expected = json!({"created": true, "cancel_reason": "\"\n"});
    assert_eq!(answer(path, &created.encode_to_vec()), Some(expected));
    // Neither of these is a message.
    for damaged in [&b"\x0a\xff"[..], b"\x0b", b"\xff", b"\x2a\x01\xff"] {
        assert_eq!(answer(path, damaged), None, "{damaged:?}");
    }
}

/// JSON with the names that messages have.
fn json() -> impl Strategy<Value = Value> {
    let name = prop::sample::select(vec![
        "key",
        "range_end",
        "rangeEnd",
        "compare",
        "success",
        "failure",
        "request_txn",
        "requestPut",
        "target",
        "create_request",
        "ID",
        "TTL",
        "perm",
        "name",
        "limit",
        "keys_only",
        "sort_order",
        "x",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
        "[A-Za-z0-9+/]{0,8}={0,2}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((name.clone(), inner), 0..6).prop_map(|fields| {
                Value::Object(
                    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
                )
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_request_is_encoded_soundly_or_refused(json in json(), method in 0..METHODS.len()) {
        let input = METHODS[method].input;
        if let Ok(wire) = decode::message(input, &json) {
            // What was encoded is a message of that kind, and so can be shown.
            let mut shown = String::new();
            prop_assert!(encode::message(input, &wire, &mut shown).is_some());
            let back: Value = serde_json::from_str(&shown).unwrap();
            prop_assert_eq!(decode::message(input, &back).unwrap(), wire);
        }
    }

    #[test]
    fn no_bytes_are_too_odd_to_be_shown_or_refused(wire in vec(any::<u8>(), 0..200), method in 0..METHODS.len()) {
        let mut shown = String::new();
        if encode::message(METHODS[method].output, &wire, &mut shown).is_some() {
            prop_assert!(serde_json::from_str::<Value>(&shown).is_ok(), "{}", shown);
        }
    }
}
