//! Care of the member.

use std::mem;
use std::sync::Arc;

use etcdkit_proto::etcdserverpb::{
    DefragmentResponse, HashKvRequest, HashKvResponse, HashResponse, StatusResponse,
};

use crate::caller::Caller;
use crate::clock::stopwatch;
use crate::mvcc::{HashKv, Hashing};
use crate::node::Node;
use crate::snapshot::{Copy, Whole};
use crate::status::Result;
use crate::storage::Bucket;

/// What there is to know, with the size that is on disk if there is one.
pub(super) async fn status(node: &Node, caller: &Caller) -> Result<StatusResponse> {
    let mut status = node.read_as(caller, |state, who| state.status(who)).await?;
    if let Some(size) = node.commits().size() {
        status.db_size = i64::try_from(size).unwrap_or(i64::MAX);
        status.db_size_in_use = status.db_size_in_use.min(status.db_size);
    }
    Ok(status)
}

/// The hash of everything that members of a cluster have in common. It is made of a copy, which who writes does not wait for.
pub(super) async fn hash(node: &Arc<Node>, caller: &Caller) -> Result<HashResponse> {
    let begin = node.read_as(caller, |state, who| {
        state.auth.check_root(who)?;
        Ok((state.header_now(), Copy::begin(state, node)))
    });
    let (header, mut copy) = begin.await?;
    let time = stopwatch();
    let own: [&[u8]; 3] = [b"consistent_index", b"term", b"storageVersion"];
    let entries = mem::take(&mut copy.entries);
    let mut hash = 0;
    for bucket in Bucket::ALL {
        hash = crc32c::crc32c_append(hash, bucket.name().as_bytes());
        let counted = |key: &[u8]| bucket != Bucket::Meta || !own.contains(&key);
        for (_, key, value) in entries.iter().filter(|entry| entry.0 == bucket && counted(&entry.1))
        {
            hash = crc32c::crc32c_append(hash, key);
            hash = crc32c::crc32c_append(hash, value);
        }
        let next = |copy: &mut Copy| (bucket == Bucket::Key).then(|| copy.page(&node.state()));
        while let Some(page) = next(&mut copy).filter(|page| !page.is_empty()) {
            for (key, message) in page {
                hash = crc32c::crc32c_append(hash, &key);
                hash = crc32c::crc32c_append(hash, &message);
            }
            tokio::task::yield_now().await;
        }
    }
    node.observed.hashes.observe(time());
    Ok(HashResponse { header: Some(header), hash })
}

/// The hash of the keys at a revision, made a piece at a time: who writes does not wait for all of it.
pub(super) async fn hash_kv(
    node: &Arc<Node>,
    caller: &Caller,
    request: &HashKvRequest,
) -> Result<HashKvResponse> {
    let begin = node.read_as(caller, |state, who| {
        state.auth.check_root(who)?;
        let hash = match state.remembered(request.revision) {
            Some(hash) => Hash::Known(hash),
            None => Hash::Begun(state.hashing(request.revision)?, Whole::keep(state, node)),
        };
        Ok((state.header_now(), hash))
    });
    // What is hashed is durable by then.
    let (header, hash) = begin.await?;
    let hash = match hash {
        Hash::Known(hash) => hash,
        Hash::Begun(mut hashing, _whole) => {
            let time = stopwatch();
            while hashing.add(&node.state().store) {
                tokio::task::yield_now().await;
            }
            node.observed.key_hashes.observe(time());
            hashing.hash()
        }
    };
    let HashKv { hash, revision, compacted } = hash;
    Ok(HashKvResponse {
        header: Some(header),
        hash,
        compact_revision: compacted,
        hash_revision: revision,
    })
}

/// The hash of keys when it is asked for.
enum Hash {
    Known(HashKv),
    Begun(Hashing, Whole),
}

/// In memory there is nothing to gather: segments are written anew as they lose records.
pub(super) async fn defragment(node: &Node, caller: &Caller) -> Result<DefragmentResponse> {
    node.read_as(caller, |state, who| Ok(state.auth.check_root(who)?)).await?;
    if node.is_durable() {
        node.commits().defragment().await?;
    }
    Ok(DefragmentResponse::default())
}
