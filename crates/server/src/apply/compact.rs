//! Compaction, and where hashes begin.

use etcdkit_proto::ServerError;
use etcdkit_proto::etcdserverpb::{CompactionRequest, CompactionResponse};

use crate::auth::Who;
use crate::mvcc::{Compaction, HashKv, Hashing};
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
        self.compactions.push_back(Compaction::new(revision, before));
        self.journal.put(Bucket::Meta, "scheduledCompactRev", revision_bytes(revision));
        Ok(())
    }

    /// The hash of what a compaction to a revision left, if it is remembered.
    pub(crate) fn remembered(&self, revision: i64) -> Option<HashKv> {
        self.hashes.iter().find(|hash| hash.revision == revision).copied()
    }

    /// Begins the hash of the keys at a revision. At that of a compaction it is that of what the compaction leaves, whether
    /// or not it has come so far.
    pub(crate) fn hashing(&self, revision: i64) -> Result<Hashing, ServerError> {
        let mut waiting = self.compactions.iter().filter_map(Compaction::hashing);
        match waiting.find(|hashing| hashing.revision() == revision) {
            Some(hashing) => Ok(hashing.clone()),
            None => self.store.hashing(revision),
        }
    }
}
