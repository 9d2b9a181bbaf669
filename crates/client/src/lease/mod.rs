//! Leases: granted, renewed, watched over.
//!
//! A lease ties keys to a program that lives: they are deleted when nobody has renewed it for its time to live. Here are
//! the calls that are more than one exchange (`unary.rs`: a grant that survives a lost answer, a single renewal), and the
//! supervised renewal: [`machine`] decides what to send when, [`keeper`] has the one task and the one stream that all
//! leases with the same metadata share, and each holder has a [`seat`] there, which its stream and its [`LeaseControl`]
//! read. The keepers of a channel are in its [`registry`].
//! `hold.rs` grants anew what was lost. The requests are in `request/lease.rs`, and `docs/design/lease.md` says why it
//! is as it is.

mod calls;
mod control;
mod hold;
mod keeper;
mod machine;
mod registry;
mod seat;
mod serve;
mod unary;

pub use control::{LeaseControl, LeaseState, LossReason};

pub(crate) use keeper::keep_alive;
pub(crate) use registry::Keepers;
pub(crate) use unary::{grant, keep_alive_once, revoke};
