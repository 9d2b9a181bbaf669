//! The clients that need nothing but this workspace, by name.
//!
//! * `h2`: the bare `h2` crate, one connection, requests encoded in advance, answers not decoded. Not a
//!   client but what a client built on that crate starts from.
//! * `h2-plain`: the same, with vectored writes hidden from the crate ([`plain_writes`]).
//! * `h2-decode`: the same, and every answer decoded with prost: the yardstick for our own client.
//! * `etcdkit`: our client.

pub mod bare_h2;
pub mod our_streams;
pub mod ours;
pub mod plain_writes;

use crate::load::{Outcome, Plan, run};
use crate::{Error, streams};

/// The names that [`run_by_name`] knows.
pub const NAMES: &[&str] = &["h2", "h2-plain", "h2-decode", "etcdkit"];

/// The names that [`run_streams_by_name`] knows.
pub const STREAM_NAMES: &[&str] = &["etcdkit", "etcdkit-read"];

/// Runs the client that the plan names.
///
/// # Errors
/// There is no such client in this build, or its run failed.
pub fn run_by_name(plan: &Plan) -> Result<Outcome, Error> {
    match plan.client.as_str() {
        "h2" => run::<bare_h2::BareH2<false, false>>(plan),
        "h2-plain" => run::<bare_h2::BareH2<true, false>>(plan),
        "h2-decode" => run::<bare_h2::BareH2<true, true>>(plan),
        "etcdkit" => run::<ours::Ours>(plan),
        name => Err(format!("there is no client `{name}` here, only {}", NAMES.join(", ")).into()),
    }
}

/// Runs the client that the plan names with many watches or leases. `etcdkit-read` reads every renewal, `etcdkit` looks
/// at the state of its leases when it wants to know.
///
/// # Errors
/// There is no such client in this build, or its run failed.
pub fn run_streams_by_name(plan: &streams::Plan) -> Result<streams::Outcome, Error> {
    match plan.client.as_str() {
        "etcdkit" => streams::run::<our_streams::OurStreams<false>>(plan),
        "etcdkit-read" => streams::run::<our_streams::OurStreams<true>>(plan),
        name => Err(format!("there is no client `{name}` here, only etcdkit, etcdkit-read").into()),
    }
}
