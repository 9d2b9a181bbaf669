//! Hashing passwords. It takes long on purpose, and so it happens on threads for blocking work: as many of them as there are
//! cores, so that others are left for what is stored.

use std::sync::Arc;
use std::thread::available_parallelism;

use bcrypt::{BcryptError, Version};
use etcdkit_proto::Code;
use tokio::sync::Semaphore;

use crate::status::{Result, Status};
use crate::task;

/// The passwords that a server hashes.
///
/// Each has cores of its own: who waits for another runtime's threads seems idle to tokio, whose clock, where a test has
/// paused it, would go on.
#[derive(Debug)]
pub(crate) struct Passwords {
    cores: Arc<Semaphore>,
}

impl Default for Passwords {
    fn default() -> Self {
        let cores = available_parallelism().map_or(1, Into::into);
        Self { cores: Arc::new(Semaphore::new(cores)) }
    }
}

impl Passwords {
    /// The hash that is stored for a password, in the form that etcd writes.
    pub(crate) async fn hash(&self, password: String, cost: u32) -> Result<String> {
        let hashed = move || bcrypt::non_truncating_hash_with_result(password, cost);
        let hash = self.in_turn(hashed).await?.map_err(|error| refused(&error))?;
        Ok(hash.format_for_version(Version::TwoA))
    }

    /// Whether the hash is of this password.
    pub(crate) async fn verify(&self, password: String, hash: String) -> Result<bool> {
        // A hash that cannot be read, or a password that is too long to have one, is none that fits.
        let fits = move || bcrypt::non_truncating_verify(password, &hash).unwrap_or(false);
        self.in_turn(fits).await
    }

    /// Hashes when a core is free for it. Who gives up waiting leaves the line; what has begun keeps its core to the end.
    async fn in_turn<T: Send + 'static>(
        &self,
        hash: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        // It is never closed.
        let core = Arc::clone(&self.cores).acquire_owned().await.ok();
        task::blocking(move || {
            let hashed = hash();
            drop(core);
            hashed
        })
        .await
    }
}

fn refused(error: &BcryptError) -> Status {
    let text = match error {
        BcryptError::Truncation(_) => "bcrypt: password length exceeds 72 bytes".to_owned(),
        error => format!("bcrypt: {error}"),
    };
    Status::new(Code::Unknown, text)
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use futures_util::future::{join, join_all, poll_immediate};
    use tokio::time::timeout;

    use super::*;

    #[test]
    fn what_is_stored_does_not_wait_for_all_who_log_in() {
        let threads = available_parallelism().map_or(1, usize::from) + 1;
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.max_blocking_threads(threads).build().unwrap();
        runtime.block_on(async {
            let passwords = Passwords::default();
            let hash = passwords.hash("right".to_owned(), 9).await.unwrap();
            let done = AtomicUsize::new(0);
            let logins = (0..8 * threads).map(async |_| {
                let wrong = passwords.verify("wrong".to_owned(), hash.clone());
                assert!(!wrong.await.unwrap());
                done.fetch_add(1, Ordering::Relaxed);
            });
            let stored = async {
                task::blocking(|| ()).await.unwrap();
                done.load(Ordering::Relaxed)
            };
            let (_, before) = join(join_all(logins), stored).await;
            assert!(before < 4 * threads, "{before} logins before it");
        });
    }

    /// The time of a paused clock went on while the passwords of other servers in the process were hashed.
    #[test]
    fn no_time_passes_while_passwords_are_hashed() {
        let threads = available_parallelism().map_or(1, usize::from);
        let others = Passwords::default();
        let (end, ended) = channel::<()>();
        let busy = async {
            let ended = Arc::new(Mutex::new(ended));
            let waits = (0..threads).map(|_| {
                let ended = Arc::clone(&ended);
                others.in_turn(move || ended.lock().unwrap().recv().is_err())
            });
            join_all(waits).await;
        };
        let busy_runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut busy = pin!(busy);
        busy_runtime.block_on(async { assert!(poll_immediate(&mut busy).await.is_none()) });

        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let passwords = Passwords::default();
            let hashes = (0..4 * threads).map(|_| passwords.hash("right".to_owned(), 4));
            let hashed = timeout(Duration::from_secs(3600), join_all(hashes)).await;
            assert!(hashed.expect("an hour passed").iter().all(Result::is_ok));
        });
        drop(end);
        busy_runtime.block_on(busy);
    }
}
