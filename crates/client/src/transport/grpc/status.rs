//! A server's verdict, out of headers or trailers.
//!
//! Source: gRPC over HTTP/2, "Response-Headers" and "Trailers". Everything here is a peer's data: whatever it holds
//! becomes a [`Status`] or a [`Cause`], never a panic.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::error::{Cause, Code};
use crate::transport::traits::{Failure, Status};

/// The longest status text that is kept.
const LONGEST_TEXT: usize = 4096;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// What the headers of a response say about what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opening {
    /// Messages and trailers.
    Messages,
    /// Nothing: the headers hold the status ("trailers-only").
    Status,
}

/// Says whether response headers are gRPC's at all, and names what listens there if not.
pub(super) fn check_response(status: StatusCode, headers: &HeaderMap) -> Result<Opening, Failure> {
    if headers.contains_key(GRPC_STATUS) {
        return Ok(Opening::Status);
    }
    let content_type = headers.get(CONTENT_TYPE).map_or(b"".as_slice(), HeaderValue::as_bytes);
    if status == StatusCode::OK && content_type.starts_with(b"application/grpc") {
        return Ok(Opening::Messages);
    }
    Err(no_grpc(status, content_type))
}

#[cold]
fn no_grpc(status: StatusCode, content_type: &[u8]) -> Failure {
    let is_grpc = content_type.starts_with(b"application/grpc");
    let content_type = (!content_type.is_empty()).then(|| text(content_type));
    let what = match content_type {
        Some(content_type) if !is_grpc => format!(" with content type {content_type}"),
        _ => String::new(),
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

/// The status in `trailers`, or in headers that are all there is.
pub(super) fn of_trailers(trailers: &HeaderMap) -> Result<(), Failure> {
    let Some(code) = trailers.get(GRPC_STATUS) else {
        return Err(missing());
    };
    let message = trailers.get(GRPC_MESSAGE).map(|value| percent_decode(value.as_bytes()));
    match std::str::from_utf8(code.as_bytes()).ok().and_then(|code| code.parse::<i32>().ok()) {
        Some(0) => Ok(()),
        Some(code) => Err(Failure::Status(Status {
            code: Code::from_i32(code),
            message: message.unwrap_or_default(),
        })),
        None => Err(Failure::Unknown(Cause::Protocol(format!(
            "the server ended the call with the status {:?}, which is none of gRPC's",
            text(code.as_bytes())
        )))),
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

    fn trailers(status: &'static [u8], message: &'static [u8]) -> HeaderMap {
        let mut map = HeaderMap::new();
        map.insert("grpc-status", HeaderValue::from_bytes(status).unwrap());
        map.insert("grpc-message", HeaderValue::from_bytes(message).unwrap());
        map
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
        assert_eq!(of_trailers(&trailers(b"0", b"")), Ok(()));
        assert_eq!(
            of_trailers(&trailers(
                b"11",
                b"etcdserver: mvcc: required revision has been compacted"
            )),
            Err(Failure::Status(Status {
                code: Code::OutOfRange,
                message: "etcdserver: mvcc: required revision has been compacted".into(),
            }))
        );
        for bad in [b"".as_slice(), b"x", b"99999999999999", b"\xff"] {
            let bad: &'static [u8] = bad;
            assert!(matches!(of_trailers(&trailers(bad, b"")), Err(Failure::Unknown(_))));
        }
        assert_eq!(of_trailers(&HeaderMap::new()), Err(missing()));
    }

    #[test]
    fn what_is_no_grpc_says_so() {
        let mut html = HeaderMap::new();
        html.insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
        let Err(Failure::NotProcessed(cause)) = check_response(StatusCode::NOT_FOUND, &html) else {
            panic!("a 404 is no gRPC answer");
        };
        assert!(cause.to_string().contains("HTTP 404 with content type text/html"), "{cause}");
        let mut grpc = HeaderMap::new();
        grpc.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc+proto"));
        assert_eq!(check_response(StatusCode::OK, &grpc), Ok(Opening::Messages));
        grpc.insert("grpc-status", HeaderValue::from_static("5"));
        assert_eq!(check_response(StatusCode::OK, &grpc), Ok(Opening::Status));
        assert!(matches!(check_response(StatusCode::BAD_GATEWAY, &html), Err(Failure::Unknown(_))));
    }
}
