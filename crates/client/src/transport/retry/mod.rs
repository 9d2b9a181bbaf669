//! Whether a failed attempt may be followed by another: a table, a back-off and a budget, all without I/O.
//!
//! What decides is certainty. A read may be repeated whenever its answer is missing. A write may be repeated only if the
//! attempt certainly left no trace; otherwise the caller is told that it may have been applied.

mod budget;
mod table;

pub(super) use budget::Budget;
pub(super) use table::{Decision, Nature, decide, leaves_unknown};
