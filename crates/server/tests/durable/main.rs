//! What outlives the process: files of etcd's out and in, hashes, and what a kill leaves. Each against real etcd.

mod official;
mod snapshot;
