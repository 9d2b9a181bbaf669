//! All that touches a connection.
//!
//! A [`Channel`] is the service at the bottom of every client: it picks a member, attaches the token, makes an attempt,
//! and decides whether another may follow. Below it, one door: [`Transport`] opens [`Connection`]s to an endpoint, each
//! of which carries unary calls and streams. The transport in use, [`H2`], is gRPC over HTTP/2; another can stand
//! behind the same door. Nothing above this room touches a socket.

mod attempt;
mod authenticate;
mod balancer;
mod call;
mod channel;
mod connector;
mod driver;
mod grpc;
mod identity;
mod link;
mod liveness;
mod pool;
mod retry;
mod streams;
mod token;
mod traits;

pub use balancer::{EndpointState, EndpointStates, EndpointStatus};
pub use channel::Channel;
pub use connector::{
    ConnectFuture, Connector, DuplexConnector, DuplexListener, InProcessConnector, Io, duplex,
    in_process,
};
pub use grpc::{H2, H2Connection, H2Sink, H2Source, frame};
pub use traits::{Connection, Failure, Head, Sink, Source, Status, Transport};

pub(crate) use channel::{Shared, Unary};
pub(crate) use connector::ConnectSettings;
#[cfg(test)]
pub(crate) use connector::establish;
pub(crate) use streams::{Duplex, Messages, Peer};
