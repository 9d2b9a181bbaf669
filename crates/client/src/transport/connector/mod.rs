//! From an endpoint to a byte stream on which HTTP/2 can be spoken.
//!
//! [`establish`] connects, by TCP, by a unix-domain socket or by the user's own [`Connector`], and shakes hands over
//! TLS where the endpoint asks for it. One attempt, no deadline and no repetition: those are the caller's. What goes
//! wrong comes back as a [`Cause`](crate::error::Cause) that says what to do about it.

mod connect;
mod duplex;
mod in_process;
mod stream;
mod tcp;
mod tls;
#[cfg(unix)]
mod unix;

pub use connect::{ConnectFuture, Connector, Io};
pub use duplex::{DuplexConnector, DuplexListener, duplex};
pub use in_process::{InProcessConnector, in_process};

pub(crate) use connect::{ConnectSettings, Established, establish};
pub(crate) use stream::IoStream;
pub(crate) use tls::cause_of;

#[cfg(test)]
#[cfg(any(feature = "aws-lc-rs", feature = "ring"))]
mod tests;
