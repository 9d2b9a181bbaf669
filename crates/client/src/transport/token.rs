//! The auth token: fetched once for all callers, replaced when the server says so.
//!
//! Authenticate costs the server a bcrypt, so it is called once per token life, not once per stream or per caller. A
//! password that was refused is not tried again by every call: the refusal stands for a while.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::HeaderValue;
use tokio::sync::watch;

use crate::clock::{self, Instant};
use crate::config::Credentials;
use crate::error::{Error, ErrorKind, Result};
use crate::task::{self, Task};

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

/// An Authenticate.
pub(super) type Exchange = Pin<Box<dyn Future<Output = Result<Authenticated>> + Send>>;

#[derive(Debug)]
pub(super) struct Tokens {
    credentials: Credentials,
    shared: Arc<Shared>,
}

/// What callers and the exchange that they wait for have in common.
#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Counts the exchanges that are over.
    over: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    token: Option<HeaderValue>,
    /// Counts every answer of the server to Authenticate.
    generation: u64,
    refused: Option<Refusal>,
    /// The exchange under way: a task, since none of those who wait for it can be relied on to go on.
    exchange: Option<Task>,
    /// Who waits for it.
    waiting: usize,
    /// How the last exchange failed.
    failed: Option<Error>,
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
        let shared = Shared { state: Mutex::new(state), over: watch::Sender::default() };
        Ok(Self { credentials, shared: Arc::new(shared) })
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

    /// Replaces what was in force as `seen`, unless someone else has done so already: then nothing is exchanged.
    ///
    /// One exchange serves all who wait for it, and lasts until the last of them has given up.
    pub(super) async fn renew(&self, seen: u64, begin: impl FnOnce() -> Exchange) -> Result<()> {
        let mut over = self.shared.over.subscribe();
        let _waiting = {
            let mut state = self.lock();
            if state.generation != seen {
                return Ok(());
            }
            if let Some(refusal) = &state.refused
                && clock::now() < refusal.until
            {
                return Err(refusal.error.clone());
            }
            if state.exchange.as_ref().is_none_or(Task::is_over) {
                let shared = Arc::clone(&self.shared);
                let exchange = begin();
                state.exchange = Some(task::spawn(async move {
                    let outcome = exchange.await;
                    shared.lock().take_in(outcome);
                    shared.over.send_modify(|over| *over += 1);
                }));
            }
            state.waiting += 1;
            Waiting(&self.shared)
        };
        // The sender lives as long as this.
        let _ = over.changed().await;
        match &self.lock().failed {
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.shared.lock()
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl State {
    /// Ends the exchange.
    fn take_in(&mut self, outcome: Result<Authenticated>) {
        self.exchange = None;
        let token = outcome.and_then(|answer| match answer {
            Authenticated::Token(token) => header_value(&token).map(Some),
            Authenticated::NotEnabled => Ok(None),
        });
        self.failed = token.as_ref().err().cloned();
        match token {
            Ok(token) => {
                self.token = token;
                self.generation += 1;
                self.refused = None;
            }
            Err(error) if error.kind() == ErrorKind::Unauthenticated => {
                let before = self.refused.as_ref();
                let pause =
                    before.map_or(FIRST_PAUSE, |refusal| (refusal.pause * 2).min(LONGEST_PAUSE));
                self.refused = Some(Refusal { error, until: clock::now() + pause, pause });
            }
            Err(_) => {}
        }
    }
}

/// A caller who waits for an exchange. The last one to give up ends it.
struct Waiting<'a>(&'a Shared);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.waiting -= 1;
        let abandoned = if state.waiting == 0 { state.exchange.take() } else { None };
        drop(state);
        drop(abandoned);
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
