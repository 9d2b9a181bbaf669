//! A snapshot in a file: complete, checked and synced under its name, or not there.

mod draft;
mod newest;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::draft::Draft;
use super::{Snapshot, Status, Version};
use crate::client::Client;
use crate::config::Endpoint;
use crate::error::{Error, ErrorKind, Result};
use crate::revision::Revision;
use crate::transport::{Channel, Transport};

/// What is written in one go.
const CHUNK: usize = 1 << 20;

/// Saves a copy of a member's backend to a file; see [`Client::save_snapshot`].
///
/// ```
/// use etcdkit::maintenance::SaveSnapshot;
///
/// let save = SaveSnapshot::to("backup.db").on_progress(|progress| {
///     println!("{} of {} bytes", progress.received, progress.total);
/// });
/// assert_eq!(save.path(), "backup.db");
/// ```
#[derive(Clone)]
pub struct SaveSnapshot {
    path: PathBuf,
    existing: Existing,
    progress: Option<Arc<dyn Fn(SnapshotProgress) + Send + Sync>>,
}

/// What becomes of a file that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Existing {
    Kept,
    Replaced,
}

/// How far a snapshot has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SnapshotProgress {
    /// Bytes of the backend that have come from the present member.
    pub received: u64,
    /// Bytes that its backend has.
    pub total: u64,
}

/// A snapshot that was saved.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SavedSnapshot {
    /// The endpoint of the member whose backend it is.
    pub endpoint: Endpoint,
    /// The revision of the last change in it. (Where the member was when it was asked, if that is later: a deletion
    /// that was compacted at once leaves no trace.)
    pub revision: Revision,
    /// The version of the storage's layout. Since etcd 3.6, `None` before.
    pub version: Option<Version>,
    /// The length of the file, which is 32 more than that of the backend.
    pub bytes: u64,
    /// The SHA-256 of the backend, which the file ends with.
    pub sha256: [u8; 32],
}

impl SaveSnapshot {
    /// Saves to `path`, where nothing may be yet.
    pub fn to(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), existing: Existing::Kept, progress: None }
    }

    /// Replaces the file that is there already, all at once and not before the new one is complete. Of a symbolic link, what
    /// is replaced is the link; a folder never is.
    #[must_use]
    pub fn replace(mut self) -> Self {
        self.existing = Existing::Replaced;
        self
    }

    /// Has `tell` called for each piece that came. It begins anew with another member.
    #[must_use]
    pub fn on_progress(mut self, tell: impl Fn(SnapshotProgress) + Send + Sync + 'static) -> Self {
        self.progress = Some(Arc::new(tell));
        self
    }

    /// Where it is saved.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn tell(&self, received: u64, total: u64) {
        if let Some(tell) = &self.progress {
            tell(SnapshotProgress { received, total });
        }
    }
}

impl<P: Into<PathBuf>> From<P> for SaveSnapshot {
    fn from(path: P) -> Self {
        Self::to(path)
    }
}

impl fmt::Debug for SaveSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SaveSnapshot")
            .field("path", &self.path)
            .field("existing", &self.existing)
            .finish_non_exhaustive()
    }
}

impl<T: Transport> Client<Channel<T>> {
    /// Saves a copy of a member's backend to a file: the one that `etcdutl snapshot restore` takes.
    ///
    /// It is written under its name with `.part` behind it, which only its owner can read, compared with the SHA-256 that
    /// the member computed, synced, and only then given its name. If such a draft lies there, of another that writes or of
    /// one that was killed, this one is called `.2.part` and so on, up to 16. If a member fails or sends something damaged, the next
    /// endpoint is asked, from the beginning: backends differ from member to member. On a client [at](Self::at) one
    /// endpoint that one is asked alone.
    ///
    /// ```
    /// async fn example(client: etcdkit::Client) -> etcdkit::Result<()> {
    ///     let saved = client.save_snapshot("backup.db").await?;
    ///     println!("{} bytes, with everything up to {}", saved.bytes, saved.revision);
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Conflict`](ErrorKind::Conflict) if there is something at the path, unless it may be
    /// [replaced](SaveSnapshot::replace), or too many drafts beside it; [`InvalidArgument`](ErrorKind::InvalidArgument) if
    /// nothing can be written there; [`ResourceExhausted`](ErrorKind::ResourceExhausted) if writing fails; otherwise how
    /// the last member failed. See [`snapshot`](Self::snapshot).
    ///
    /// There is no new file then, with one exception: if it has replaced another and the folder could not be synced, which is
    /// the last that is done, it is there and whole, and only its name may not outlast a crash of the machine.
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, the `.part` is removed.
    pub async fn save_snapshot(&self, save: impl Into<SaveSnapshot>) -> Result<SavedSnapshot> {
        let save = save.into();
        let mut draft = Draft::create(save.path.clone(), save.existing).await?;
        let endpoints = match &self.options().endpoint {
            Some(endpoint) => vec![endpoint.clone()],
            None => self.endpoints(),
        };
        let mut failure = Error::new(ErrorKind::Unavailable, "there are no endpoints");
        for endpoint in endpoints {
            let member = self.at(endpoint.clone())?;
            match member.fill(&mut draft, &save, endpoint).await {
                Ok(saved) => return draft.publish().await.map(|()| saved),
                Err(Trouble::Here(error)) => return Err(error),
                Err(Trouble::There(error)) if is_final(&error) => return Err(error),
                Err(Trouble::There(error)) => {
                    tracing::warn!(%error, "a snapshot begins anew with the next member");
                    failure = error;
                    draft.rewind().await?;
                }
            }
        }
        Err(failure)
    }

    /// Writes all of one member's backend.
    async fn fill(
        &self,
        draft: &mut Draft,
        save: &SaveSnapshot,
        endpoint: Endpoint,
    ) -> Result<SavedSnapshot, Trouble> {
        let status = self.call(Status::new()).await.map_err(Trouble::There)?;
        let asked = status.header().revision;
        let mut pieces = self.open(Snapshot::new()).await.map_err(Trouble::There)?;
        let (mut received, mut version) = (0, None);
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(Trouble::There)?;
            draft.add(piece.bytes()).await.map_err(Trouble::Here)?;
            if piece.is_digest() {
                let Ok(sha256) = <[u8; 32]>::try_from(&**piece.bytes()) else { break };
                draft.flush().await.map_err(Trouble::Here)?;
                let newest = draft.newest_revision().await.map_err(Trouble::Here)?;
                let revision = newest.map_or(asked, |newest| newest.max(asked));
                let bytes = received + piece.bytes().len() as u64;
                return Ok(SavedSnapshot { endpoint, revision, version, bytes, sha256 });
            }
            received += piece.bytes().len() as u64;
            version = piece.version();
            save.tell(received, received + piece.remaining());
        }
        Err(Trouble::There(Error::internal("a snapshot without a checksum")))
    }
}

/// Whose fault it is that a snapshot was not saved.
enum Trouble {
    /// This machine's: another member does not help.
    Here(Error),
    /// The member's.
    There(Error),
}

/// Whether every member would say the same.
fn is_final(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::InvalidArgument
            | ErrorKind::Unauthenticated
            | ErrorKind::PermissionDenied
            | ErrorKind::Closed
    )
}
