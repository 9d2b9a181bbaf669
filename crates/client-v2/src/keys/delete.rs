//! Deleting.

use http::Method;

use super::{Encode, Request, Wire};
use crate::error::{Error, Result};

/// Deletes a key, or a directory.
///
/// It is sent to another endpoint only if it certainly did not reach the first.
///
/// ```
/// use etcdkit_v2::Delete;
///
/// let delete = Delete::new("/locks/a").prev_value("me");
/// assert_eq!(Delete::from("/locks/a"), Delete::new("/locks/a"));
/// # let _ = delete;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a request does nothing until it is sent"]
pub struct Delete {
    key: String,
    recursive: bool,
    directory: bool,
    prev_value: Option<String>,
    prev_index: Option<u64>,
}

impl Delete {
    /// Deletes `key`.
    pub fn new(key: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            recursive: false,
            directory: false,
            prev_value: None,
            prev_index: None,
        }
    }

    /// With everything below it.
    pub fn recursive(mut self) -> Self {
        self.recursive = true;
        self
    }

    /// Also if it is a directory, provided that it is empty.
    pub fn directory(mut self) -> Self {
        self.directory = true;
        self
    }

    /// Only if the key has this value, which can't be empty.
    pub fn prev_value(mut self, value: impl Into<String>) -> Self {
        self.prev_value = Some(value.into());
        self
    }

    /// Only if the key was last modified at this index, which can't be zero.
    pub fn prev_index(mut self, index: u64) -> Self {
        self.prev_index = Some(index);
        self
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }
}

impl<K: Into<String>> From<K> for Delete {
    fn from(key: K) -> Self {
        Self::new(key)
    }
}

impl Request for Delete {}

impl Encode for Delete {
    fn encode(&self) -> Result<Wire> {
        if self.prev_value.as_deref() == Some("") {
            return Err(Error::invalid(
                "etcd does not compare with an empty value: use `prev_index`",
            ));
        }
        if self.prev_index == Some(0) {
            return Err(Error::invalid("no key was modified at index 0"));
        }
        let mut query = Vec::new();
        if let Some(value) = &self.prev_value {
            query.push(("prevValue", value.clone()));
        }
        if let Some(index) = self.prev_index {
            query.push(("prevIndex", index.to_string()));
        }
        if self.recursive {
            query.push(("recursive", "true".to_owned()));
        }
        if self.directory {
            query.push(("dir", "true".to_owned()));
        }
        Ok(Wire {
            method: Method::DELETE,
            key: self.key.clone(),
            query,
            form: None,
            repeatable: false,
        })
    }
}
