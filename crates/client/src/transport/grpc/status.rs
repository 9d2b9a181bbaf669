//! A server's verdict, out of headers or trailers.
//!
//! Source: gRPC over HTTP/2, "Response-Headers" and "Trailers". Everything here is a peer's data: whatever it holds
//! becomes a [`Status`] or a [`Cause`], never a panic.

use http::StatusCode;

use crate::error::{Cause, Code};
use crate::transport::traits::{Failure, Status};

/// The longest status text that is kept.
const LONGEST_TEXT: usize = 4096;

/// What the fields of an answer's headers, or of its trailers, say. Of a field that comes twice the first counts.
#[derive(Debug, Default)]
pub(super) struct Told {
    http: Option<StatusCode>,
    content: Content,
    code: Option<Result<i32, String>>,
    message: Option<String>,
}

#[derive(Debug, Default)]
enum Content {
    #[default]
    Unnamed,
    Grpc,
    Other(String),
}

/// What the headers of a response say about what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opening {
    /// Messages and trailers.
    Messages,
    /// Nothing: the headers hold the status ("trailers-only").
    Status,
}

impl Told {
    /// Takes one field in. Only those that matter are kept.
    pub(super) fn field(&mut self, name: &[u8], value: &[u8]) {
        match name {
            b":status" if self.http.is_none() => self.http = StatusCode::from_bytes(value).ok(),
            b"content-type" if matches!(self.content, Content::Unnamed) => {
                self.content = match value {
                    b"" => Content::Unnamed,
                    value if value.starts_with(b"application/grpc") => Content::Grpc,
                    value => Content::Other(text(value)),
                };
            }
            b"grpc-status" if self.code.is_none() => {
                self.code = Some(number(value).ok_or_else(|| text(value)));
            }
            b"grpc-message" if self.message.is_none() => {
                self.message = Some(percent_decode(value));
            }
            _ => {}
        }
    }

    /// Whether a status is among the fields.
    pub(super) fn has_status(&self) -> bool {
        self.code.is_some()
    }

    /// As the headers of a response: whether they are gRPC's at all, and what listens there if not.
    pub(super) fn opening(&self) -> Result<Opening, Failure> {
        if self.has_status() {
            return Ok(Opening::Status);
        }
        match (self.http, &self.content) {
            (Some(StatusCode::OK), Content::Grpc) => Ok(Opening::Messages),
            (status, content) => Err(no_grpc(status.unwrap_or_default(), content)),
        }
    }

    /// As trailers, or headers that are all there is: how the call ended.
    pub(super) fn verdict(self) -> Result<(), Failure> {
        match self.code {
            None => Err(missing()),
            Some(Ok(0)) => Ok(()),
            Some(Ok(code)) => Err(Failure::Status(Status {
                code: Code::from_i32(code),
                message: self.message.unwrap_or_default(),
            })),
            Some(Err(code)) => Err(Failure::Unknown(Cause::Protocol(format!(
                "the server ended the call with the status {code:?}, which is none of gRPC's"
            )))),
        }
    }
}

fn number(value: &[u8]) -> Option<i32> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

#[cold]
fn no_grpc(status: StatusCode, content: &Content) -> Failure {
    let what = match content {
        Content::Other(content) => format!(" with content type {content}"),
        Content::Grpc | Content::Unnamed => String::new(),
    };
    if matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    ) {
        // These pass with time, unlike the others; gRPC's mapping of HTTP statuses draws the same line.
        return Failure::Unknown(Cause::Connect(format!(
            "what listens there answered HTTP {}{what}: a gateway that does not reach etcd now",
            status.as_u16()
        )));
    }
    let cause = Cause::Protocol(format!(
        "the server answered HTTP {}{what}, not gRPC: is this etcd's client URL?",
        status.as_u16()
    ));
    // A gateway that answers these has not passed the request on; any other status says nothing.
    match status {
        StatusCode::BAD_REQUEST
        | StatusCode::UNAUTHORIZED
        | StatusCode::FORBIDDEN
        | StatusCode::NOT_FOUND
        | StatusCode::METHOD_NOT_ALLOWED
        | StatusCode::UNSUPPORTED_MEDIA_TYPE => Failure::NotProcessed(cause),
        _ => Failure::Unknown(cause),
    }
}

/// The server ended the stream and gave no status.
pub(super) fn missing() -> Failure {
    Failure::Unknown(Cause::Protocol(
        "the server ended the call without a status: it is no gRPC server, or something between cut the answer".into(),
    ))
}

/// Undoes `grpc-message`'s percent-encoding; sequences that are none stay as they are.
fn percent_decode(encoded: &[u8]) -> String {
    let encoded = &encoded[..encoded.len().min(LONGEST_TEXT)];
    let mut decoded = Vec::with_capacity(encoded.len());
    let mut rest = encoded;
    while let Some((&byte, tail)) = rest.split_first() {
        let escaped = match (byte, tail) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)),
            _ => None,
        };
        match escaped {
            Some((high, low)) => {
                decoded.push(high << 4 | low);
                rest = &tail[2..];
            }
            None => {
                decoded.push(byte);
                rest = tail;
            }
        }
    }
    String::from_utf8(decoded)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(LONGEST_TEXT)]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(fields: &[(&str, &[u8])]) -> Told {
        let mut told = Told::default();
        for (name, value) in fields {
            told.field(name.as_bytes(), value);
        }
        told
    }

    fn trailers(status: &[u8], message: &[u8]) -> Told {
        told(&[("grpc-status", status), ("grpc-message", message)])
    }

    #[test]
    fn messages_are_percent_decoded() {
        for (encoded, decoded) in [
            (b"plain text".as_slice(), "plain text"),
            (b"caf%C3%A9", "caf\u{e9}"),
            (b"100%", "100%"),
            (b"%4", "%4"),
            (b"%zz%41", "%zzA"),
            (b"%ff", "\u{fffd}"),
        ] {
            assert_eq!(percent_decode(encoded), decoded);
        }
    }

    #[test]
    fn a_status_is_read_or_named() {
        assert_eq!(trailers(b"0", b"").verdict(), Ok(()));
        assert_eq!(
            trailers(b"11", b"etcdserver: mvcc: required revision has been compacted").verdict(),
            Err(Failure::Status(Status {
                code: Code::OutOfRange,
                message: "etcdserver: mvcc: required revision has been compacted".into(),
            }))
        );
        for bad in [b"".as_slice(), b"x", b"99999999999999", b"\xff"] {
            assert!(matches!(trailers(bad, b"").verdict(), Err(Failure::Unknown(_))));
        }
        assert_eq!(Told::default().verdict(), Err(missing()));
    }

    #[test]
    fn of_a_field_that_comes_twice_the_first_counts() {
        let told = told(&[
            (":status", b"200"),
            ("grpc-status", b"5"),
            ("grpc-message", b"first"),
            ("grpc-status", b"0"),
            ("grpc-message", b"second"),
        ]);
        let first = Status { code: Code::NotFound, message: "first".into() };
        assert_eq!(told.verdict(), Err(Failure::Status(first)));
    }

    #[test]
    fn what_is_no_grpc_says_so() {
        let html = |status| told(&[(":status", status), ("content-type", b"text/html")]);
        let Err(Failure::NotProcessed(cause)) = html(b"404").opening() else {
            panic!("a 404 is no gRPC answer");
        };
        assert!(cause.to_string().contains("HTTP 404 with content type text/html"), "{cause}");
        let mut grpc = told(&[(":status", b"200"), ("content-type", b"application/grpc+proto")]);
        assert_eq!(grpc.opening(), Ok(Opening::Messages));
        grpc.field(b"grpc-status", b"5");
        assert_eq!(grpc.opening(), Ok(Opening::Status));
        assert!(matches!(html(b"502").opening(), Err(Failure::Unknown(_))));
    }
}
