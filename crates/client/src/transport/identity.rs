//! Which cluster this is, and how far its history has come.
//!
//! A client belongs to the cluster that it first met. If its endpoints come to lead to another one, or the history turns
//! back because a backup was restored, every revision that the user holds is worthless: that is an error, never silence.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use crate::error::{Cause, Error, ErrorKind};
use crate::response::ResponseHeader;
use crate::revision::Revision;

/// The oldest version that `reject_old_cluster` accepts: the minor version before that of the API spoken here.
pub(super) const OLDEST: &str = "3.6.0";

/// Whether `version` is one that `reject_old_cluster` rejects. One that can't be read counts as old; a pre-release is
/// older than its release.
pub(super) fn is_too_old(version: &str) -> bool {
    fn parse(version: &str) -> Option<(u32, u32, u32, bool)> {
        let (release, pre) = match version.split_once('-') {
            Some((release, _)) => (release, true),
            None => (version, false),
        };
        let mut parts = release.split('.').map(str::parse);
        let parsed = (parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?, !pre);
        parts.next().is_none().then_some(parsed)
    }
    parse(version) < parse(OLDEST)
}

#[derive(Debug, Default)]
pub(super) struct Identity {
    /// The cluster's id; 0 as long as it is not known.
    cluster: AtomicU64,
    /// The highest revision that any linearizable answer has shown.
    revision: AtomicI64,
}

impl Identity {
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
    fn min_supported_version() {
        for (version, old) in [
            ("3.7.1", false),
            ("3.6.0", false),
            ("3.10.0", false),
            ("4.0.0-alpha", false),
            ("3.6.0-rc.0", true),
            ("3.5.33", true),
            ("", true),
            ("3.6", true),
            ("x.y.z", true),
        ] {
            assert_eq!(is_too_old(version), old, "{version:?}");
        }
    }

    #[test]
    fn another_cluster_is_refused() {
        let identity = Identity::default();
        identity.check(&header(7, 1), true, identity.mark()).unwrap();
        let error = identity.check(&header(8, 9), true, identity.mark()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ClusterChanged);
        assert!(matches!(identity.admit(8), Err(Cause::OtherCluster(_))));
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
