//! What a member still does while an alarm is raised, beside etcd 3.7.1.
#![cfg(test)]

use etcdkit_proto::etcdserverpb::alarm_request::AlarmAction;
use etcdkit_proto::etcdserverpb::request_op::Request;
use etcdkit_proto::etcdserverpb::*;
use etcdkit_proto::method::{self, Method, auth, kv, lease, maintenance};
use etcdkit_proto::v3electionpb::CampaignRequest;
use etcdkit_proto::v3lockpb::LockRequest;
use etcdkit_server::Server;
use etcdkit_testkit::etcd::{Etcd, Version};
use prost::Message;
use tokio::net::TcpStream;

use crate::peer::Peer;

type Call = (&'static str, Vec<u8>);

fn call<Q: Message, A>(method: Method<Q, A>, request: &Q) -> Call {
    (method.path(), request.encode_to_vec())
}

fn txn(then: Request) -> TxnRequest {
    TxnRequest { success: vec![RequestOp { request: Some(then) }], ..TxnRequest::default() }
}

/// Requests of every kind. Each can be made again.
fn calls() -> Vec<Call> {
    let put = PutRequest { key: "a".into(), value: "v".into(), ..PutRequest::default() };
    let get = RangeRequest { key: "a".into(), ..RangeRequest::default() };
    let serializable = RangeRequest { serializable: true, ..get.clone() };
    let delete = DeleteRangeRequest { key: "b".into(), ..DeleteRangeRequest::default() };
    let lock = LockRequest { name: "l".into(), lease: 7 };
    let campaign = CampaignRequest { name: "e".into(), lease: 7, value: "v".into() };
    vec![
        call(lease::GRANT, &LeaseGrantRequest { id: 8, ttl: 600 }),
        call(lease::REVOKE, &LeaseRevokeRequest { id: 8 }),
        call(lease::REVOKE, &LeaseRevokeRequest { id: 9 }),
        call(lease::TIME_TO_LIVE, &LeaseTimeToLiveRequest { id: 7, keys: true }),
        call(lease::LEASES, &LeaseLeasesRequest {}),
        call(kv::PUT, &put),
        call(kv::RANGE, &get),
        call(kv::RANGE, &serializable),
        call(kv::DELETE_RANGE, &delete),
        call(kv::TXN, &TxnRequest::default()),
        call(kv::TXN, &txn(Request::Put(put.clone()))),
        call(kv::TXN, &txn(Request::Range(get))),
        call(kv::TXN, &txn(Request::Range(serializable))),
        call(kv::TXN, &txn(Request::DeleteRange(delete))),
        call(kv::TXN, &txn(Request::Txn(txn(Request::Put(put))))),
        call(kv::COMPACT, &CompactionRequest { revision: 0, physical: false }),
        call(kv::COMPACT, &CompactionRequest { revision: 1_000_000, physical: true }),
        call(auth::USER_LIST, &AuthUserListRequest {}),
        call(auth::ROLE_ADD, &AuthRoleAddRequest { name: "r".to_owned() }),
        call(auth::ROLE_DELETE, &AuthRoleDeleteRequest { role: "r".to_owned() }),
        call(auth::STATUS, &AuthStatusRequest {}),
        call(auth::ENABLE, &AuthEnableRequest {}),
        call(maintenance::HASH_KV, &HashKvRequest::default()),
        call(maintenance::DEFRAGMENT, &DefragmentRequest {}),
        call(method::cluster::MEMBER_LIST, &MemberListRequest { linearizable: true }),
        call(method::lock::LOCK, &lock),
        call(method::election::CAMPAIGN, &campaign),
    ]
}

#[tokio::test]
async fn what_is_refused_while_an_alarm_is_raised_is_what_etcd_refuses() {
    let etcd = Etcd::builder(Version::V3_7).start().await;
    let server = Server::start_ephemeral().await.unwrap();
    let stream = TcpStream::connect(etcd.client_addr()).await.unwrap();
    let peers = [Peer::over(server.connect()).await, Peer::over(stream).await];
    for peer in &peers {
        peer.call(lease::GRANT, &LeaseGrantRequest { id: 7, ttl: 600 }).await.unwrap();
    }
    let mut differences = Vec::new();
    for alarm in [AlarmType::None, AlarmType::NoSpace, AlarmType::Corrupt, AlarmType::None] {
        let change = |action: AlarmAction, alarm: AlarmType| AlarmRequest {
            action: action.into(),
            alarm: alarm.into(),
            member_id: 0,
        };
        if alarm != AlarmType::None {
            for peer in &peers {
                let raise = change(AlarmAction::Activate, alarm);
                peer.call(maintenance::ALARM, &raise).await.unwrap();
            }
        }
        let mut refused = 0;
        for (path, message) in calls() {
            let mut told = Vec::new();
            for peer in &peers {
                told.push(peer.call_bytes(path, message.clone()).await.err());
            }
            refused += usize::from(told[0].is_some());
            if told[0] != told[1] {
                differences.push(format!("{alarm:?}, {path} {message:?}: {told:?}"));
            }
        }
        assert!(refused > 0, "{alarm:?}");
        for peer in &peers {
            let lower = change(AlarmAction::Deactivate, alarm);
            peer.call(maintenance::ALARM, &lower).await.unwrap();
        }
    }
    assert!(differences.is_empty(), "{differences:#?}");
}
