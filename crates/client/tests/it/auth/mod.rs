//! Users on real etcd: who may connect, and tokens that run out, get lost or fall behind.
#![cfg(test)]

mod concurrent;
mod jwt;
mod password;
mod renewal;
pub(crate) mod users;
