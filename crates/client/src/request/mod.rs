//! Requests are plain values.
//!
//! Here live the requests ([`Get`], [`Put`], …) with their builders, and the closed list of them that layers and mocks
//! match on ([`AnyRequest`], [`AnyResponse`]). A request holds the very message that goes on the wire, so sending one
//! converts nothing. Nothing here knows of connections: [`Service`] says what becomes of a request.

/// How a request is sent that is nothing but its message: an implementation of `Unary`, with whatever differs from the
/// method table in braces.
macro_rules! unary {
    ($request:ident: $wire:ty => $answer:ty, $method:expr $(, { $($more:tt)* })?) => {
        impl $crate::transport::Unary for $request {
            type Wire = $wire;
            type Answer = $answer;
            const METHOD: etcdkit_proto::method::Method<$wire, $answer> = $method;

            fn wire(&self) -> &$wire {
                &self.0
            }

            fn decode(
                answer: $answer,
            ) -> $crate::error::Result<<Self as $crate::request::Request>::Response> {
                Ok(answer.into())
            }

            $($($more)*)?
        }
    };
}

/// The name in a request about a lock or an election.
macro_rules! named {
    ($request:ident, $what:literal) => {
        impl $request {
            #[doc = concat!("The ", $what, ".")]
            #[must_use]
            pub fn name(&self) -> &[u8] {
                &self.0.name
            }

            #[doc = concat!("Is about the ", $what, " `name` instead: what a layer that moves keys does.")]
            #[must_use]
            pub fn with_name(mut self, name: impl Into<$crate::byte_string::ByteString>) -> Self {
                self.0.name = name.into().into_bytes();
                self
            }
        }
    };
}

pub(crate) mod cluster;
mod compact;
mod compare;
mod delete;
pub(crate) mod election;
mod get;
mod lease;
pub(crate) mod lock;
pub(crate) mod maintenance;
mod op;
mod peer_url;
mod put;
mod range;
pub(crate) mod roles;
pub(crate) mod snapshot;
mod txn;
pub(crate) mod users;
mod watch;

pub use compact::Compact;
pub use compare::{Compare, CompareProperty};
pub use delete::Delete;
pub use get::{Get, GetStream, SortOrder, SortTarget};
pub use lease::{KeepAlive, KeepAliveOnce, LeaseGrant, LeaseRevoke, LeaseTimeToLive, Leases};
pub use op::{Op, OpResponse};
pub use put::Put;
pub use range::{KeyRange, prefix_end};
pub use txn::Txn;
pub(crate) use watch::{FIRST_OWN_ID, WatchSettings};
pub use watch::{Watch, WhenFull};

use std::fmt::Debug;
use std::future::Future;

use self::cluster::*;
use self::election::*;
use self::lock::*;
use self::maintenance::*;
use self::roles::*;
use self::snapshot::Snapshot;
use self::users::*;
use crate::error::Result;
use crate::lease::{self as leases, LeaseControl};
use crate::response::auth::*;
use crate::response::cluster::*;
use crate::response::election::*;
use crate::response::maintenance::*;
use crate::response::{
    DeleteResponse, GetResponse, HeaderResponse, LeaseGrantResponse, LeaseRenewal,
    LeaseTimeToLiveResponse, LeasesResponse, PutResponse, TxnResponse, WatchResponse,
};
use crate::service::{CallOptions, Service, Streaming};
use crate::transport::{Channel, Transport};
use crate::watch::WatchControl;

mod sealed {
    /// Only this crate's requests have a wire form.
    #[expect(unnameable_types, reason = "the supertrait that keeps `Request` closed")]
    pub trait Sealed {}
}

/// A request that has one answer.
///
/// Implemented by the request types of this crate; it can't be implemented outside.
pub trait Request: sealed::Sealed + Clone + Debug + PartialEq + Send + Sync + 'static {
    /// What a successful call returns.
    type Response: Send + 'static;

    /// This request as a member of the closed list, for code that has to tell requests apart.
    fn into_any(self) -> AnyRequest;

    /// This request's response out of the closed list; `None` if it is another request's.
    fn response(any: AnyResponse) -> Option<Self::Response>;

    /// Sends this request to a cluster.
    #[doc(hidden)]
    fn execute<T: Transport>(
        self,
        channel: &Channel<T>,
        options: &CallOptions,
    ) -> impl Future<Output = Result<Self::Response>> + Send;
}

/// A request that is answered by a stream.
///
/// Implemented by the request types of this crate; it can't be implemented outside.
pub trait StreamRequest:
    sealed::Sealed + Clone + Debug + PartialEq + Send + Sync + 'static
{
    /// One item of the stream.
    type Item: Send + 'static;

    /// What steers the stream while it runs; `()` where nothing does.
    type Control: Send + 'static;

    /// This request as a member of the closed list, for code that has to tell requests apart.
    fn into_any(self) -> AnyStreamRequest;

    /// This request's stream out of the closed list; `None` if it is another request's.
    fn stream(any: AnyStream) -> Option<Streaming<Self::Item, Self::Control>>;

    /// Opens this stream to a cluster.
    #[doc(hidden)]
    fn open<T: Transport>(
        self,
        channel: &Channel<T>,
        options: &CallOptions,
    ) -> impl Future<Output = Result<Streaming<Self::Item, Self::Control>>> + Send;
}

macro_rules! requests {
    ($($request:ident => $response:ident by $execute:expr),* $(,)?) => {
        /// Every request that has one answer.
        ///
        /// A layer inside this crate matches on it without a wildcard, so that a new request can't slip past it.
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        pub enum AnyRequest {
            $(#[doc = concat!("A [`", stringify!($request), "`](type@", stringify!($request), ").")] $request($request),)*
        }

        /// Every response, each under the name of its request.
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        pub enum AnyResponse {
            $(#[doc = concat!("The answer to a [`", stringify!($request), "`](type@", stringify!($request), ").")] $request($response),)*
        }

        impl AnyRequest {
            /// Makes the call on `service` and keeps the answer in the closed list.
            pub(crate) async fn call_on<S: Service>(self, service: &S, options: &CallOptions) -> Result<AnyResponse> {
                match self {
                    $(Self::$request(request) => service.call(request, options).await.map(AnyResponse::$request),)*
                }
            }
        }

        $(
            impl sealed::Sealed for $request {}

            impl Request for $request {
                type Response = $response;

                fn into_any(self) -> AnyRequest {
                    AnyRequest::$request(self)
                }

                fn response(any: AnyResponse) -> Option<$response> {
                    match any {
                        AnyResponse::$request(response) => Some(response),
                        _ => None,
                    }
                }

                fn execute<T: Transport>(
                    self,
                    channel: &Channel<T>,
                    options: &CallOptions,
                ) -> impl Future<Output = Result<$response>> + Send {
                    $execute(channel, self, options)
                }
            }
        )*
    };
}

requests! {
    Get => GetResponse by Channel::unary,
    Put => PutResponse by Channel::unary,
    Delete => DeleteResponse by Channel::unary,
    Txn => TxnResponse by Channel::unary,
    Compact => HeaderResponse by Channel::unary,
    Op => OpResponse by op::execute,
    AuthEnable => HeaderResponse by Channel::unary,
    AuthDisable => HeaderResponse by Channel::unary,
    AuthStatus => AuthStatusResponse by Channel::unary,
    UserAdd => HeaderResponse by crate::auth::add_user,
    UserDelete => HeaderResponse by Channel::unary,
    UserChangePassword => HeaderResponse by crate::auth::change_password,
    UserGet => UserGetResponse by Channel::unary,
    UserList => UserListResponse by Channel::unary,
    UserGrantRole => HeaderResponse by Channel::unary,
    UserRevokeRole => HeaderResponse by Channel::unary,
    RoleAdd => HeaderResponse by Channel::unary,
    RoleDelete => HeaderResponse by Channel::unary,
    RoleGet => RoleGetResponse by Channel::unary,
    RoleList => RoleListResponse by Channel::unary,
    RoleGrantPermission => HeaderResponse by Channel::unary,
    RoleRevokePermission => HeaderResponse by Channel::unary,
    MemberList => MemberListResponse by Channel::unary,
    MemberAdd => MemberAddResponse by Channel::unary,
    MemberRemove => MemberListResponse by crate::cluster::change,
    MemberUpdate => MemberListResponse by Channel::unary,
    MemberPromote => MemberListResponse by crate::cluster::change,
    Status => StatusResponse by Channel::unary,
    Alarm => AlarmResponse by Channel::unary,
    Defragment => HeaderResponse by Channel::unary,
    Hash => HashResponse by Channel::unary,
    HashKv => HashKvResponse by Channel::unary,
    MoveLeader => HeaderResponse by crate::maintenance::move_leader,
    Downgrade => DowngradeResponse by Channel::unary,
    Health => HealthResponse by Channel::unary,
    Lock => LockResponse by Channel::unary,
    Unlock => HeaderResponse by Channel::unary,
    Campaign => CampaignResponse by Channel::unary,
    Proclaim => HeaderResponse by Channel::unary,
    Resign => HeaderResponse by Channel::unary,
    Leader => LeaderResponse by Channel::unary,
    LeaseGrant => LeaseGrantResponse by leases::grant,
    LeaseRevoke => HeaderResponse by leases::revoke,
    LeaseTimeToLive => LeaseTimeToLiveResponse by Channel::unary,
    Leases => LeasesResponse by Channel::unary,
    KeepAliveOnce => LeaseRenewal by leases::keep_alive_once,
}

macro_rules! stream_requests {
    ($($request:ident => $item:ident, $control:ty, by $open:expr);* $(;)?) => {
        /// Every request that is answered by a stream.
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        pub enum AnyStreamRequest {
            $(#[doc = concat!("A [`", stringify!($request), "`].")] $request($request),)*
        }

        /// Every stream, each under the name of its request.
        #[derive(Debug)]
        #[non_exhaustive]
        pub enum AnyStream {
            $(#[doc = concat!("The answers to a [`", stringify!($request), "`].")] $request(Streaming<$item, $control>),)*
        }

        impl AnyStreamRequest {
            /// Opens the stream on `service` and keeps it in the closed list.
            pub(crate) async fn open_on<S: Service>(self, service: &S, options: &CallOptions) -> Result<AnyStream> {
                match self {
                    $(Self::$request(request) => service.open(request, options).await.map(AnyStream::$request),)*
                }
            }
        }

        $(
            impl sealed::Sealed for $request {}

            impl StreamRequest for $request {
                type Item = $item;
                type Control = $control;

                fn into_any(self) -> AnyStreamRequest {
                    AnyStreamRequest::$request(self)
                }

                fn stream(any: AnyStream) -> Option<Streaming<$item, $control>> {
                    match any {
                        AnyStream::$request(stream) => Some(stream),
                        _ => None,
                    }
                }

                fn open<T: Transport>(
                    self,
                    channel: &Channel<T>,
                    options: &CallOptions,
                ) -> impl Future<Output = Result<Streaming<$item, $control>>> + Send {
                    $open(channel, self, options)
                }
            }
        )*
    };
}

stream_requests! {
    GetStream => GetResponse, (), by get::open_stream;
    Snapshot => SnapshotPiece, (), by crate::maintenance::open_snapshot;
    Observe => LeaderResponse, (), by crate::election::open_observe;
    KeepAlive => LeaseRenewal, LeaseControl, by leases::keep_alive;
    Watch => WatchResponse, WatchControl, by crate::watch::open;
}
