//! Simple tokens: random names for users, which live as long as they are used.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::lease::Now;

/// Letters of a token before its number.
const LETTERS: usize = 16;

/// How many are kept. The one that expires first goes for another, so that logging in for ever takes no more memory.
const KEPT: usize = 100_000;

/// All simple tokens. Reads renew them, so that they have a lock of their own.
#[derive(Debug)]
pub(crate) struct Tokens {
    ttl: Duration,
    tokens: Mutex<HashMap<String, Token>>,
}

#[derive(Debug)]
struct Token {
    user: Arc<str>,
    deadline: Now,
}

impl Tokens {
    pub(crate) fn new(ttl: Duration) -> Self {
        Self { ttl, tokens: Mutex::default() }
    }

    /// A new token. `number` is the index of the request, which makes it unique; `letter` draws a random number below
    /// its argument.
    pub(crate) fn issue(
        &self,
        user: &str,
        number: u64,
        now: Now,
        mut letter: impl FnMut(u8) -> u8,
    ) -> String {
        let mut text = String::with_capacity(LETTERS + 21);
        for _ in 0..LETTERS {
            let letter = letter(52);
            text.push(char::from(if letter < 26 { b'a' + letter } else { b'A' + letter - 26 }));
        }
        text.push('.');
        text.push_str(&number.to_string());
        let mut tokens = self.lock();
        if tokens.len() >= KEPT {
            tokens.retain(|_, token| token.deadline > now);
        }
        if tokens.len() >= KEPT
            && let Some(first) = tokens.iter().min_by_key(|(_, token)| token.deadline)
        {
            let first = first.0.clone();
            tokens.remove(&first);
        }
        tokens.insert(text.clone(), Token { user: user.into(), deadline: now + self.ttl });
        text
    }

    /// Whose token it is, if it still lives. Its life begins anew.
    pub(crate) fn user(&self, token: &str, now: Now) -> Option<Arc<str>> {
        let mut tokens = self.lock();
        let found = tokens.get_mut(token)?;
        if found.deadline <= now {
            tokens.remove(token);
            return None;
        }
        found.deadline = now + self.ttl;
        Some(Arc::clone(&found.user))
    }

    /// Forgets the tokens of a user.
    pub(crate) fn forget(&self, user: &str) {
        self.lock().retain(|_, token| &*token.user != user);
    }

    /// Forgets all of them.
    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Token>> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
