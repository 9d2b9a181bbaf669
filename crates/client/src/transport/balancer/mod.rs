//! Which members there are, how they fare, and which one serves the next call.
//!
//! [`Balancer`] is a synchronous state machine: events go in with the time, actions come out; it knows endpoints and
//! numbers, never a connection. [`Picker`] is the immutable snapshot that calls read. The words are gRPC's (picker,
//! ready, idle). The driver beside this room carries the actions out.

mod machine;
mod picker;
mod state;
#[cfg(test)]
mod tests;

pub(super) use machine::{About, Action, Balancer, Demand, Plan, SlotId, Spread};
pub(super) use picker::{Candidates, Picker, Want};
pub use state::{EndpointState, EndpointStates, EndpointStatus};
