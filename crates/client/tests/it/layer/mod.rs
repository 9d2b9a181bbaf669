//! Layers on real etcd, each version that is at hand, named after the tests of etcd's own client that they match.
#![cfg(test)]

mod namespace;
mod ordering;
