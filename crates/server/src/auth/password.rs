//! Hashing passwords. It takes long on purpose, and so it happens on threads for blocking work: as many of them as there are
//! cores, so that others are left for what is stored.

use std::sync::LazyLock;
use std::thread::available_parallelism;

use bcrypt::{BcryptError, Version};
use etcdkit_proto::Code;
use tokio::sync::Semaphore;

use crate::status::{Result, Status};
use crate::task;

/// Those who may hash at once, whichever server of this process they are of.
static CORES: LazyLock<Semaphore> =
    LazyLock::new(|| Semaphore::new(available_parallelism().map_or(1, Into::into)));

/// The hash that is stored for a password, in the form that etcd writes.
pub(crate) async fn hash(password: String, cost: u32) -> Result<String> {
    let hashed = move || bcrypt::non_truncating_hash_with_result(password, cost);
    let hash = in_turn(hashed).await?.map_err(|error| refused(&error))?;
    Ok(hash.format_for_version(Version::TwoA))
}

/// Whether the hash is of this password.
pub(crate) async fn verify(password: String, hash: String) -> Result<bool> {
    // A hash that cannot be read, or a password that is too long to have one, is none that fits.
    in_turn(move || bcrypt::non_truncating_verify(password, &hash).unwrap_or(false)).await
}

/// Hashes when a core is free for it. Who gives up waiting leaves the line; what has begun keeps its core to the end.
async fn in_turn<T: Send + 'static>(hash: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    // It is never closed.
    let core = CORES.acquire().await.ok();
    task::blocking(move || {
        let hashed = hash();
        drop(core);
        hashed
    })
    .await
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
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::{join, join_all};

    use super::*;

    #[test]
    fn what_is_stored_does_not_wait_for_all_who_log_in() {
        let threads = available_parallelism().map_or(1, usize::from) + 1;
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.max_blocking_threads(threads).build().unwrap();
        runtime.block_on(async {
            let hash = hash("right".to_owned(), 9).await.unwrap();
            let done = AtomicUsize::new(0);
            let logins = (0..8 * threads).map(async |_| {
                assert!(!verify("wrong".to_owned(), hash.clone()).await.unwrap());
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
}
