//! Compaction, and the hash of what is left.

use etcdkit_proto::etcdserverpb::{
    CompactionRequest, CompactionResponse, HashKvRequest, HashKvResponse,
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
        self.auth.check_root(who)?;
        let before = self.store.compacted();
        self.store.compact(request.revision)?;
        self.scheduled = request.revision;
        self.remember_hash(before, request.revision);
        self.compactions.push_back(Compaction::new(request.revision));
        let revision = revision_bytes(request.revision);
        self.journal.put(Bucket::Meta, "scheduledCompactRev", revision);
        Ok(CompactionResponse { header: Some(self.header_now()) })
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
