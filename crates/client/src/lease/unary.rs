//! What of leases is one request and one answer, and yet a little more than that.

use std::time::Duration;

use etcdkit_proto::etcdserverpb::LeaseKeepAliveResponse;
use etcdkit_proto::method::{self, MethodInfo, Patience};

use crate::clock;
use crate::error::{Code, Error, ErrorKind, Result, ServerError};
use crate::request::{KeepAliveOnce, LeaseGrant, LeaseRevoke, LeaseTimeToLive};
use crate::response::{HeaderResponse, LeaseGrantResponse, LeaseRenewal, ResponseHeader};
use crate::revision::LeaseId;
use crate::service::CallOptions;
use crate::transport::{Channel, Transport, Unary};

/// Grants a lease under an id that is known before the first attempt.
///
/// If the answer to an attempt was lost and a repetition finds that the lease exists, the lease is asked for its TTL,
/// which the lost answer would have told.
pub(crate) async fn grant<T: Transport>(
    channel: &Channel<T>,
    grant: LeaseGrant,
    options: &CallOptions,
) -> Result<LeaseGrantResponse> {
    let grant = grant.with_drawn_id(draw);
    let info = LeaseGrant::METHOD.info();
    grant.check().map_err(|error| error.with_rpc(info.path))?;
    let wire = grant.wire();
    let pool = channel.pool(options)?;
    let method = MethodInfo { class: grant.class(), done: grant.done(), ..info };
    let call = channel.prepare(&pool, method, false, options);
    let answer: etcdkit_proto::etcdserverpb::LeaseGrantResponse =
        channel.exchange(&call, wire, false).await?;
    match (answer.id, grant.lease_id()) {
        (0, Some(id)) => granted_before(channel, id, grant.ttl(), options).await,
        _ => LeaseGrantResponse::from_wire(answer)
            .map_err(|error| error.with_rpc(info.path).with_maybe_applied(true)),
    }
}

/// The answer that was lost. What was asked for is never more than what was granted, so it will do if nobody answers.
async fn granted_before<T: Transport>(
    channel: &Channel<T>,
    id: LeaseId,
    asked: Duration,
    options: &CallOptions,
) -> Result<LeaseGrantResponse> {
    match channel.unary(LeaseTimeToLive::new(id), options).await {
        Ok(answer) => match answer.granted() {
            Some(ttl) => Ok(LeaseGrantResponse::new(answer.header(), id, ttl)),
            None => Err(not_found(LeaseGrant::METHOD.path()).with_maybe_applied(true)),
        },
        Err(_) => Ok(LeaseGrantResponse::new(ResponseHeader::default(), id, asked)),
    }
}

/// A positive id, as etcd's own are. One in 2⁶³ is not drawn twice.
fn draw() -> LeaseId {
    LeaseId::new(clock::rng().i64(1..=i64::MAX))
        .unwrap_or_else(|| LeaseId::from(std::num::NonZeroI64::MIN))
}

/// Ends a lease, and tells those of this channel who keep it alive.
pub(crate) async fn revoke<T: Transport>(
    channel: &Channel<T>,
    revoke: LeaseRevoke,
    options: &CallOptions,
) -> Result<HeaderResponse> {
    let id = revoke.lease_id();
    let answer = channel.unary(revoke, options).await?;
    channel.leases().revoked(id);
    Ok(answer)
}

/// Renews a lease once, on a stream of its own.
pub(crate) async fn keep_alive_once<T: Transport>(
    channel: &Channel<T>,
    once: KeepAliveOnce,
    options: &CallOptions,
) -> Result<LeaseRenewal> {
    let method = method::lease::KEEP_ALIVE;
    let pool = channel.pool(options)?;
    // As a stream it would have no deadline, but it is as much of a stream as a write.
    let info = MethodInfo { patience: Patience::Write, ..method.info() };
    let call = channel.prepare(&pool, info, false, options);
    let sent = clock::now();
    let mut answers = channel.server_stream(method, once.wire(), &call).await?;
    let answer: LeaseKeepAliveResponse = answers.next().await?.ok_or_else(|| {
        Error::new(ErrorKind::Unavailable, "the server ended the stream without an answer")
            .with_rpc(method.path())
    })?;
    answers.enough();
    if let Some(header) = &answer.header {
        channel
            .check_cluster(&header.clone().into())
            .map_err(|error| error.with_rpc(method.path()))?;
    }
    match u64::try_from(answer.ttl) {
        Ok(seconds @ 1..) => {
            let ttl = Duration::from_secs(seconds);
            Ok(LeaseRenewal::new(once.lease_id(), ttl, sent.into_std(), answer.header.into()))
        }
        _ => Err(not_found(method.path())),
    }
}

/// What etcd says of a lease that does not exist.
pub(super) fn not_found(rpc: &'static str) -> Error {
    Error::from_status(Code::NotFound, ServerError::LeaseNotFound.message()).with_rpc(rpc)
}
