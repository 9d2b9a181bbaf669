use std::collections::BTreeSet;
use std::fs;

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{EnumDescriptorProto, FileDescriptorSet};

use super::{files, model, names, run, workspace};

fn descriptors() -> FileDescriptorSet {
    files::compile(&workspace().join("crates/proto/proto")).unwrap()
}

#[test]
fn committed_code_is_fresh() {
    run(true).unwrap();
}

#[test]
fn proto_files_say_what_is_on_the_wire() {
    let text = fs::read_to_string(workspace().join("crates/proto/tests/wire.txt")).unwrap();
    let wire: BTreeSet<String> =
        text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect();
    let mut ours = facts(&descriptors());
    // What etcd does not have.
    ours.retain(|fact| !fact.contains("grpc.reflection."));
    let missing: Vec<_> = wire.difference(&ours).collect();
    let surplus: Vec<_> = ours.difference(&wire).collect();
    assert!(missing.is_empty() && surplus.is_empty(), "missing {missing:#?}, surplus {surplus:#?}");
}

/// The descriptors in the form of `wire.txt`.
fn facts(set: &FileDescriptorSet) -> BTreeSet<String> {
    let mut facts = BTreeSet::new();
    for file in &set.file {
        let package = file.package();
        for item in &file.enum_type {
            values(&mut facts, package, item);
        }
        for message in &file.message_type {
            let full = format!("{package}.{}", message.name());
            facts.insert(format!("message {full}"));
            for item in &message.enum_type {
                values(&mut facts, &full, item);
            }
            for field in &message.field {
                let kind = match field.r#type() {
                    Type::Message | Type::Enum => field.type_name().trim_start_matches('.').into(),
                    scalar => scalar.as_str_name().trim_start_matches("TYPE_").to_lowercase(),
                };
                let label = match field.oneof_index {
                    Some(index) => format!(" oneof {}", message.oneof_decl[index as usize].name()),
                    None if field.label() == Label::Repeated => " repeated".to_owned(),
                    None => String::new(),
                };
                let (name, number) = (field.name(), field.number());
                facts.insert(format!("field {full}.{name} {number} {kind}{label}"));
            }
        }
        for service in &file.service {
            for rpc in &service.method {
                let shape = match (rpc.client_streaming(), rpc.server_streaming()) {
                    (false, false) => "unary",
                    (false, true) => "server-stream",
                    (true, true) => "bidi-stream",
                    (true, false) => "client-stream",
                };
                let (input, output) = (&rpc.input_type()[1..], &rpc.output_type()[1..]);
                facts.insert(format!(
                    "rpc /{package}.{}/{} {shape} {input} {output}",
                    service.name(),
                    rpc.name()
                ));
            }
        }
    }
    facts
}

fn values(facts: &mut BTreeSet<String>, parent: &str, item: &EnumDescriptorProto) {
    for value in &item.value {
        facts.insert(format!("value {parent}.{}.{} {}", item.name(), value.name(), value.number()));
    }
}

#[test]
fn secrets_are_fields_that_exist() {
    let set = descriptors();
    let messages = || set.file.iter().flat_map(|file| &file.message_type);
    for (message, field) in model::SECRET {
        let found = messages()
            .filter(|candidate| candidate.name() == message)
            .any(|candidate| candidate.field.iter().any(|f| f.name() == field));
        assert!(found, "{message}.{field}");
    }
}

#[test]
fn fields_in_snake_case() {
    for (proto, rust) in [
        ("ID", "id"),
        ("key", "key"),
        ("type", "r#type"),
        ("peerURLs", "peer_urls"),
        ("clientURLs", "client_urls"),
        ("memberID", "member_id"),
        ("member_ID", "member_id"),
        ("NodeID", "node_id"),
        ("grantedTTL", "granted_ttl"),
        ("remaining_TTL", "remaining_ttl"),
        ("RemainingTTL", "remaining_ttl"),
        ("keyPermission", "key_permission"),
        ("isLearner", "is_learner"),
        ("dbSizeInUse", "db_size_in_use"),
        ("v2", "v2"),
        ("LeaseTimeToLiveRequest", "lease_time_to_live_request"),
    ] {
        assert_eq!(names::ident(proto), rust);
    }
}

#[test]
fn types_and_variants_in_camel_case() {
    for (proto, rust) in [
        ("HashKVRequest", "HashKvRequest"),
        ("snapshot", "Snapshot"),
        ("ConfChangeV2", "ConfChangeV2"),
        ("LeaseTimeToLiveResponse", "LeaseTimeToLiveResponse"),
        ("NOT_EQUAL", "NotEqual"),
        ("READWRITE", "ReadWrite"),
        ("NOSPACE", "NoSpace"),
    ] {
        assert_eq!(names::camel(&names::words(proto)), rust);
    }
}

#[test]
fn variants_lose_what_they_share() {
    let strip = |strip: fn(&mut [Vec<String>]), variants: &[&str]| {
        let mut words: Vec<_> = variants.iter().map(|variant| names::words(variant)).collect();
        strip(&mut words);
        words.iter().map(|words| names::camel(words)).collect::<Vec<_>>()
    };
    let prefix = names::strip_prefix as fn(&mut [Vec<String>]);
    assert_eq!(strip(prefix, &["MsgHup", "MsgAppResp"]), ["Hup", "AppResp"]);
    assert_eq!(strip(prefix, &["NOPUT", "NODELETE"]), ["NoPut", "NoDelete"]);
    assert_eq!(strip(prefix, &["SERVING", "SERVING_NOT"]), ["Serving", "ServingNot"]);
    assert_eq!(strip(prefix, &["ALONE_HERE"]), ["AloneHere"]);
    let suffix = names::strip_suffix as fn(&mut [Vec<String>]);
    assert_eq!(strip(suffix, &["create_request", "cancel_request"]), ["Create", "Cancel"]);
}
