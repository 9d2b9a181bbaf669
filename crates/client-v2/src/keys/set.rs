//! Writing.

use std::time::Duration;

use http::Method;

use super::{Encode, Request, Wire};
use crate::error::{Error, Result};

/// Writes a key, or makes a directory.
///
/// ```
/// use std::time::Duration;
///
/// use etcdkit_v2::Set;
///
/// let lock = Set::new("/locks/a", "me").must_not_exist().ttl(Duration::from_secs(30));
/// let swap = Set::new("/limit", "20").prev_value("10").prev_index(7);
/// let keep = Set::refresh("/locks/a", Duration::from_secs(30)).prev_value("me");
/// # let _ = (lock, swap, keep);
/// ```
///
/// It is sent to another endpoint only if it certainly did not reach the first: see [`repeatable`](Self::repeatable).
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a request does nothing until it is sent"]
pub struct Set {
    key: String,
    content: Content,
    ttl: Ttl,
    must: Option<bool>,
    prev_value: Option<String>,
    prev_index: Option<u64>,
    no_value_on_success: bool,
    repeatable: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Content {
    Value(String),
    Directory,
    /// That which it has; nobody who watches is told.
    Refresh,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ttl {
    Unset,
    Removed,
    For(Duration),
}

impl Ttl {
    fn encode(self) -> Result<Option<String>> {
        match self {
            Self::Unset => Ok(None),
            Self::Removed => Ok(Some(String::new())),
            Self::For(ttl) if ttl.subsec_nanos() != 0 || ttl.is_zero() => Err(Error::invalid(
                format!("a TTL of {ttl:?}: etcd's v2 API counts in whole seconds, one or more"),
            )),
            Self::For(ttl) => Ok(Some(ttl.as_secs().to_string())),
        }
    }
}

impl Set {
    /// Writes `value` to `key`.
    pub fn new(key: impl Into<String>, value: impl Into<String>) -> Self {
        Self::with(key.into(), Content::Value(value.into()))
    }

    /// Makes `key` a directory. Directories above a key are made by themselves; this is for empty ones, and for those
    /// that end after a time with everything below them.
    pub fn directory(key: impl Into<String>) -> Self {
        Self::with(key.into(), Content::Directory)
    }

    /// Sets the TTL of a key that exists, without touching its value and without telling those who watch it.
    pub fn refresh(key: impl Into<String>, ttl: Duration) -> Self {
        Self::with(key.into(), Content::Refresh).ttl(ttl)
    }

    fn with(key: String, content: Content) -> Self {
        Self {
            key,
            content,
            ttl: Ttl::Unset,
            must: None,
            prev_value: None,
            prev_index: None,
            no_value_on_success: false,
            repeatable: false,
        }
    }

    /// The key ends after this time: whole seconds, one or more. The call fails otherwise, rather than round.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Ttl::For(ttl);
        self
    }

    /// The key stays for good, whatever TTL it had. Mostly for a directory that
    /// [must exist](Self::must_exist): writing a key without a TTL takes its TTL away too.
    pub fn remove_ttl(mut self) -> Self {
        self.ttl = Ttl::Removed;
        self
    }

    /// Only if the key exists.
    pub fn must_exist(mut self) -> Self {
        self.must = Some(true);
        self
    }

    /// Only if the key does not exist.
    pub fn must_not_exist(mut self) -> Self {
        self.must = Some(false);
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

    /// Leaves keys and values out of the answer: [`Response::node`](super::Response::node) is then `None`.
    pub fn no_value_on_success(mut self) -> Self {
        self.no_value_on_success = true;
        self
    }

    /// Declares that it does no harm if this is written twice, and late: it is then sent to the next endpoint when one
    /// fails or is silent, as reads are.
    ///
    /// Right for a key that nobody else writes. Not for a comparison, whose repetition fails because the first succeeded;
    /// and not where others write the key, since an old value might come back.
    pub fn repeatable(mut self) -> Self {
        self.repeatable = true;
        self
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    fn check(&self) -> Result<()> {
        let refuse = |why: &'static str| Err(Error::invalid(why));
        let compares = self.prev_value.is_some() || self.prev_index.is_some();
        match (&self.content, &self.prev_value) {
            (_, Some(value)) if value.is_empty() => {
                refuse("etcd does not compare with an empty value: use `prev_index`")
            }
            (Content::Directory, Some(_)) => refuse("a directory has no value to compare with"),
            _ if self.prev_index == Some(0) => refuse("no key was modified at index 0"),
            _ if self.must == Some(false) && compares => {
                refuse("a key that must not exist has no value and no index to compare with")
            }
            (Content::Refresh, _) if self.ttl == Ttl::Removed => {
                refuse("a refresh sets a TTL: to remove one, update the key with `remove_ttl`")
            }
            _ if self.repeatable && (compares || self.must.is_some()) => {
                refuse("a conditional write is not `repeatable`: repeated, its condition fails")
            }
            _ => Ok(()),
        }
    }
}

impl Request for Set {}

impl Encode for Set {
    fn encode(&self) -> Result<Wire> {
        self.check()?;
        let mut query = Vec::new();
        let mut form = Vec::new();
        match &self.content {
            Content::Value(value) => form.push(("value", value.clone())),
            Content::Directory => query.push(("dir", "true".to_owned())),
            Content::Refresh => form.push(("refresh", "true".to_owned())),
        }
        if let Some(must) = self.must {
            query.push(("prevExist", must.to_string()));
        }
        if let Some(value) = &self.prev_value {
            query.push(("prevValue", value.clone()));
        }
        if let Some(index) = self.prev_index {
            query.push(("prevIndex", index.to_string()));
        }
        if self.no_value_on_success {
            query.push(("noValueOnSuccess", "true".to_owned()));
        }
        form.extend(self.ttl.encode()?.map(|ttl| ("ttl", ttl)));
        Ok(Wire {
            method: Method::PUT,
            key: self.key.clone(),
            query,
            form: Some(form),
            repeatable: self.repeatable,
        })
    }
}

/// Writes a key below a directory whose name the server makes: greater than those made before, so that a sorted
/// [`Get`](super::Get) has them in the order of their creation.
///
/// It is never repeated once it may have left: a repetition would make a second key.
///
/// ```
/// use etcdkit_v2::CreateInOrder;
///
/// let job = CreateInOrder::new("/jobs", "build").ttl(std::time::Duration::from_secs(600));
/// # let _ = job;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a request does nothing until it is sent"]
pub struct CreateInOrder {
    directory: String,
    value: String,
    ttl: Ttl,
}

impl CreateInOrder {
    /// Writes `value` below `directory`, which is made if there is none.
    pub fn new(directory: impl Into<String>, value: impl Into<String>) -> Self {
        Self { directory: directory.into(), value: value.into(), ttl: Ttl::Unset }
    }

    /// The key ends after this time: whole seconds, one or more.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Ttl::For(ttl);
        self
    }
}

impl Request for CreateInOrder {}

impl Encode for CreateInOrder {
    fn encode(&self) -> Result<Wire> {
        let mut form = vec![("value", self.value.clone())];
        form.extend(self.ttl.encode()?.map(|ttl| ("ttl", ttl)));
        Ok(Wire {
            method: Method::POST,
            key: self.directory.clone(),
            query: Vec::new(),
            form: Some(form),
            repeatable: false,
        })
    }
}
