//! Compaction, and the hash of what is left.

use etcdkit_proto::ServerError;
use etcdkit_proto::etcdserverpb::{
    CompactionRequest, CompactionResponse, HashKvRequest, HashKvResponse, HashResponse,
};

use crate::auth::Who;
use crate::mvcc::Compaction;
use crate::state::{State, revision_bytes};
use crate::status::Result;
use crate::storage::Bucket;

impl State {
    /// Makes revisions unreadable. What they held is removed later, step by step.
    pub(crate) fn compact(
        &mut self,
        who: Option<&Who>,
        request: &CompactionRequest,
    ) -> Result<CompactionResponse> {
        self.not_corrupt()?;
        self.auth.check_root(who)?;
        self.compact_to(request.revision)?;
        Ok(CompactionResponse { header: Some(self.header_now()) })
    }

    pub(crate) fn compact_to(&mut self, revision: i64) -> Result<(), ServerError> {
        let before = self.store.compacted();
        self.store.compact(revision)?;
        self.scheduled = revision;
        self.remember_hash(before, revision);
        self.compactions.push_back(Compaction::new(revision));
        self.journal.put(Bucket::Meta, "scheduledCompactRev", revision_bytes(revision));
        Ok(())
    }

    /// The hash of everything that members of a cluster have in common.
    pub(crate) fn hash(&self, who: Option<&Who>) -> Result<HashResponse> {
        self.auth.check_root(who)?;
        let own: [&[u8]; 3] = [b"consistent_index", b"term", b"storageVersion"];
        let entries = self.export();
        let mut hash = 0;
        for bucket in Bucket::ALL {
            hash = crc32c::crc32c_append(hash, bucket.name().as_bytes());
            for record in (bucket == Bucket::Key).then(|| self.store.since(0)).into_iter().flatten()
            {
                hash = crc32c::crc32c_append(hash, &record.key.encode());
                hash = crc32c::crc32c_append(hash, record.message);
            }
            let counted = |key: &[u8]| bucket != Bucket::Meta || !own.contains(&key);
            for (_, key, value) in
                entries.iter().filter(|entry| entry.0 == bucket && counted(&entry.1))
            {
                hash = crc32c::crc32c_append(hash, key);
                hash = crc32c::crc32c_append(hash, value);
            }
        }
        Ok(HashResponse { header: Some(self.header_now()), hash })
    }

    pub(crate) fn hash_kv(
        &self,
        who: Option<&Who>,
        request: &HashKvRequest,
    ) -> Result<HashKvResponse> {
        self.auth.check_root(who)?;
        let remembered = self.hashes.iter().find(|hash| hash.revision == request.revision);
        let hash = match remembered {
            Some(hash) => *hash,
            None => self.store.hash_kv(request.revision)?,
        };
        Ok(HashKvResponse {
            header: Some(self.header_now()),
            hash: hash.hash,
            compact_revision: hash.compacted,
            hash_revision: hash.revision,
        })
    }
}
