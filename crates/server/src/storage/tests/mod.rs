//! The disk on a medium that fails.
//!
//! `medium.rs` is a simulated drive: full, broken, or cut off from power at any moment. `power.rs` has a server's state
//! live through power cuts, and `shown.rs` what readers and watchers see while batches are on their way; `failures.rs` has
//! what fails while the power stays on, and the folder's own refusals; `server.rs` has a server on a disk that is slow, full
//! or broken.

mod failures;
mod medium;
mod power;
mod server;
mod shown;
