//! Against real etcd of every version that is at hand: what its servers wrote and its tools say, and what they make of
//! files that this crate wrote. `mutation.rs` needs no etcd.

mod accepted;
mod hash_kv;
mod mutation;
mod official;
mod refused;
mod restore;
mod scenario;
mod status;
mod view;
