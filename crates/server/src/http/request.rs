//! The head of a request.

/// Bytes that a head may have.
pub(super) const MAX_HEAD: usize = 64 * 1024;
const MAX_HEADERS: usize = 100;

/// What a request says before its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) method: String,
    pub(super) path: String,
    /// What follows the question mark.
    pub(super) query: String,
    /// Names in lower case.
    headers: Vec<(String, String)>,
    pub(super) body: Body,
    pub(super) keep_alive: bool,
}

/// How long a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    Length(u64),
    Chunked,
}

/// Why a request is not served: the status, and what is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal(pub(super) u16, pub(super) &'static str);

const MALFORMED: Refusal = Refusal(400, "malformed request");

impl Head {
    /// Parses what comes before the empty line.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        let text = std::str::from_utf8(bytes).map_err(|_| MALFORMED)?;
        let mut lines = text.split("\r\n");
        let mut first = lines.next().unwrap_or_default().split(' ');
        let (Some(method), Some(target), Some(version), None) =
            (first.next(), first.next(), first.next(), first.next())
        else {
            return Err(MALFORMED);
        };
        let newer = match version {
            "HTTP/1.1" => true,
            "HTTP/1.0" => false,
            _ => return Err(Refusal(505, "HTTP/1.1 or HTTP/2 is spoken here")),
        };
        let mut headers = Vec::new();
        for line in lines {
            let (name, value) = line.split_once(':').ok_or(MALFORMED)?;
            if name.is_empty() || name.contains([' ', '\t']) || headers.len() == MAX_HEADERS {
                return Err(MALFORMED);
            }
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        if !path.starts_with('/') {
            return Err(MALFORMED);
        }
        let mut head = Self {
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            headers,
            body: Body::Length(0),
            keep_alive: newer,
        };
        head.body = head.body_length()?;
        match head.header("connection").map(str::to_ascii_lowercase).as_deref() {
            Some("close") => head.keep_alive = false,
            Some("keep-alive") => head.keep_alive = true,
            _ => {}
        }
        Ok(head)
    }

    fn body_length(&self) -> Result<Body, Refusal> {
        let lengths = self.headers.iter().filter(|(name, _)| name == "content-length").count();
        match (self.header("transfer-encoding"), self.header("content-length")) {
            // Two that disagree are how requests are smuggled.
            (Some(_), Some(_)) => Err(MALFORMED),
            (Some(coding), None) if coding.eq_ignore_ascii_case("chunked") => Ok(Body::Chunked),
            (Some(_), None) => Err(Refusal(501, "only chunked transfer coding is known")),
            (None, Some(length)) if lengths == 1 => {
                let digits = length.bytes().all(|byte| byte.is_ascii_digit());
                let length = length.parse().ok().filter(|_| digits);
                length.map(Body::Length).ok_or(MALFORMED)
            }
            (None, Some(_)) => Err(MALFORMED),
            (None, None) => Ok(Body::Length(0)),
        }
    }

    /// The first header of that name.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The values of a parameter of the query.
    pub(super) fn parameters<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.query.split('&').filter_map(move |pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (key == name).then_some(value)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn any_bytes_are_a_head_or_refused(
            first in "(GET|POST) /[a-z?&=]{0,9} HTTP/1.[01]",
            rest in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..100),
        ) {
            let bytes = [first.as_bytes(), b"\r\n", &rest].concat();
            if let Ok(head) = Head::parse(&bytes) {
                assert!(head.path.starts_with('/'));
            }
            assert!(Head::parse(&rest).is_err() || rest.contains(&b'/'));
        }
    }

    #[test]
    fn heads() {
        let body =
            |text: &str| Head::parse(text.as_bytes()).map(|head| (head.body, head.keep_alive));
        for (text, expected) in [
            ("GET / HTTP/1.1", Ok((Body::Length(0), true))),
            ("GET / HTTP/1.0", Ok((Body::Length(0), false))),
            ("GET / HTTP/1.0\r\nConnection: Keep-Alive", Ok((Body::Length(0), true))),
            (
                "POST / HTTP/1.1\r\nConnection: close\r\nContent-LENGTH: 5",
                Ok((Body::Length(5), false)),
            ),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: Chunked", Ok((Body::Chunked, true))),
            ("GET / HTTP/2.0", Err(505)),
            ("GET  / HTTP/1.1", Err(400)),
            ("GET x HTTP/1.1", Err(400)),
            ("GET /", Err(400)),
            ("", Err(400)),
            ("GET / HTTP/1.1\r\nno colon", Err(400)),
            ("GET / HTTP/1.1\r\nHost : a", Err(400)),
            ("POST / HTTP/1.1\r\nContent-Length: +5", Err(400)),
            ("POST / HTTP/1.1\r\nContent-Length: 99999999999999999999", Err(400)),
            ("POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 5", Err(400)),
            ("POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked", Err(400)),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: gzip", Err(501)),
        ] {
            assert_eq!(body(text).map_err(|refusal| refusal.0), expected, "{text:?}");
        }
        let head = Head::parse(b"GET /health?exclude=A&x&exclude=B HTTP/1.1\r\nHost: a:1").unwrap();
        assert_eq!((head.path.as_str(), head.header("host")), ("/health", Some("a:1")));
        assert_eq!(head.parameters("exclude").collect::<Vec<_>>(), ["A", "B"]);
        assert_eq!(head.parameters("x").collect::<Vec<_>>(), [""]);
        assert_eq!(head.parameters("serializable").count(), 0);
    }
}
