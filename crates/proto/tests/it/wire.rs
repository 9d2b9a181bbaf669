//! Every message against `tests/wire.txt`, with an encoder of its own.
//!
//! For each message the facts give bytes with every field set; the message must decode and encode
//! to the same bytes, so that no field can be missing or have another number or type.

use std::collections::BTreeMap;

use prost::Message;

/// The facts, as lines of words.
pub(crate) fn facts(kind: &str) -> Vec<Vec<&'static str>> {
    let lines = include_str!("../wire.txt").lines();
    let words = lines.map(|line| line.split(' ').collect::<Vec<_>>());
    words.filter(|words| words[0] == kind).map(|words| words[1..].to_vec()).collect()
}

#[derive(Clone, Copy)]
struct Field {
    number: u64,
    kind: &'static str,
    repeated: bool,
    oneof: Option<&'static str>,
}

struct Facts(BTreeMap<&'static str, Vec<Field>>);

impl Facts {
    fn load() -> Self {
        let mut messages: BTreeMap<&str, Vec<Field>> =
            facts("message").into_iter().map(|words| (words[0], Vec::new())).collect();
        for words in facts("field") {
            let (message, _) = words[0].rsplit_once('.').unwrap();
            messages.get_mut(message).unwrap().push(Field {
                number: words[1].parse().unwrap(),
                kind: words[2],
                repeated: words.get(3) == Some(&"repeated"),
                oneof: words.get(4).copied(),
            });
        }
        messages.values_mut().for_each(|fields| fields.sort_by_key(|field| field.number));
        Self(messages)
    }

    /// The message with all fields set, in the order of their numbers; of a oneof the field at
    /// `choice`, counted round.
    fn sample(&self, message: &str, choice: usize, depth: usize) -> Vec<u8> {
        let mut out = Vec::new();
        if depth == 0 {
            return out;
        }
        let fields = &self.0[message];
        let alternatives: Vec<_> = fields.iter().filter(|field| field.oneof.is_some()).collect();
        for field in fields {
            if field.oneof.is_some()
                && alternatives[choice % alternatives.len()].number != field.number
            {
                continue;
            }
            let mut value = Vec::new();
            let delimited = match field.kind {
                "int64" | "uint64" | "uint32" | "bool" => false,
                "string" | "bytes" => true,
                kind => self.0.contains_key(kind),
            };
            match field.kind {
                "string" | "bytes" => value.extend_from_slice(b"etcd"),
                kind if delimited => value = self.sample(kind, choice, depth - 1),
                // 1 is true, and a value of every enum.
                _ => value.push(1),
            }
            // proto3 packs repeated numbers, proto2 does not.
            let packed = field.repeated && !delimited && !message.starts_with("raftpb.");
            let wire_type = if delimited || packed { 2 } else { 0 };
            for _ in 0..if field.repeated && !packed { 2 } else { 1 } {
                varint(&mut out, field.number << 3 | wire_type);
                if wire_type == 2 {
                    varint(&mut out, value.len() as u64);
                }
                out.extend_from_slice(&value);
            }
        }
        out
    }
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn check<M: Message + Default + PartialEq + std::fmt::Debug>(facts: &Facts, name: &str) {
    for choice in 0..5 {
        let bytes = facts.sample(name, choice, 5);
        let message = M::decode(bytes.as_slice()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(message.encode_to_vec(), bytes, "{name}: {message:?}");
        assert_eq!(message.encoded_len(), bytes.len(), "{name}");
        let mut cleared = message;
        cleared.clear();
        assert_eq!(cleared, M::default(), "{name}");
        assert_eq!(cleared.encode_to_vec(), [], "{name}");
    }
}

macro_rules! proto_name {
    ($message:ident) => {
        stringify!($message)
    };
    ($message:ident $name:literal) => {
        $name
    };
}

macro_rules! messages {
    ($($module:ident $package:literal: [$($message:ident $(= $name:literal)?),*];)*) => {
        const CHECKS: &[(&str, fn(&Facts, &str))] = &[$($((
            concat!($package, ".", proto_name!($message $($name)?)),
            check::<etcdkit_proto::$module::$message>,
        ),)*)*];
    };
}

messages! {
        authpb "authpb": [Permission, Role, User, UserAddOptions];
        etcdserverpb "etcdserverpb": [AlarmMember, AlarmRequest, AlarmResponse, AuthDisableRequest,
        AuthDisableResponse, AuthEnableRequest, AuthEnableResponse, AuthRoleAddRequest,
        AuthRoleAddResponse, AuthRoleDeleteRequest, AuthRoleDeleteResponse, AuthRoleGetRequest,
        AuthRoleGetResponse, AuthRoleGrantPermissionRequest, AuthRoleGrantPermissionResponse,
        AuthRoleListRequest, AuthRoleListResponse, AuthRoleRevokePermissionRequest,
        AuthRoleRevokePermissionResponse, AuthStatusRequest, AuthStatusResponse, AuthUserAddRequest,
        AuthUserAddResponse, AuthUserChangePasswordRequest, AuthUserChangePasswordResponse,
        AuthUserDeleteRequest, AuthUserDeleteResponse, AuthUserGetRequest, AuthUserGetResponse,
        AuthUserGrantRoleRequest, AuthUserGrantRoleResponse, AuthUserListRequest,
        AuthUserListResponse, AuthUserRevokeRoleRequest, AuthUserRevokeRoleResponse,
        AuthenticateRequest, AuthenticateResponse, CompactionRequest, CompactionResponse, Compare,
        DefragmentRequest, DefragmentResponse, DeleteRangeRequest, DeleteRangeResponse,
        DowngradeInfo, DowngradeRequest, DowngradeResponse, DowngradeVersionTestRequest,
        EmptyResponse, HashKvRequest = "HashKVRequest", HashKvResponse = "HashKVResponse",
        HashRequest, HashResponse, InternalAuthenticateRequest, InternalRaftRequest,
        LeaseCheckpoint, LeaseCheckpointRequest, LeaseCheckpointResponse, LeaseGrantRequest,
        LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseLeasesRequest,
        LeaseLeasesResponse, LeaseRevokeRequest, LeaseRevokeResponse, LeaseStatus,
        LeaseTimeToLiveRequest, LeaseTimeToLiveResponse, Member, MemberAddRequest,
        MemberAddResponse, MemberListRequest, MemberListResponse, MemberPromoteRequest,
        MemberPromoteResponse, MemberRemoveRequest, MemberRemoveResponse, MemberUpdateRequest,
        MemberUpdateResponse, Metadata, MoveLeaderRequest, MoveLeaderResponse, PutRequest,
        PutResponse, RangeRequest, RangeResponse, RangeStreamResponse, Request, RequestHeader,
        RequestOp, ResponseHeader, ResponseOp, SnapshotRequest, SnapshotResponse, StatusRequest,
        StatusResponse, TxnRequest, TxnResponse, WatchCancelRequest, WatchCreateRequest,
        WatchProgressRequest, WatchRequest, WatchResponse];
        grpc_health_v1 "grpc.health.v1": [HealthCheckRequest, HealthCheckResponse];
        leasepb "leasepb": [Lease, LeaseInternalRequest, LeaseInternalResponse];
        membershippb "membershippb": [Attributes, ClusterMemberAttrSetRequest,
        ClusterVersionSetRequest, DowngradeInfoSetRequest, Member, RaftAttributes];
        mvccpb "mvccpb": [Event, KeyValue];
        raftpb "raftpb": [ConfChange, ConfChangeSingle, ConfChangeV2, ConfState, Entry, HardState,
        Message, Snapshot, SnapshotMetadata];
        snappb "snappb": [Snapshot = "snapshot"];
        v3electionpb "v3electionpb": [CampaignRequest, CampaignResponse, LeaderKey, LeaderRequest,
        LeaderResponse, ProclaimRequest, ProclaimResponse, ResignRequest, ResignResponse];
        v3lockpb "v3lockpb": [LockRequest, LockResponse, UnlockRequest, UnlockResponse];
        walpb "walpb": [Record, Snapshot];
}

#[test]
fn every_message_has_every_field() {
    let facts = Facts::load();
    let mut unchecked: Vec<_> = facts.0.keys().collect();
    for (name, check) in CHECKS {
        check(&facts, name);
        unchecked.retain(|message| *message != name);
    }
    assert_eq!(unchecked, Vec::<&&str>::new());
}
