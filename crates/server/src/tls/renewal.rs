//! Certificates that change while the server runs: what the files hold is looked at for each handshake, as etcd does.

use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::ServerConfig;

use super::{ServerTls, unreadable};
use crate::error::Error;
use crate::task::blocking;

/// What the files of a [`ServerTls`] hold.
#[derive(PartialEq, Eq)]
pub(super) struct Files {
    pub(super) certificate: Vec<u8>,
    pub(super) key: Vec<u8>,
    pub(super) clients: Option<Vec<u8>>,
    pub(super) revoked: Option<Vec<u8>>,
}

impl Files {
    pub(super) fn read(tls: &ServerTls) -> Result<Self, Error> {
        let read = |path: &Path| fs::read(path).map_err(|error| unreadable(path, &error));
        let read_if = |path: &Option<_>| path.as_deref().map(read).transpose();
        Ok(Self {
            certificate: read(&tls.certificate)?,
            key: read(&tls.key)?,
            clients: read_if(&tls.clients)?,
            revoked: read_if(&tls.revoked)?,
        })
    }
}

/// Settings with what came of them last.
pub(crate) struct Renewed {
    tls: ServerTls,
    last: Mutex<(Files, Arc<ServerConfig>)>,
}

impl Renewed {
    pub(crate) fn load(tls: &ServerTls) -> Result<Self, Error> {
        let files = Files::read(tls)?;
        let config = tls.config(&files)?;
        Ok(Self { tls: tls.clone(), last: Mutex::new((files, config)) })
    }

    /// What the next handshake goes by. As long as the files can't be read or don't belong together, as in the midst of being
    /// replaced, that is what they held before.
    pub(crate) async fn config(self: &Arc<Self>) -> Arc<ServerConfig> {
        let renewed = Arc::clone(self);
        // Should the thread be gone, the server ends, and this is as good as anything.
        let looked = blocking(move || renewed.look()).await;
        looked.unwrap_or_else(|_| Arc::clone(&self.last().1))
    }

    fn look(&self) -> Arc<ServerConfig> {
        let files = Files::read(&self.tls);
        let mut last = self.last();
        // Sessions can be resumed as long as the configuration stays the same.
        if let Ok(files) = files
            && files != last.0
            && let Ok(config) = self.tls.config(&files)
        {
            *last = (files, config);
        }
        Arc::clone(&last.1)
    }

    fn last(&self) -> std::sync::MutexGuard<'_, (Files, Arc<ServerConfig>)> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Renewed {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Renewed").field("tls", &self.tls).finish_non_exhaustive()
    }
}
