//! What is common to all of etcd's answers: JSON, and messages in place of one.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, ErrorCode, ErrorKind, Result};
use crate::http::Answer;

/// Every shape that a refusal comes in: the key space's, and that of members and users.
#[derive(Deserialize)]
struct Refusal {
    #[serde(default, rename = "errorCode")]
    code: Option<u32>,
    #[serde(default)]
    message: String,
    #[serde(default)]
    cause: String,
    #[serde(default)]
    index: u64,
}

/// The body of an answer whose status is one of `expected`.
pub(crate) fn json<T: DeserializeOwned>(answer: &Answer, expected: &[u16]) -> Result<T> {
    check(answer, expected)?;
    if answer.body.is_empty() {
        return Err(Error::internal("the answer has no body"));
    }
    serde_json::from_slice(&answer.body).map_err(|error| {
        Error::internal(format!(
            "the answer is not the JSON that etcd writes (is this etcd?): {error}"
        ))
        .with_source(error)
    })
}

/// Whether the status of an answer is one of `expected`.
pub(crate) fn check(answer: &Answer, expected: &[u16]) -> Result<()> {
    if expected.contains(&answer.status) { Ok(()) } else { Err(refusal(answer)) }
}

/// The error that an answer stands for.
pub(crate) fn refusal(answer: &Answer) -> Error {
    let status = answer.status;
    let error = match serde_json::from_slice::<Refusal>(&answer.body) {
        Ok(Refusal { code: Some(code), message, cause, index }) => {
            Error::from_keys(ErrorCode::new(code), &message, cause, index)
        }
        Ok(Refusal { message, .. }) if !message.is_empty() => {
            Error::new(kind_of(status, &message), message)
        }
        _ if status == 404 => Error::new(
            ErrorKind::Unsupported,
            "the server does not know this path: the v2 API is on with etcd's flag --enable-v2, \
             and gone from etcd 3.6 on",
        ),
        _ => Error::new(
            kind_of(status, ""),
            format!("unexpected status code {status}: {}", text(answer)),
        ),
    };
    error.with_status(status)
}

fn kind_of(status: u16, message: &str) -> ErrorKind {
    // Users and roles that exist or don't are told with statuses that differ between versions.
    if message.contains("does not exist") {
        return ErrorKind::NotFound;
    }
    match status {
        400 => ErrorKind::InvalidArgument,
        401 => ErrorKind::Unauthenticated,
        403 => ErrorKind::PermissionDenied,
        404 | 410 => ErrorKind::NotFound,
        409 | 412 => ErrorKind::Conflict,
        405 | 501 => ErrorKind::Unsupported,
        500..=599 => ErrorKind::Unavailable,
        _ => ErrorKind::Internal,
    }
}

/// What an answer says in place of JSON, shortened.
pub(crate) fn text(answer: &Answer) -> String {
    const ENOUGH: usize = 200;
    if let Ok(refusal) = serde_json::from_slice::<Refusal>(&answer.body)
        && !refusal.message.is_empty()
    {
        return match refusal.cause.as_str() {
            "" => refusal.message,
            cause => format!("{} ({cause})", refusal.message),
        };
    }
    let text = String::from_utf8_lossy(&answer.body);
    let text = text.trim();
    if text.is_empty() {
        return "no reason given".to_owned();
    }
    let shown: String = text.chars().take(ENOUGH).collect();
    if shown.len() < text.len() { shown + "…" } else { shown }
}
