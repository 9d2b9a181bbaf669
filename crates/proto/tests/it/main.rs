//! The crate as its users see it.
#![expect(clippy::unwrap_used, reason = "tests state their invariants by unwrapping")]

mod encoding;
mod methods;
mod roundtrip;
mod secrets;
mod wire;
