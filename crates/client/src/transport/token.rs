//! The auth token: fetched once for all callers, replaced when the server says so.
//!
//! Authenticate costs the server a bcrypt, so it is called once per token life, not once per stream or per caller. A
//! password that was refused is not tried again by every call: the refusal stands for a while.

use std::future::Future;
use std::sync::Mutex;
use std::time::Duration;

use http::HeaderValue;

use crate::clock::{self, Instant};
use crate::config::Credentials;
use crate::error::{Error, ErrorKind, Result};

/// A token and which one it is.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) value: HeaderValue,
    pub(super) generation: u64,
}

/// What came of an Authenticate.
#[derive(Debug)]
pub(super) enum Authenticated {
    Token(String),
    /// The cluster has authentication switched off: no token is needed.
    NotEnabled,
}

#[derive(Debug)]
pub(super) struct Tokens {
    credentials: Credentials,
    state: Mutex<State>,
    /// Held by the one caller that is asking the server.
    gate: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    token: Option<HeaderValue>,
    /// Counts every answer of the server to Authenticate.
    generation: u64,
    refused: Option<Refusal>,
}

#[derive(Debug)]
struct Refusal {
    error: Error,
    until: Instant,
    pause: Duration,
}

/// How long the first refusal of a password stands; doubled by each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

impl Tokens {
    pub(super) fn new(credentials: Credentials) -> Result<Self> {
        let mut state = State::default();
        if let Credentials::Token(token) = &credentials {
            state.token = Some(header_value(token.expose())?);
            state.generation = 1;
        }
        Ok(Self { credentials, state: Mutex::new(state), gate: tokio::sync::Mutex::default() })
    }

    /// Whether there is a name and a password to get tokens with.
    pub(super) fn can_authenticate(&self) -> bool {
        matches!(self.credentials, Credentials::Password { .. })
    }

    /// The name and password, if tokens are got with them.
    pub(super) fn password(&self) -> Option<(&str, &str)> {
        match &self.credentials {
            Credentials::Password { user, password } => Some((user, password.expose())),
            _ => None,
        }
    }

    /// The token to send now, if there is one.
    pub(super) fn current(&self) -> Option<Token> {
        if self.credentials.is_none() {
            return None;
        }
        let state = self.lock();
        let value = state.token.clone()?;
        Some(Token { value, generation: state.generation })
    }

    /// What is in force now: a token, or the server's word that none is needed.
    pub(super) fn generation(&self) -> u64 {
        if self.credentials.is_none() { 0 } else { self.lock().generation }
    }

    /// Whether a call must authenticate before it makes sense to send it.
    pub(super) fn is_wanting(&self) -> bool {
        self.can_authenticate() && self.lock().generation == 0
    }

    /// Replaces what was in force as `seen`, unless someone else has done so already: then `authenticate` is not run.
    pub(super) async fn renew(
        &self,
        seen: u64,
        authenticate: impl Future<Output = Result<Authenticated>>,
    ) -> Result<()> {
        let _gate = self.gate.lock().await;
        {
            let state = self.lock();
            if state.generation != seen {
                return Ok(());
            }
            if let Some(refusal) = &state.refused
                && clock::now() < refusal.until
            {
                return Err(refusal.error.clone());
            }
        }
        let outcome = authenticate.await;
        let mut state = self.lock();
        match outcome {
            Ok(answer) => {
                state.token = match answer {
                    Authenticated::Token(token) => Some(header_value(&token)?),
                    Authenticated::NotEnabled => None,
                };
                state.generation += 1;
                state.refused = None;
                Ok(())
            }
            Err(error) => {
                if error.kind() == ErrorKind::Unauthenticated {
                    let pause = state
                        .refused
                        .as_ref()
                        .map_or(FIRST_PAUSE, |refusal| (refusal.pause * 2).min(LONGEST_PAUSE));
                    state.refused =
                        Some(Refusal { error: error.clone(), until: clock::now() + pause, pause });
                }
                Err(error)
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn header_value(token: &str) -> Result<HeaderValue> {
    let mut value = HeaderValue::from_str(token).map_err(|_| {
        Error::invalid("the auth token holds characters that can't be sent: use the token as issued, without line breaks")
    })?;
    // Kept out of HPACK's table and of every Debug output.
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests;
