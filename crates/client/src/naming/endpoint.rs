//! An endpoint, and its JSON form.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use bytes::Bytes;

use crate::byte_string::ByteString;
use crate::error::{Error, Result};
use crate::revision::LeaseId;

/// Where a service is offered.
///
/// ```
/// use etcdkit::naming::Endpoint;
///
/// let endpoint = Endpoint::new("10.0.0.4:8080").with_metadata(&["eu", "ssd"])?;
/// assert_eq!(endpoint.metadata::<Vec<String>>()?, Some(vec!["eu".into(), "ssd".into()]));
/// # Ok::<(), etcdkit::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    address: String,
    metadata: Value,
}

impl Endpoint {
    /// At `address`, whatever the clients of the service take for one.
    pub fn new(address: impl Into<String>) -> Self {
        Self { address: address.into(), metadata: Value::Null }
    }

    /// The same, with whatever else its clients want to know.
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if it has no JSON form.
    pub fn with_metadata<T: Serialize + ?Sized>(mut self, metadata: &T) -> Result<Self> {
        self.metadata = serde_json::to_value(metadata).map_err(|error| {
            Error::invalid(format!("the metadata can't be written as JSON: {error}"))
                .with_source(error)
        })?;
        Ok(self)
    }

    /// The address.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What else there is to know; `None` if there is nothing.
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if it is not the JSON form of a `T`.
    pub fn metadata<T: for<'de> Deserialize<'de>>(&self) -> Result<Option<T>> {
        if self.metadata.is_null() {
            return Ok(None);
        }
        T::deserialize(&self.metadata).map(Some).map_err(|error| {
            Error::invalid(format!("the metadata can't be read as JSON: {error}"))
                .with_source(error)
        })
    }

    /// The value of an endpoint's key: Go's `Update`, of which an addition is number 0.
    pub(super) fn to_json(&self) -> Result<Vec<u8>> {
        let wire = Wire { op: 0, addr: self.address.clone(), metadata: self.metadata.clone() };
        serde_json::to_vec(&wire).map_err(|error| Error::internal(error.to_string()))
    }

    /// `None` for what is no endpoint.
    pub(super) fn from_json(value: &[u8]) -> Option<Self> {
        let wire: Wire = serde_json::from_slice(value).ok()?;
        Some(Self { address: wire.addr, metadata: wire.metadata })
    }
}

/// Both generations of Go's client write this, and read it whatever the case of the names is.
#[derive(Serialize, Deserialize)]
struct Wire {
    #[serde(rename = "Op", alias = "op", alias = "OP", default)]
    op: i64,
    #[serde(rename = "Addr", alias = "addr", alias = "ADDR", default)]
    addr: String,
    #[serde(rename = "Metadata", alias = "metadata", alias = "METADATA", default)]
    metadata: Value,
}

/// One change to be made; see [`Endpoints::update`](super::Endpoints::update).
#[derive(Clone, Debug, PartialEq)]
pub struct EndpointUpdate {
    pub(super) key: Bytes,
    pub(super) endpoint: Option<Endpoint>,
    pub(super) lease: Option<LeaseId>,
}

impl EndpointUpdate {
    /// Adds or replaces the endpoint under `key`, which begins with the service's name and a slash.
    pub fn add(key: impl Into<ByteString>, endpoint: Endpoint) -> Self {
        Self { key: key.into().into_bytes(), endpoint: Some(endpoint), lease: None }
    }

    /// Deletes the endpoint under `key`.
    pub fn delete(key: impl Into<ByteString>) -> Self {
        Self { key: key.into().into_bytes(), endpoint: None, lease: None }
    }

    /// Has what is added end with `lease`: with the process that offers the service, for instance.
    #[must_use]
    pub fn lease(mut self, lease: LeaseId) -> Self {
        self.lease = Some(lease);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_is_that_of_the_go_client() {
        let json = |endpoint: Endpoint| String::from_utf8(endpoint.to_json().unwrap()).unwrap();
        let plain = r#"{"Op":0,"Addr":"127.0.0.1","Metadata":null}"#;
        assert_eq!(json(Endpoint::new("127.0.0.1")), plain);
        let with = Endpoint::new("a:1").with_metadata(&[1, 2]).unwrap();
        assert_eq!(json(with.clone()), r#"{"Op":0,"Addr":"a:1","Metadata":[1,2]}"#);
        assert_eq!(Endpoint::from_json(json(with.clone()).as_bytes()), Some(with));
    }

    #[test]
    fn what_others_wrote_is_read() {
        let address = |json: &str| Endpoint::from_json(json.as_bytes()).map(|it| it.address);
        let table = [
            (r#"{"Addr":"a"}"#, Some("a")),
            (r#"{"addr":"a","op":0}"#, Some("a")),
            (r#"{"Op":0,"Addr":"a","Metadata":{"w":1},"More":true}"#, Some("a")),
            ("{}", Some("")),
            ("", None),
            ("127.0.0.1", None),
            (r#"{"Addr":7}"#, None),
            (r#"{"Addr":"a""#, None),
        ];
        for (json, expected) in table {
            assert_eq!(address(json).as_deref(), expected, "{json}");
        }
    }
}
