//! The key space: requests as values, answers as typed views, and watches.
//!
//! [`Get`], [`Set`], [`CreateInOrder`] and [`Delete`] say what goes on the wire; [`Keys`] sends it; [`Response`] and
//! [`Node`] are what comes back. Nothing here knows of endpoints.

mod date;
mod delete;
mod get;
mod response;
mod set;
mod watch;

pub use delete::Delete;
pub use get::Get;
pub use response::{Action, Node, Response};
pub use set::{CreateInOrder, Set};
pub use watch::{Watch, Watcher};

use bytes::Bytes;
use http::Method;

use crate::client::Client;
use crate::error::Result;
use crate::http::Outgoing;
use crate::http::encode::{self, Pairs};

/// The keys of a cluster, as seen by a [`Client`]. Cheap to clone.
///
/// ```no_run
/// # async fn example() -> etcdkit_v2::Result<()> {
/// use etcdkit_v2::{Client, Get, Set};
/// use std::time::Duration;
///
/// let keys = Client::new(["http://127.0.0.1:2379"])?.keys();
/// keys.set("/hosts/a", "up").await?;
/// keys.call(Set::new("/hosts/b", "up").ttl(Duration::from_secs(60))).await?;
/// let answer = keys.get(Get::new("/hosts").recursive().sorted()).await?;
/// let hosts = answer.node().map(|node| node.nodes()).unwrap_or_default();
/// assert_eq!(hosts.len(), 2);
/// # Ok(())
/// # }
/// ```
///
/// # Cancellation
///
/// Dropping the future of any call closes its connection. A write whose future was dropped may have been applied.
#[derive(Clone, Debug)]
pub struct Keys {
    pub(crate) client: Client,
    prefix: String,
}

/// A request to the key space: [`Get`], [`Set`], [`CreateInOrder`], [`Delete`]. It can't be implemented outside.
pub trait Request:
    private::Encode + Clone + std::fmt::Debug + PartialEq + Send + Sync + 'static
{
}

mod private {
    use super::Wire;
    use crate::error::Result;

    #[expect(unnameable_types, reason = "the supertrait that keeps `Request` closed")]
    pub trait Encode {
        /// What goes on the wire, if the request makes sense.
        fn encode(&self) -> Result<Wire>;
    }
}

pub(crate) use private::Encode;

/// A request to the key space, without the prefix.
#[derive(Debug)]
#[expect(unnameable_types, reason = "what the hidden supertrait of `Request` returns")]
pub struct Wire {
    pub(crate) method: Method,
    pub(crate) key: String,
    pub(crate) query: Pairs,
    pub(crate) form: Option<Pairs>,
    pub(crate) repeatable: bool,
}

/// What every form is sent as; etcd also wants it on requests to delete.
const FORM: &str = "application/x-www-form-urlencoded";

impl Keys {
    pub(crate) fn new(client: Client, prefix: String) -> Self {
        Self { client, prefix }
    }

    /// Reads a key, or a directory.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) if there is none, and see [`call`](Self::call).
    pub async fn get(&self, get: impl Into<Get>) -> Result<Response> {
        self.call(get.into()).await
    }

    /// Writes a key, whether or not it exists. A TTL that it had is gone.
    ///
    /// # Errors
    ///
    /// [`WrongType`](crate::ErrorKind::WrongType) if it is a directory, and see [`call`](Self::call).
    pub async fn set(&self, key: impl Into<String>, value: impl Into<String>) -> Result<Response> {
        self.call(Set::new(key, value)).await
    }

    /// Writes a key that does not exist.
    ///
    /// # Errors
    ///
    /// [`Conflict`](crate::ErrorKind::Conflict) if it exists, and see [`call`](Self::call).
    pub async fn create(
        &self,
        key: impl Into<String>,
        value: impl Into<String>,
    ) -> Result<Response> {
        self.call(Set::new(key, value).must_not_exist()).await
    }

    /// Makes an empty directory.
    ///
    /// # Errors
    ///
    /// [`Conflict`](crate::ErrorKind::Conflict) if there is such a key or directory, and see [`call`](Self::call).
    pub async fn create_directory(&self, key: impl Into<String>) -> Result<Response> {
        self.call(Set::directory(key).must_not_exist()).await
    }

    /// Writes a key below `directory` whose name the server makes, greater than those made before.
    ///
    /// # Errors
    ///
    /// See [`call`](Self::call).
    pub async fn create_in_order(
        &self,
        directory: impl Into<String>,
        value: impl Into<String>,
    ) -> Result<Response> {
        self.call(CreateInOrder::new(directory, value)).await
    }

    /// Writes a key that exists.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) if it does not, and see [`call`](Self::call).
    pub async fn update(
        &self,
        key: impl Into<String>,
        value: impl Into<String>,
    ) -> Result<Response> {
        self.call(Set::new(key, value).must_exist()).await
    }

    /// Deletes a key, or a directory.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) if there is none, [`WrongType`](crate::ErrorKind::WrongType) if it is a
    /// directory and the request does not say so, and see [`call`](Self::call).
    pub async fn delete(&self, delete: impl Into<Delete>) -> Result<Response> {
        self.call(delete.into()).await
    }

    /// Makes any request.
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if the request makes no sense: then nothing is sent. What
    /// the server answers, see [`Error::error_code`](crate::Error::error_code). Or no endpoint could serve it: see
    /// [`Error::attempts`](crate::Error::attempts), and for writes
    /// [`Error::maybe_applied`](crate::Error::maybe_applied).
    pub async fn call<R: Request>(&self, request: R) -> Result<Response> {
        let outgoing = self.outgoing(request.encode()?)?;
        let answer = self.client.call(&outgoing).await?;
        let decoded = response::decode(&answer);
        // A write whose answer can't be read was made all the same, if it was one of success.
        let written = outgoing.is_write() && answer.status < 300;
        decoded.map_err(|error| error.with_maybe_applied(written))
    }

    /// Watches a key, or all keys below a directory. Nothing is sent before [`Watcher::next`].
    pub fn watch(&self, watch: impl Into<Watch>) -> Watcher {
        Watcher::new(self.clone(), watch.into())
    }

    pub(crate) fn outgoing(&self, wire: Wire) -> Result<Outgoing> {
        let mut target = encode::path(&encode::canonical(&self.prefix, &wire.key)?);
        let query = encode::form(wire.query);
        if !query.is_empty() {
            target.push('?');
            target.push_str(&query);
        }
        let content_type = (wire.method != Method::GET).then_some(FORM);
        let body = wire.form.map_or_else(Bytes::new, |form| encode::form(form).into());
        Ok(Outgoing {
            method: wire.method,
            target,
            content_type,
            body,
            shown: None,
            repeatable: wire.repeatable,
        })
    }
}
