//! Passwords and tokens, and who may be told them.

use std::fmt;

use crate::error::{Error, Result};

/// A password or a token. `Debug` shows that there is one and never what it is.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    pub(crate) fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// The secret itself, for the place that sends it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// How the client proves who it is, beside a TLS certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Credentials {
    #[default]
    None,
    Password {
        user: String,
        password: Secret,
    },
    /// A token made elsewhere: sent as it is, never renewed.
    Token(Secret),
}

impl Credentials {
    /// The one way that is configured.
    pub(super) fn new(user: Option<(String, Secret)>, token: Option<Secret>) -> Result<Self> {
        match (user, token) {
            (Some(_), Some(_)) => Err(Error::invalid(
                "`user` and `token` are mutually exclusive: give a user name and a password, or a \
                 token",
            )),
            (Some((user, password)), None) => match (user.is_empty(), password.0.is_empty()) {
                (false, false) => Ok(Self::Password { user, password }),
                (false, true) => Err(Error::invalid(format!(
                    "user `{user}` without a password: leave out `user` to call without \
                     authentication, or give both"
                ))),
                (true, false) => Err(Error::invalid("a password without a user name: give both")),
                (true, true) => Err(Error::invalid(
                    "user name and password are empty: leave out `user` to call without \
                     authentication",
                )),
            },
            (None, Some(token)) => {
                let sendable = |byte: u8| matches!(byte, 0x21..=0x7e);
                if token.0.is_empty() || !token.0.bytes().all(sendable) {
                    return Err(Error::invalid(
                        "the token is empty or has characters that can't be sent (is a newline \
                         left at its end?)",
                    ));
                }
                Ok(Self::Token(token))
            }
            (None, None) => Ok(Self::None),
        }
    }

    pub(crate) fn is_none(&self) -> bool {
        *self == Self::None
    }
}
