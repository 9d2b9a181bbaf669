//! Request headers, with all that never changes on a connection made once.

use std::time::Duration;

use http::header::{CONTENT_TYPE, HeaderName, TE, USER_AGENT};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Request, Uri, Version};

use crate::transport::traits::Head;

const API_VERSION: HeaderName = HeaderName::from_static("client-api-version");
const HAS_LEADER: HeaderName = HeaderName::from_static("hasleader");
const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
const TOKEN: HeaderName = HeaderName::from_static("token");

/// The version of etcd's client API that this crate speaks; etcd counts requests by it.
const SPOKEN: HeaderValue = HeaderValue::from_static("3.7");
const AGENT: HeaderValue = HeaderValue::from_static(concat!("etcdkit/", env!("CARGO_PKG_VERSION")));
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
const TRAILERS: HeaderValue = HeaderValue::from_static("trailers");
const TRUE: HeaderValue = HeaderValue::from_static("true");

/// What every request of a connection shares.
#[derive(Debug)]
pub(super) struct Template {
    scheme: Scheme,
    authority: Authority,
    /// The headers that every request has. A clone of them costs a third of putting them together.
    headers: HeaderMap,
}

impl Template {
    pub(super) fn new(scheme: Scheme, authority: Authority) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(TE, TRAILERS);
        headers.insert(CONTENT_TYPE, GRPC);
        headers.insert(USER_AGENT, AGENT);
        headers.insert(API_VERSION, SPOKEN);
        Self { scheme, authority, headers }
    }

    /// The HTTP request of a call.
    pub(super) fn request(&self, head: &Head<'_>) -> Request<()> {
        let mut uri = http::uri::Parts::default();
        uri.scheme = Some(self.scheme.clone());
        uri.authority = Some(self.authority.clone());
        uri.path_and_query = Some(PathAndQuery::from_static(head.path));

        let mut headers = self.headers.clone();
        if let Some(timeout) = head.timeout {
            headers.insert(TIMEOUT, timeout_value(timeout));
        }
        // Names that this crate uses itself can't be among them.
        for (name, value) in head.metadata.iter() {
            headers.append(name.clone(), value.clone());
        }
        if let Some(token) = head.token {
            headers.insert(TOKEN, token.clone());
        }
        if head.require_leader {
            headers.insert(HAS_LEADER, TRUE);
        }

        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.version_mut() = Version::HTTP_2;
        *request.uri_mut() =
            Uri::from_parts(uri).expect("scheme, authority and path are all there");
        *request.headers_mut() = headers;
        request
    }
}

/// `grpc-timeout`: at most eight digits and a unit. Milliseconds as long as they fit, then seconds. Rounded up: a call that
/// has just begun has its full time.
fn timeout_value(timeout: Duration) -> HeaderValue {
    const EIGHT_DIGITS: u128 = 99_999_999;
    let milliseconds = timeout.as_nanos().div_ceil(1_000_000).max(1);
    let text = if milliseconds <= EIGHT_DIGITS {
        format!("{milliseconds}m")
    } else {
        format!("{}S", (milliseconds / 1000).min(EIGHT_DIGITS))
    };
    HeaderValue::from_str(&text).expect("digits and a letter")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::Metadata;

    #[test]
    fn timeouts_have_at_most_eight_digits() {
        for (timeout, value) in [
            (Duration::ZERO, "1m"),
            (Duration::from_micros(1), "1m"),
            (Duration::from_micros(9_999_001), "10000m"),
            (Duration::from_millis(10_000), "10000m"),
            (Duration::from_millis(99_999_999), "99999999m"),
            (Duration::from_secs(100_000), "100000S"),
            (Duration::MAX, "99999999S"),
        ] {
            assert_eq!(timeout_value(timeout), value);
        }
    }

    #[test]
    fn every_request_carries_its_headers() {
        let template = Template::new(Scheme::HTTP, Authority::from_static("etcd:2379"));
        let metadata = Metadata::new().with("x-tenant", "a").unwrap();
        let token = HeaderValue::from_static("t.1");
        let request = template.request(&Head {
            path: "/etcdserverpb.KV/Put",
            timeout: Some(Duration::from_secs(1)),
            token: Some(&token),
            require_leader: true,
            metadata: &metadata,
            unsent: None,
        });
        assert_eq!(request.uri(), "http://etcd:2379/etcdserverpb.KV/Put");
        let unlimited = Head {
            path: "/x",
            timeout: None,
            token: None,
            require_leader: false,
            metadata: &metadata,
            unsent: None,
        };
        assert_eq!(template.request(&unlimited).headers().get("grpc-timeout"), None);
        for (name, value) in [
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            ("client-api-version", "3.7"),
            ("grpc-timeout", "1000m"),
            ("token", "t.1"),
            ("hasleader", "true"),
            ("x-tenant", "a"),
        ] {
            assert_eq!(request.headers()[name], value, "{name}");
        }
    }
}
