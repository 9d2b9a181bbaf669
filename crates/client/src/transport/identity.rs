//! Which cluster this is, and how far its history has come.
//!
//! A client belongs to the cluster that it first met. If its endpoints come to lead to another one, or the history turns
//! back because a backup was restored, every revision that the user holds is worthless: that is an error, never silence.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use crate::error::{Cause, Error, ErrorKind};
use crate::response::ResponseHeader;
use crate::revision::Revision;

#[derive(Debug, Default)]
pub(super) struct Identity {
    /// The cluster's id; 0 as long as it is not known.
    cluster: AtomicU64,
    /// The highest revision that any linearizable answer has shown.
    revision: AtomicI64,
}

impl Identity {
    /// The id of the cluster, once it is known.
    pub(super) fn cluster(&self) -> Option<u64> {
        Some(self.cluster.load(Ordering::Relaxed)).filter(|id| *id != 0)
    }

    /// Takes in the cluster id of a member that is about to become ready.
    pub(super) fn admit(&self, cluster: u64) -> Result<(), Cause> {
        match self.cluster.compare_exchange(0, cluster, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => Ok(()),
            Err(known) if known == cluster => Ok(()),
            Err(known) => Err(Cause::OtherCluster(format!(
                "the member belongs to cluster {cluster:x}, and this client to cluster {known:x}: fix the endpoints, or make a new client if the cluster was replaced"
            ))),
        }
    }

    /// What a call that begins now must at least see.
    pub(super) fn mark(&self) -> Revision {
        Revision::new(self.revision.load(Ordering::Relaxed))
    }

    /// Checks an answer's header: the cluster is the same, and, if the answer is linearizable, its revision is not
    /// below the `mark` taken when the call began.
    pub(super) fn check(
        &self,
        header: &ResponseHeader,
        linearizable: bool,
        mark: Revision,
    ) -> Result<(), Error> {
        if header.cluster_id != 0
            && let Err(cause) = self.admit(header.cluster_id)
        {
            return Err(Error::new(ErrorKind::ClusterChanged, cause.to_string()));
        }
        if !linearizable || header.revision == Revision::NONE {
            return Ok(());
        }
        let revision = header.revision;
        if revision < mark {
            // From here on the shorter history counts: the error is told to the calls that saw the longer one.
            let _ = self.revision.compare_exchange(
                mark.get(),
                revision.get(),
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
            return Err(Error::new(
                ErrorKind::ClusterChanged,
                format!(
                    "the history went back from revision {mark} to {revision}: the cluster was restored from a backup, or lost data; revisions, watches and caches from before are void"
                ),
            ));
        }
        self.revision.fetch_max(revision.get(), Ordering::Relaxed);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(cluster: u64, revision: i64) -> ResponseHeader {
        etcdkit_proto::etcdserverpb::ResponseHeader {
            cluster_id: cluster,
            member_id: 1,
            revision,
            raft_term: 1,
        }
        .into()
    }

    #[test]
    fn another_cluster_is_refused() {
        let identity = Identity::default();
        identity.check(&header(7, 1), true, identity.mark()).unwrap();
        let error = identity.check(&header(8, 9), true, identity.mark()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ClusterChanged);
        assert!(matches!(identity.admit(8), Err(Cause::OtherCluster(_))));
        assert_eq!(identity.cluster(), Some(7));
    }

    #[test]
    fn a_history_that_goes_back_is_told_once() {
        let identity = Identity::default();
        identity.check(&header(7, 100), true, identity.mark()).unwrap();
        let mark = identity.mark();
        let error = identity.check(&header(7, 40), true, mark).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ClusterChanged);
        identity.check(&header(7, 41), true, identity.mark()).unwrap();
        assert_eq!(identity.mark(), Revision::new(41));
    }

    #[test]
    fn calls_that_overlap_may_finish_in_any_order() {
        let identity = Identity::default();
        let mark = identity.mark();
        identity.check(&header(7, 12), true, mark).unwrap();
        identity.check(&header(7, 11), true, mark).unwrap();
        assert_eq!(identity.mark(), Revision::new(12));
    }

    #[test]
    fn serializable_reads_may_be_stale() {
        let identity = Identity::default();
        identity.check(&header(7, 12), true, identity.mark()).unwrap();
        identity.check(&header(7, 3), false, identity.mark()).unwrap();
    }
}
