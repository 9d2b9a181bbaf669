//! What outlives the process: files of etcd's out and in, hashes, and what a kill leaves. Each against real etcd.

mod crash;
mod hash;
mod official;
mod snapshot;
