//! What a request says before its message, with all that never changes on a connection prepared once.

use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use etcdkit_http2::hpack::{Field, Indexing, Prepared};
use etcdkit_proto::method;
use http::HeaderValue;

use crate::metadata::Metadata;
use crate::transport::traits::Head;

/// The version of etcd's client API that this crate speaks; etcd counts requests by it.
const SPOKEN: &str = "3.7";
const AGENT: &str = concat!("etcdkit/", env!("CARGO_PKG_VERSION"));

/// Whether a call goes on at the server when nobody waits for it any more: neither is its stream reset nor the server told of
/// a deadline. Members from 3.5.0 to 3.5.5 panic if a transaction of reads alone is given up while it is looked up
/// (etcd issue 14110), and a transaction takes no longer for being left alone.
pub(super) fn runs_to_its_end(path: &str) -> bool {
    path == method::kv::TXN.path()
}

/// The head of a call that was left to the connection's task.
#[derive(Clone, Debug)]
pub(super) struct RequestHead {
    path: &'static str,
    timeout: Option<Duration>,
    token: Option<HeaderValue>,
    require_leader: bool,
    metadata: Metadata,
}

impl RequestHead {
    pub(super) fn new(head: &Head<'_>) -> Self {
        Self {
            path: head.path,
            timeout: head.timeout.filter(|_| !runs_to_its_end(head.path)),
            token: head.token.cloned(),
            require_leader: head.require_leader,
            metadata: head.metadata.clone(),
        }
    }

    /// The fields that differ from call to call. `scratch` is for a value that is made here.
    pub(super) fn fields<'a>(&'a self, scratch: &'a mut Digits) -> impl Iterator<Item = Field<'a>> {
        let timeout = self.timeout.map(move |timeout| Field {
            name: b"grpc-timeout",
            value: timeout_value(timeout, scratch),
            indexing: Indexing::Varies,
        });
        // Names that this crate uses itself can't be among them.
        let metadata = self.metadata.iter().map(|(name, value)| Field {
            name: name.as_str().as_bytes(),
            value: value.as_bytes(),
            indexing: if value.is_sensitive() { Indexing::Secret } else { Indexing::Varies },
        });
        let token = self.token.as_ref().map(|token| Field {
            name: b"token",
            value: token.as_bytes(),
            indexing: if token.is_sensitive() { Indexing::Secret } else { Indexing::Repeats },
        });
        let leader = self.require_leader.then_some(Field {
            name: b"hasleader",
            value: b"true",
            indexing: Indexing::Repeats,
        });
        timeout.into_iter().chain(metadata).chain(token).chain(leader)
    }
}

/// The fields that every request of a connection has, prepared for each RPC that was called on it.
#[derive(Debug)]
pub(super) struct Template {
    scheme: &'static str,
    authority: Bytes,
    prepared: Vec<(&'static str, Prepared)>,
}

impl Template {
    pub(super) fn new(scheme: &'static str, authority: &str) -> Self {
        let authority = Bytes::copy_from_slice(authority.as_bytes());
        Self { scheme, authority, prepared: Vec::new() }
    }

    /// What the head begins with. There are only as many paths as there are RPCs.
    pub(super) fn prepared(&mut self, head: &RequestHead) -> &mut Prepared {
        let known = self.prepared.iter().position(|(path, _)| *path == head.path);
        let known = known.unwrap_or_else(|| {
            let prepared = self.prepare(head.path);
            self.prepared.push((head.path, prepared));
            self.prepared.len() - 1
        });
        &mut self.prepared[known].1
    }

    fn prepare(&self, path: &'static str) -> Prepared {
        let fields = [
            (":method", Bytes::from_static(b"POST")),
            (":scheme", Bytes::from_static(self.scheme.as_bytes())),
            (":authority", self.authority.clone()),
            (":path", Bytes::from_static(path.as_bytes())),
            ("te", Bytes::from_static(b"trailers")),
            ("content-type", Bytes::from_static(b"application/grpc")),
            ("user-agent", Bytes::from_static(AGENT.as_bytes())),
            ("client-api-version", Bytes::from_static(SPOKEN.as_bytes())),
        ];
        Prepared::new(
            fields.map(|(name, value)| {
                (Bytes::from_static(name.as_bytes()), value, Indexing::Repeats)
            }),
        )
    }
}

/// Room for a number and its unit.
pub(super) type Digits = [u8; 9];

/// `grpc-timeout`: at most eight digits and a unit. Milliseconds as long as they fit, then seconds. Rounded up: a call that
/// has just begun has its full time.
fn timeout_value(timeout: Duration, digits: &mut Digits) -> &[u8] {
    const EIGHT_DIGITS: u128 = 99_999_999;
    let milliseconds = timeout.as_nanos().div_ceil(1_000_000).max(1);
    let (number, unit) = if milliseconds <= EIGHT_DIGITS {
        (milliseconds, 'm')
    } else {
        ((milliseconds / 1000).min(EIGHT_DIGITS), 'S')
    };
    let mut rest = &mut digits[..];
    write!(rest, "{number}{unit}").expect("eight digits and a letter fit");
    let left = rest.len();
    &digits[..digits.len() - left]
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use etcdkit_http2::hpack::{DEFAULT_TABLE, Decoder, Encoder};

    use super::*;

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
            assert_eq!(timeout_value(timeout, &mut Digits::default()), value.as_bytes());
        }
    }

    /// The fields of a call as the server sees them.
    fn sent(head: &RequestHead) -> Vec<(String, String)> {
        let mut template = Template::new("http", "etcd:2379");
        let (mut encoder, mut block) = (Encoder::new(), BytesMut::new());
        encoder.encode_prepared(template.prepared(head), &mut block);
        for field in head.fields(&mut Digits::default()) {
            encoder.encode(field, &mut block);
        }
        let mut fields = Vec::new();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let _ = Decoder::new(DEFAULT_TABLE, usize::MAX)
            .decode(&block, |name, value| fields.push((text(name), text(value))))
            .unwrap();
        fields
    }

    #[test]
    fn every_request_carries_its_headers() {
        let metadata = Metadata::new().with("x-tenant", "a").unwrap();
        let token = HeaderValue::from_static("t.1");
        let mut head = RequestHead::new(&Head {
            path: "/etcdserverpb.KV/Put",
            timeout: Some(Duration::from_secs(1)),
            token: Some(&token),
            require_leader: true,
            metadata: &metadata,
            unsent: None,
        });
        let common = [
            (":method", "POST"),
            (":scheme", "http"),
            (":authority", "etcd:2379"),
            (":path", "/etcdserverpb.KV/Put"),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            ("user-agent", AGENT),
            ("client-api-version", "3.7"),
        ];
        let own =
            [("grpc-timeout", "1000m"), ("x-tenant", "a"), ("token", "t.1"), ("hasleader", "true")];
        let text = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        assert_eq!(sent(&head), common.into_iter().chain(own).map(text).collect::<Vec<_>>());
        head.timeout = None;
        assert!(sent(&head).iter().all(|(name, _)| name != "grpc-timeout"));
    }
}
