//! Typed views of the key space's answers.

use std::fmt;
use std::time::{Duration, SystemTime};

use http::HeaderName;
use serde::{Deserialize, Deserializer};

use super::date;
use crate::answer;
use crate::error::{Error, Result};
use crate::http::Answer;

const INDEX: HeaderName = HeaderName::from_static("x-etcd-index");
const RAFT_INDEX: HeaderName = HeaderName::from_static("x-raft-index");
const RAFT_TERM: HeaderName = HeaderName::from_static("x-raft-term");
const CLUSTER: HeaderName = HeaderName::from_static("x-etcd-cluster-id");

/// What happened to a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// It was read.
    Get,
    /// It was written.
    Set,
    /// It was written and did not exist before.
    Create,
    /// It was written and did exist before.
    Update,
    /// It was deleted.
    Delete,
    /// It was written since a comparison succeeded.
    CompareAndSwap,
    /// It was deleted since a comparison succeeded.
    CompareAndDelete,
    /// Its time was up.
    Expire,
    /// Something that this crate does not know.
    Other(String),
}

impl Action {
    /// The name that etcd gives it, such as `compareAndSwap`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Get => "get",
            Self::Set => "set",
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::CompareAndSwap => "compareAndSwap",
            Self::CompareAndDelete => "compareAndDelete",
            Self::Expire => "expire",
            Self::Other(name) => name,
        }
    }
}

impl From<String> for Action {
    fn from(name: String) -> Self {
        let known = [
            Self::Get,
            Self::Set,
            Self::Create,
            Self::Update,
            Self::Delete,
            Self::CompareAndSwap,
            Self::CompareAndDelete,
            Self::Expire,
        ];
        known.into_iter().find(|action| action.as_str() == name).unwrap_or(Self::Other(name))
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A key with its value, or a directory with what is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Node {
    #[serde(deserialize_with = "or_default")]
    key: String,
    #[serde(deserialize_with = "or_default")]
    dir: bool,
    value: Option<String>,
    #[serde(deserialize_with = "or_default")]
    nodes: Vec<Self>,
    #[serde(rename = "createdIndex")]
    created_index: u64,
    #[serde(rename = "modifiedIndex")]
    modified_index: u64,
    #[serde(deserialize_with = "date_or_none")]
    expiration: Option<SystemTime>,
    ttl: Option<i64>,
}

impl Node {
    /// The key, with a slash in front.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The last part of the key.
    #[must_use]
    pub fn name(&self) -> &str {
        self.key.rsplit('/').next().unwrap_or_default()
    }

    /// Whether it is a directory.
    #[must_use]
    pub fn is_directory(&self) -> bool {
        self.dir
    }

    /// The value; `None` for directories, and for keys that were deleted.
    #[must_use]
    pub fn value(&self) -> Option<&str> {
        self.value.as_deref()
    }

    /// What is in the directory, as far as it was read.
    #[must_use]
    pub fn nodes(&self) -> &[Self] {
        &self.nodes
    }

    /// The index of the store at which it was created.
    #[must_use]
    pub fn created_index(&self) -> u64 {
        self.created_index
    }

    /// The index of the store at which it was last modified.
    #[must_use]
    pub fn modified_index(&self) -> u64 {
        self.modified_index
    }

    /// When it ends, by the server's clock.
    #[must_use]
    pub fn expiration(&self) -> Option<SystemTime> {
        self.expiration
    }

    /// How long it still lived when the server answered, in whole seconds.
    #[must_use]
    pub fn ttl(&self) -> Option<Duration> {
        // Negative for a key that was about to be removed.
        self.ttl.map(|seconds| Duration::from_secs(seconds.try_into().unwrap_or_default()))
    }
}

/// What the key space answered, or what a watch saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    action: Action,
    node: Option<Node>,
    prev_node: Option<Node>,
    index: u64,
    raft_index: u64,
    raft_term: u64,
    cluster_id: Option<String>,
}

impl Response {
    /// What happened.
    #[must_use]
    pub fn action(&self) -> &Action {
        &self.action
    }

    /// The key. `None` if it was asked to be [left out](super::Set::no_value_on_success), or if a watch that was
    /// [resumed](super::Watch::resync) found none.
    #[must_use]
    pub fn node(&self) -> Option<&Node> {
        self.node.as_ref()
    }

    /// The key as it was before, if there was one.
    #[must_use]
    pub fn prev_node(&self) -> Option<&Node> {
        self.prev_node.as_ref()
    }

    /// Gives away the key, and the key as it was before.
    #[must_use]
    pub fn into_nodes(self) -> (Option<Node>, Option<Node>) {
        (self.node, self.prev_node)
    }

    /// The index of the store when the server answered; for what a watch saw, when it began to wait. A watch
    /// [after](super::Watch::after_index) the index of a read misses nothing.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.index
    }

    /// How far the member had got in raft's log, if it said so.
    #[must_use]
    pub fn raft_index(&self) -> Option<u64> {
        (self.raft_index != 0).then_some(self.raft_index)
    }

    /// The term of raft that the member was in, if it said so.
    #[must_use]
    pub fn raft_term(&self) -> Option<u64> {
        (self.raft_term != 0).then_some(self.raft_term)
    }

    /// The id of the cluster, in hexadecimal.
    #[must_use]
    pub fn cluster_id(&self) -> Option<&str> {
        self.cluster_id.as_deref()
    }

    /// What a watch tells that lost events: the key as it is now, at `index`.
    pub(super) fn resynced(index: u64) -> Self {
        Self {
            action: Action::Get,
            node: None,
            prev_node: None,
            index,
            raft_index: 0,
            raft_term: 0,
            cluster_id: None,
        }
    }
}

#[derive(Deserialize)]
struct Body {
    action: String,
    #[serde(default)]
    node: Option<Node>,
    #[serde(default, rename = "prevNode")]
    prev_node: Option<Node>,
}

/// Reads an answer of the key space.
pub(super) fn decode(answer: &Answer) -> Result<Response> {
    let body: Body = answer::json(answer, &[200, 201])?;
    Ok(Response {
        action: body.action.into(),
        node: body.node,
        prev_node: body.prev_node,
        index: number(answer, &INDEX)?,
        raft_index: number(answer, &RAFT_INDEX)?,
        raft_term: number(answer, &RAFT_TERM)?,
        cluster_id: answer.header(&CLUSTER).map(str::to_owned),
    })
}

/// The store's index in the head of an answer.
pub(super) fn index(headers: &http::HeaderMap) -> Option<u64> {
    headers.get(INDEX)?.to_str().ok()?.parse().ok()
}

/// A header's number; zero if there is none.
fn number(answer: &Answer, name: &HeaderName) -> Result<u64> {
    match answer.header(name) {
        None | Some("") => Ok(0),
        Some(text) => text.parse().map_err(|error| {
            Error::internal(format!("the header {name} is no number: `{text}`")).with_source(error)
        }),
    }
}

fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

fn date_or_none<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<SystemTime>, D::Error> {
    let text: Option<String> = Option::deserialize(deserializer)?;
    match text {
        None => Ok(None),
        Some(text) => date::parse(&text).map(Some).ok_or_else(|| {
            serde::de::Error::custom(format_args!("the expiration `{text}` is no date"))
        }),
    }
}

#[cfg(test)]
mod tests;
