//! Passwords that were hashed before they came here.
//!
//! etcd's API has had a field for them since 3.5. Its servers take it when a password is *changed*, and put the hash of
//! the empty password in its place when a user is *added*; a member of 3.4 does not know it at all and would set the
//! empty password. So a user is added with a password that nobody knows, which is changed at once, and both calls go to
//! a member that was asked for its version.

use std::fmt;
use std::str::FromStr;

use crate::clock;
use crate::config::Endpoint;
use crate::error::{Error, ErrorKind, Result};
use crate::metadata::base64;
use crate::request::maintenance::Status;
use crate::request::users::{UserAdd, UserChangePassword};
use crate::response::HeaderResponse;
use crate::service::CallOptions;
use crate::transport::{Channel, Transport};
use crate::version::Version;

/// The bcrypt hash of a password: what etcd keeps of one. `Debug` shows that there is one, and never what it is.
///
/// Whoever hashes decides how strong the hash is; etcd takes any cost. A hash is a secret too: passwords can be guessed
/// from it at leisure.
///
/// ```
/// use etcdkit::auth::{HashedPassword, UserAdd};
///
/// let hash = "$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy";
/// let hash: HashedPassword = hash.parse()?;
/// let alice = UserAdd::with_hashed_password("alice", hash);
/// assert!(!format!("{alice:?}").contains("N9qo"));
/// assert!("secret".parse::<HashedPassword>().is_err());
/// # Ok::<(), etcdkit::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct HashedPassword(String);

impl HashedPassword {
    /// As the wire has it.
    pub(crate) fn into_wire(self) -> String {
        // 60 bytes are 80 characters of base64: there is nothing to pad.
        base64(self.0.as_bytes())
    }
}

impl FromStr for HashedPassword {
    type Err = Error;

    /// Reads `$2b$10$` and 53 characters; `2a` and `2y` in front say the same to etcd.
    fn from_str(hash: &str) -> Result<Self> {
        let valid = || {
            let (version, rest) = hash.strip_prefix('$')?.split_once('$')?;
            let (cost, rest) = rest.split_once('$')?;
            let digits = cost.len() == 2 && cost.bytes().all(|byte| byte.is_ascii_digit());
            let cost_valid = digits && matches!(cost.parse::<u8>(), Ok(4..=31));
            let of_bcrypt = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'/');
            let rest_valid = rest.len() == 53 && rest.bytes().all(of_bcrypt);
            (matches!(version, "2a" | "2b" | "2y") && cost_valid && rest_valid).then_some(())
        };
        match valid() {
            Some(()) => Ok(Self(hash.to_owned())),
            None => Err(Error::invalid(
                "this is no bcrypt hash: `$2b$`, a cost from 04 to 31, `$` and 53 characters are",
            )),
        }
    }
}

impl fmt::Debug for HashedPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Adds a user.
pub(crate) async fn add_user<T: Transport>(
    channel: &Channel<T>,
    request: UserAdd,
    options: &CallOptions,
) -> Result<HeaderResponse> {
    let Some(change) = request.hashed() else { return channel.unary(request, options).await };
    let remaining = options.sharing(channel.config().timeouts.admin);
    let member = member_that_takes_hashes(channel, options, &remaining).await?;
    let locked = UserAdd::new(request.name(), clock::secret());
    channel.unary(locked, &remaining().endpoint(member.clone())).await?;
    let changed = channel.unary(change, &remaining().endpoint(member)).await;
    // The user is there, in any case.
    changed.map_err(|error| error.with_maybe_applied(true))
}

/// Gives a user another password.
pub(crate) async fn change_password<T: Transport>(
    channel: &Channel<T>,
    request: UserChangePassword,
    options: &CallOptions,
) -> Result<HeaderResponse> {
    if !request.is_hashed() {
        return channel.unary(request, options).await;
    }
    let remaining = options.sharing(channel.config().timeouts.admin);
    let member = member_that_takes_hashes(channel, options, &remaining).await?;
    channel.unary(request, &remaining().endpoint(member)).await
}

/// The first member that answers, if it knows the field.
async fn member_that_takes_hashes<T: Transport>(
    channel: &Channel<T>,
    options: &CallOptions,
    remaining: &(impl Fn() -> CallOptions + Sync),
) -> Result<Endpoint> {
    let endpoints = match &options.endpoint {
        Some(endpoint) => vec![endpoint.clone()],
        None => channel.endpoints().iter().cloned().collect(),
    };
    let mut failure = Error::new(ErrorKind::Unavailable, "there are no endpoints");
    for endpoint in endpoints {
        match channel.unary(Status::new(), &remaining().endpoint(endpoint.clone())).await {
            Ok(status) if takes_hashes(status.version()) => return Ok(endpoint),
            Ok(status) => {
                return Err(Error::unsupported(format!(
                    "etcd {} would set an empty password instead of a hashed one: 3.5 is needed",
                    status.version()
                )));
            }
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

fn takes_hashes(version: &str) -> bool {
    version.parse().is_ok_and(|version: Version| version >= Version::new(3, 5, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "$2b$04$abcdefghijklmnopqrstuuges0.lCvw6dVHoVkOV0ih0Cvqc9/S82";

    #[test]
    fn a_hash_is_known_by_its_form() {
        let replaced = |from: &str, to: &str| HASH.replacen(from, to, 1);
        let table = [
            (HASH.to_owned(), true),
            (replaced("2b", "2a"), true),
            (replaced("2b", "2y"), true),
            (replaced("2b", "2"), false),
            (replaced("2b", "5"), false),
            (replaced("04", "4"), false),
            (replaced("04", "03"), false),
            (replaced("04", "32"), false),
            (replaced("04", "+4"), false),
            (replaced("/S82", "/S8"), false),
            (replaced("/S82", "/S8="), false),
            (replaced("/S82", "/S8é"), false),
            (String::new(), false),
            ("secret".to_owned(), false),
        ];
        for (text, valid) in table {
            let outcome = text.parse::<HashedPassword>();
            assert_eq!(outcome.is_ok(), valid, "{text}");
            if let Err(error) = outcome {
                assert_eq!(error.kind(), ErrorKind::InvalidArgument);
                assert!(text.is_empty() || !error.to_string().contains(&text), "{error}");
            }
        }
    }

    #[test]
    fn versions_before_3_5_are_refused() {
        let table =
            [("3.4.23", false), ("3.5.0", true), ("3.6.14", true), ("", false), ("4.0.0", true)];
        for (version, expected) in table {
            assert_eq!(takes_hashes(version), expected, "{version}");
        }
    }
}
