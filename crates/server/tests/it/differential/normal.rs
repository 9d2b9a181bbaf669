//! What of an answer is compared.

use bytes::Bytes;
use etcdkit_proto::etcdserverpb::*;
use etcdkit_proto::method::{auth, kv, lease, maintenance};
use prost::Message;

use super::Outcome;
use crate::peer::Refused;

/// Ids and terms differ between clusters.
fn header(header: &mut Option<ResponseHeader>) {
    if let Some(header) = header {
        *header = ResponseHeader { revision: header.revision, ..ResponseHeader::default() };
    }
}

macro_rules! shown {
    ($answer:ident: $message:ty $(, $change:expr)?) => {{
        let mut message = <$message>::decode($answer).unwrap();
        header(&mut message.header);
        $(
            let change: fn(&mut $message) = $change;
            change(&mut message);
        )?
        format!("{message:?}")
    }};
}

/// The answer as text, without what may differ.
pub(super) fn of(path: &str, answer: Result<Bytes, Refused>) -> Outcome {
    let answer = answer?;
    Ok(if path == kv::RANGE.path() {
        shown!(answer: RangeResponse)
    } else if path == kv::PUT.path() {
        shown!(answer: PutResponse)
    } else if path == kv::DELETE_RANGE.path() {
        shown!(answer: DeleteRangeResponse)
    } else if path == kv::TXN.path() {
        shown!(answer: TxnResponse)
    } else if path == kv::COMPACT.path() {
        shown!(answer: CompactionResponse)
    } else if path == lease::GRANT.path() {
        shown!(answer: LeaseGrantResponse)
    } else if path == lease::REVOKE.path() {
        shown!(answer: LeaseRevokeResponse)
    } else if path == lease::TIME_TO_LIVE.path() {
        shown!(answer: LeaseTimeToLiveResponse, |message| {
            message.keys.sort_unstable();
            // Both are asked at about the same time.
            message.ttl = message.ttl.signum();
        })
    } else if path == lease::LEASES.path() {
        shown!(answer: LeaseLeasesResponse, |message| message.leases.sort_by_key(|lease| lease.id))
    } else if path == maintenance::HASH_KV.path() {
        shown!(answer: HashKvResponse)
    } else if path == auth::AUTHENTICATE.path() {
        shown!(answer: AuthenticateResponse, |message| message.token.clear())
    } else if path == auth::STATUS.path() {
        shown!(answer: AuthStatusResponse)
    } else if path == auth::USER_GET.path() {
        shown!(answer: AuthUserGetResponse)
    } else if path == auth::USER_LIST.path() {
        shown!(answer: AuthUserListResponse)
    } else if path == auth::ROLE_GET.path() {
        shown!(answer: AuthRoleGetResponse)
    } else if path == auth::ROLE_LIST.path() {
        shown!(answer: AuthRoleListResponse)
    } else {
        // The other answers are a header alone.
        shown!(answer: AuthUserAddResponse)
    })
}
