//! Hashing passwords. It takes long on purpose, and so it happens on threads for blocking work.

use bcrypt::{BcryptError, Version};
use etcdkit_proto::Code;

use crate::status::{Result, Status};
use crate::task;

/// The hash that is stored for a password, in the form that etcd writes.
pub(crate) async fn hash(password: String, cost: u32) -> Result<String> {
    let hashed = move || bcrypt::non_truncating_hash_with_result(password, cost);
    let hash = task::blocking(hashed).await?.map_err(|error| refused(&error))?;
    Ok(hash.format_for_version(Version::TwoA))
}

/// Whether the hash is of this password.
pub(crate) async fn verify(password: String, hash: String) -> Result<bool> {
    // A hash that cannot be read, or a password that is too long to have one, is none that fits.
    task::blocking(move || bcrypt::non_truncating_verify(password, &hash).unwrap_or(false)).await
}

fn refused(error: &BcryptError) -> Status {
    let text = match error {
        BcryptError::Truncation(_) => "bcrypt: password length exceeds 72 bytes".to_owned(),
        error => format!("bcrypt: {error}"),
    };
    Status::new(Code::Unknown, text)
}
