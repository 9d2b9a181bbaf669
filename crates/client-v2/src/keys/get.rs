//! Reading.

use http::Method;

use super::{Encode, Request, Wire};
use crate::error::Result;

/// Reads a key, or a directory with the keys directly below it.
///
/// ```
/// use etcdkit_v2::Get;
///
/// let get = Get::new("/hosts").recursive().sorted().quorum();
/// assert_eq!(Get::from("/hosts"), Get::new("/hosts"));
/// # let _ = get;
/// ```
///
/// Without [`quorum`](Self::quorum), a member answers from what it knows, and that may be old: a member that is cut off
/// from the others answers for as long as it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a request does nothing until it is sent"]
pub struct Get {
    key: String,
    recursive: bool,
    sorted: bool,
    quorum: bool,
}

impl Get {
    /// Reads `key`.
    pub fn new(key: impl Into<String>) -> Self {
        Self { key: key.into(), recursive: false, sorted: false, quorum: false }
    }

    /// With everything below the directories in it.
    pub fn recursive(mut self) -> Self {
        self.recursive = true;
        self
    }

    /// With the keys of each directory in the order of their names: for keys that were
    /// [created in order](super::CreateInOrder), that of their creation.
    pub fn sorted(mut self) -> Self {
        self.sorted = true;
        self
    }

    /// Has most members agree, so that no write is missed which was answered before. Slower, and impossible while there
    /// is no leader.
    pub fn quorum(mut self) -> Self {
        self.quorum = true;
        self
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }
}

impl<K: Into<String>> From<K> for Get {
    fn from(key: K) -> Self {
        Self::new(key)
    }
}

impl Request for Get {}

impl Encode for Get {
    fn encode(&self) -> Result<Wire> {
        Ok(Wire {
            method: Method::GET,
            key: self.key.clone(),
            query: vec![
                ("quorum", self.quorum.to_string()),
                ("recursive", self.recursive.to_string()),
                ("sorted", self.sorted.to_string()),
            ],
            form: None,
            repeatable: true,
        })
    }
}
