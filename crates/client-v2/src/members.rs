//! The members of a cluster.

use bytes::Bytes;
use http::Method;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

use crate::answer;
use crate::client::Client;
use crate::error::{Error, Result};
use crate::http::{Answer, Outgoing, encode};

/// The members of a cluster, as seen by a [`Client`].
///
/// ```no_run
/// # async fn example(client: etcdkit_v2::Client) -> etcdkit_v2::Result<()> {
/// let members = client.members();
/// for member in members.list().await? {
///     println!("{} {} {:?}", member.id(), member.name(), member.client_urls());
/// }
/// # Ok(())
/// # }
/// ```
///
/// Dropping the future of a call aborts it, see [`Client`](crate::Client#cancellation); a change may have been made
/// nonetheless.
#[derive(Clone, Debug)]
pub struct Members {
    client: Client,
}

/// A member of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Member {
    id: String,
    name: String,
    #[serde(rename = "peerURLs", deserialize_with = "list")]
    peer_urls: Vec<String>,
    #[serde(rename = "clientURLs", deserialize_with = "list")]
    client_urls: Vec<String>,
}

impl Member {
    /// Its id, in hexadecimal.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its name; empty for a member that was added and has not started yet.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where the other members reach it.
    #[must_use]
    pub fn peer_urls(&self) -> &[String] {
        &self.peer_urls
    }

    /// Where clients reach it; empty for a member that has not started yet.
    #[must_use]
    pub fn client_urls(&self) -> &[String] {
        &self.client_urls
    }
}

#[derive(Deserialize)]
struct MemberList {
    #[serde(default, deserialize_with = "list")]
    members: Vec<Member>,
}

#[derive(Serialize)]
struct PeerUrls {
    #[serde(rename = "peerURLs")]
    peer_urls: Vec<String>,
}

impl Members {
    pub(crate) fn new(client: Client) -> Self {
        Self { client }
    }

    /// Every member, as the member that answers knows them.
    ///
    /// # Errors
    ///
    /// No endpoint could serve the call, or the answer makes no sense.
    pub async fn list(&self) -> Result<Vec<Member>> {
        let answer = self.client.call(&request(Method::GET, "/v2/members")).await?;
        let list: MemberList = answer::json(&answer, &[200])?;
        Ok(list.members)
    }

    /// Adds a member, which may then be started, by where the others will reach it.
    ///
    /// # Errors
    ///
    /// [`Conflict`](crate::ErrorKind::Conflict) if there is a member with such a URL, and see
    /// [`Error::maybe_applied`].
    pub async fn add<I>(&self, peer_urls: I) -> Result<Member>
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        let body = PeerUrls { peer_urls: peer_urls.into_iter().map(Into::into).collect() };
        let answer = self.client.call(&json(Method::POST, "/v2/members", &body)?).await?;
        written(&answer, &[201])
    }

    /// Changes where the others reach a member.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) if there is no such member,
    /// [`Conflict`](crate::ErrorKind::Conflict) if another has such a URL, and see
    /// [`Error::maybe_applied`].
    pub async fn update<I>(&self, id: &str, peer_urls: I) -> Result<()>
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        let body = PeerUrls { peer_urls: peer_urls.into_iter().map(Into::into).collect() };
        let answer = self.client.call(&json(Method::PUT, &path(id)?, &body)?).await?;
        answer::check(&answer, &[204])
    }

    /// Removes a member. One that was removed before counts as removed.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) if there never was such a member, and see
    /// [`Error::maybe_applied`].
    pub async fn remove(&self, id: &str) -> Result<()> {
        let answer = self.client.call(&request(Method::DELETE, &path(id)?)).await?;
        answer::check(&answer, &[204, 410])
    }

    /// The leader, as the member that answers knows it.
    ///
    /// # Errors
    ///
    /// [`NoLeader`](crate::ErrorKind::NoLeader) while one is elected.
    pub async fn leader(&self) -> Result<Member> {
        let answer = self.client.call(&request(Method::GET, "/v2/members/leader")).await?;
        answer::json(&answer, &[200])
    }
}

fn path(id: &str) -> Result<String> {
    segment("/v2/members/", id)
}

/// `base` and a name, which is one part of the path whatever it holds.
pub(crate) fn segment(base: &str, name: &str) -> Result<String> {
    if name.is_empty() || name == "." || name == ".." {
        return Err(Error::invalid(format!("`{name}` is no name")));
    }
    Ok(format!("{base}{}", encode::path(name).replace('/', "%2F")))
}

/// A request without a body.
pub(crate) fn request(method: Method, target: &str) -> Outgoing {
    let repeatable = method == Method::GET;
    Outgoing {
        method,
        target: target.to_owned(),
        content_type: None,
        body: Bytes::new(),
        shown: None,
        repeatable,
    }
}

/// A request with `body` as JSON.
pub(crate) fn json<T: Serialize>(method: Method, target: &str, body: &T) -> Result<Outgoing> {
    let body = serde_json::to_vec(body)
        .map_err(|error| Error::internal("the request has no JSON form").with_source(error))?;
    Ok(Outgoing {
        content_type: Some("application/json"),
        body: body.into(),
        ..request(method, target)
    })
}

/// Reads the answer to a write. One that can't be read was a success all the same.
pub(crate) fn written<T: DeserializeOwned>(answer: &Answer, expected: &[u16]) -> Result<T> {
    let applied = expected.contains(&answer.status);
    answer::json(answer, expected).map_err(|error| error.with_maybe_applied(applied))
}

/// A list that may be missing or null.
pub(crate) fn list<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
