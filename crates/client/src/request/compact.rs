//! Forgetting history.

use std::fmt;

use etcdkit_proto::etcdserverpb::{CompactionRequest, CompactionResponse};
use etcdkit_proto::method::{self, Method, Patience};

use crate::error::Result;
use crate::response::HeaderResponse;
use crate::revision::Revision;
use crate::transport::Unary;

/// Forgets the history of the keys before a revision, which stays readable itself.
///
/// Reads and watches of older revisions fail with [`ErrorKind::Compacted`](crate::ErrorKind::Compacted) from then on.
///
/// ```
/// use etcdkit::{Compact, Revision};
///
/// assert_eq!(Compact::from(Revision::new(9)), Compact::new(9));
/// assert_eq!(Compact::new(9).revision(), Revision::new(9));
/// ```
#[derive(Clone, PartialEq)]
pub struct Compact(CompactionRequest);

impl Compact {
    /// Forgets what was before `revision`.
    pub fn new(revision: impl Into<Revision>) -> Self {
        Self(CompactionRequest { revision: revision.into().get(), physical: false })
    }

    /// Has the member that answers wait until the history is gone from its disk, not only out of sight.
    #[must_use]
    pub fn physical(mut self) -> Self {
        self.0.physical = true;
        self
    }

    /// The oldest revision that stays readable.
    #[must_use]
    pub fn revision(&self) -> Revision {
        Revision::new(self.0.revision)
    }
}

impl From<Revision> for Compact {
    fn from(revision: Revision) -> Self {
        Self::new(revision)
    }
}

impl fmt::Debug for Compact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let physical = if self.0.physical { ", physical" } else { "" };
        write!(f, "Compact({}{physical})", self.0.revision)
    }
}

impl Unary for Compact {
    type Wire = CompactionRequest;
    type Answer = CompactionResponse;
    const METHOD: Method<CompactionRequest, CompactionResponse> = method::kv::COMPACT;

    fn wire(&self) -> &CompactionRequest {
        &self.0
    }

    fn patience(&self) -> Patience {
        if self.0.physical { Patience::Long } else { Patience::Write }
    }

    fn decode(answer: CompactionResponse) -> Result<HeaderResponse> {
        Ok(answer.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compact_op() {
        let table = [
            (Compact::new(5), CompactionRequest { revision: 5, physical: false }, "Compact(5)"),
            (
                Compact::new(5).physical(),
                CompactionRequest { revision: 5, physical: true },
                "Compact(5, physical)",
            ),
        ];
        for (compact, wire, shown) in table {
            assert_eq!(compact.wire(), &wire);
            assert_eq!(format!("{compact:?}"), shown);
        }
    }
}
