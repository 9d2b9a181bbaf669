//! Users, roles, what they may do, and the tokens that prove who asks.
//!
//! `store.rs` is the machine: users and roles, changed by `apply/auth.rs` alone. `permission.rs` decides whether a set of
//! permissions covers a range. `tokens.rs` holds simple tokens, `jwt.rs` makes and checks others. `password.rs` is the one place that calls bcrypt, outside
//! the state's lock.

#[cfg(feature = "jwt")]
pub(crate) mod jwt;
pub(crate) mod password;
mod permission;
mod store;
mod tokens;

pub(crate) use store::{Access, Auth, Who};
pub(crate) use tokens::Tokens;

#[cfg(test)]
mod tests;
