//! Finding an etcd cluster by DNS: the SRV records of a domain, as etcd's own clients read them.
//!
//! [`Lookup`] asks for both of an etcd's services and puts the records in order; `dns.rs` is the one query that it makes.
//! `etcdkit` and `etcdkit-v2` make endpoints of it, which is what programs use.

mod dns;
mod lookup;

pub use lookup::{Failure, Lookup, Target};
