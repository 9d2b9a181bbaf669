//! What a caller sends along with a call, beside what etcdkit sends itself.

use std::fmt;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};

use crate::error::{Error, Result};

/// Headers that go along with a call: for proxies, tracing and the like; etcd itself reads none of them.
///
/// Cloning is cheap. An empty one takes no memory.
///
/// ```
/// use etcdkit::Metadata;
///
/// # fn main() -> etcdkit::Result<()> {
/// let metadata = Metadata::new().with("x-request-id", "7f3a")?.with("trace-bin", [0x00, 0xff])?;
/// assert_eq!(metadata.len(), 2);
/// assert!(Metadata::new().with("token", "abc").is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default, PartialEq)]
pub struct Metadata(Option<Arc<Vec<(HeaderName, HeaderValue)>>>);

/// Names alone: a value may be a cookie, or the key to a proxy.
impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(|(name, _)| name.as_str())).finish()
    }
}

/// The headers that one may hold: a header map panics when it is full, at 32 768.
const MOST: usize = 1000;

impl Metadata {
    /// No headers.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same headers and one more. A name that is there already gets a further value.
    ///
    /// A value is printable ASCII without spaces at its ends; under a name that ends in `-bin` it is any bytes, which
    /// travel in base64 as gRPC has it.
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if the name or the value can't be sent, or if the name is
    /// one that etcdkit, gRPC or HTTP/2 gives a meaning to; the message says which and what to use instead. Or if there
    /// are 1000 headers already.
    pub fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Result<Self> {
        let header = name_of(name)?;
        let value = value_of(name, value.as_ref())?;
        if self.len() >= MOST {
            return Err(Error::invalid(format!(
                "metadata `{name}`: there are {MOST} headers already"
            )));
        }
        Arc::make_mut(self.0.get_or_insert_default()).push((header, value));
        Ok(self)
    }

    /// How many headers there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |headers| headers.len())
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// These headers and then those of `other`.
    pub(crate) fn joined(&self, other: &Self) -> Self {
        match (&self.0, &other.0) {
            (_, None) => self.clone(),
            (None, _) => other.clone(),
            (Some(first), Some(second)) => {
                Self(Some(Arc::new(first.iter().chain(second.iter()).cloned().collect())))
            }
        }
    }

    /// The headers as they go on the wire.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        self.0.iter().flat_map(|headers| headers.iter()).map(|(name, value)| (name, value))
    }
}

fn name_of(name: &str) -> Result<HeaderName> {
    if let Some(reason) = reserved(name) {
        return Err(Error::invalid(format!("metadata `{name}` is reserved: {reason}")));
    }
    let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.');
    if name.is_empty() || !name.bytes().all(allowed) {
        return Err(Error::invalid(format!(
            "metadata name {name:?} can't be sent: use lower-case letters, digits, `-`, `_` and `.`"
        )));
    }
    HeaderName::from_bytes(name.as_bytes())
        .map_err(|error| Error::invalid(format!("metadata name {name:?}: {error}")))
}

fn value_of(name: &str, value: &[u8]) -> Result<HeaderValue> {
    let encoded;
    let bytes = if name.ends_with("-bin") {
        encoded = base64(value);
        encoded.as_bytes()
    } else if !value.iter().all(|byte| matches!(byte, 0x20..=0x7e)) {
        return Err(Error::invalid(format!(
            "the value of metadata `{name}` is not printable ASCII: give the name the ending \
             `-bin` to send bytes"
        )));
    } else if value.first() == Some(&b' ') || value.last() == Some(&b' ') {
        return Err(Error::invalid(format!(
            "the value of metadata `{name}` begins or ends with a space, which HTTP/2 does not \
             allow"
        )));
    } else {
        value
    };
    HeaderValue::from_bytes(bytes)
        .map_err(|error| Error::invalid(format!("the value of metadata `{name}`: {error}")))
}

/// Why a name is not the caller's to set.
fn reserved(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase();
    Some(match name.as_str() {
        "token" => "etcd reads its auth token there; use `ClientBuilder::token` or `user`",
        "authorization" => {
            "etcd accepts it in place of its auth token; use `ClientBuilder::token` or `user`"
        }
        "hasleader" => "use `require_leader` of the client or of the call",
        "client-api-version" => "etcdkit states its own API version there",
        "te" | "content-type" | "content-length" | "content-encoding" | "user-agent" => {
            "gRPC sets it"
        }
        "host" | "connection" | "keep-alive" | "proxy-connection" | "transfer-encoding"
        | "upgrade" => "it belongs to the connection, and HTTP/2 forbids or replaces it",
        _ if name.starts_with("grpc-") => "names that begin with `grpc-` belong to gRPC",
        _ if name.starts_with(':') => "names that begin with `:` belong to HTTP/2",
        _ => return None,
    })
}

/// Base64 without padding, as gRPC sends values of `-bin` headers.
pub(crate) fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity((bytes.len() * 4).div_ceil(3));
    for chunk in bytes.chunks(3) {
        let mut group = [0; 4];
        group[1..=chunk.len()].copy_from_slice(chunk);
        let group = u32::from_be_bytes(group);
        for index in 0..=chunk.len() {
            let sextet = (group >> (18 - 6 * index)) & 0x3f;
            text.push(char::from(ALPHABET[sextet as usize]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_keep_order_and_repetitions() {
        let metadata = Metadata::new().with("b", "1").unwrap().with("a", "2").unwrap();
        let metadata = metadata.with("b", "3").unwrap();
        let seen: Vec<_> =
            metadata.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        assert_eq!(seen, [("b", &b"1"[..]), ("a", b"2"), ("b", b"3")]);
        assert_eq!(metadata, metadata.clone());
        assert_ne!(metadata, Metadata::new());
        assert!(Metadata::new().is_empty());
    }

    #[test]
    fn there_are_only_so_many_headers() {
        let full = (0..MOST).try_fold(Metadata::new(), |all, _| all.with("a", "1")).unwrap();
        let error = full.with("a", "1").unwrap_err();
        assert!(error.to_string().contains("1000 headers already"), "{error}");
    }

    #[test]
    fn a_clone_is_not_changed_by_the_original() {
        let first = Metadata::new().with("a", "1").unwrap();
        let second = first.clone().with("b", "2").unwrap();
        assert_eq!((first.len(), second.len()), (1, 2));
    }

    #[test]
    fn binary_values_are_base64_without_padding() {
        for (bytes, text) in [
            (&b""[..], ""),
            (b"f", "Zg"),
            (b"fo", "Zm8"),
            (b"foo", "Zm9v"),
            (b"foob", "Zm9vYg"),
            (b"fooba", "Zm9vYmE"),
            (b"foobar", "Zm9vYmFy"),
            (&[0xff, 0xfe, 0xfd], "//79"),
            (&[0xfb, 0xef], "++8"),
        ] {
            let metadata = Metadata::new().with("x-bin", bytes).unwrap();
            let (_, value) = metadata.iter().next().unwrap();
            assert_eq!(value, text, "{bytes:?}");
        }
    }

    #[test]
    fn names_and_values_that_cannot_be_sent_are_refused_with_a_reason() {
        for (name, value, reason) in [
            ("", "x", "lower-case letters"),
            ("X-Request", "x", "lower-case letters"),
            ("a b", "x", "lower-case letters"),
            ("ä", "x", "lower-case letters"),
            ("x", "a\nb", "not printable ASCII"),
            ("x", "ä", "ending `-bin`"),
            ("x", " a", "begins or ends with a space"),
            ("x", "a ", "begins or ends with a space"),
            ("token", "x", "ClientBuilder::token"),
            ("Token", "x", "ClientBuilder::token"),
            ("authorization", "x", "ClientBuilder::token"),
            ("hasleader", "true", "require_leader"),
            ("client-api-version", "9", "its own API version"),
            ("grpc-timeout", "1S", "belong to gRPC"),
            ("grpc-x-bin", "1S", "belong to gRPC"),
            (":path", "/", "belong to HTTP/2"),
            ("te", "trailers", "gRPC sets it"),
            ("content-type", "x", "gRPC sets it"),
            ("user-agent", "x", "gRPC sets it"),
            ("connection", "close", "belongs to the connection"),
            ("transfer-encoding", "x", "belongs to the connection"),
        ] {
            let error = Metadata::new().with(name, value).unwrap_err();
            assert_eq!(error.kind(), crate::ErrorKind::InvalidArgument);
            let text = error.to_string();
            assert!(text.contains(reason), "{name:?}: {text}");
        }
    }

    #[test]
    fn values_are_never_shown() {
        let metadata = Metadata::new().with("proxy-authorization", "Basic c2VjcmV0").unwrap();
        let metadata = metadata.with("cookie", "secret").unwrap();
        assert_eq!(format!("{metadata:?}"), r#"{"proxy-authorization", "cookie"}"#);
        assert_eq!(format!("{:?}", Metadata::new()), "{}");
    }
}
