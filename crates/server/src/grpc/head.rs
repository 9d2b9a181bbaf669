//! Headers of requests, and of answers.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use etcdkit_proto::Code;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode};

use crate::caller::Caller;
use crate::status::{Result, Status};

const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const TOKEN: HeaderName = HeaderName::from_static("token");
/// What clients of the JSON gateway and of old versions use.
const AUTHORIZATION: HeaderName = http::header::AUTHORIZATION;
const HAS_LEADER: HeaderName = HeaderName::from_static("hasleader");
const API_VERSION: HeaderName = HeaderName::from_static("client-api-version");

/// Whether it is gRPC at all; else the answer that says so.
pub(super) fn check<B>(request: &Request<B>) -> Result<(), Response<()>> {
    let refuse = |status| {
        let mut response = Response::new(());
        *response.status_mut() = status;
        Err(response)
    };
    if request.method() != Method::POST {
        return refuse(StatusCode::METHOD_NOT_ALLOWED);
    }
    let kind = request.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    if !kind.is_some_and(|kind| kind.starts_with(b"application/grpc")) {
        return refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
    Ok(())
}

/// Who calls, as the headers say.
pub(super) fn caller(headers: &HeaderMap, common_name: Option<&Arc<str>>) -> Result<Caller> {
    if let Some(encoding) = headers.get(ENCODING)
        && encoding != "identity"
    {
        let encoding = String::from_utf8_lossy(encoding.as_bytes());
        let text = format!("grpc: Decompressor is not installed for grpc-encoding \"{encoding}\"");
        return Err(Status::new(Code::Unimplemented, text));
    }
    if headers.get(API_VERSION).is_some_and(|version| version.to_str().is_err()) {
        return Err(etcdkit_proto::ServerError::InvalidClientApiVersion.into());
    }
    let token = headers.get(TOKEN).or_else(|| headers.get(AUTHORIZATION));
    Ok(Caller {
        token: token.and_then(|token| token.to_str().ok()).map(Arc::from),
        common_name: common_name.cloned(),
        needs_leader: headers.get(HAS_LEADER).is_some_and(|value| value == "true"),
    })
}

/// The time that the client gives the call.
pub(super) fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(TIMEOUT)?.to_str().ok()?;
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: u64 = number.parse().ok().filter(|_| number.len() <= 8)?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

/// The headers before the first message.
pub(super) fn opening() -> Response<()> {
    let mut response = Response::new(());
    response.headers_mut().insert(CONTENT_TYPE, GRPC);
    response
}

/// The headers after the last message of a call that succeeded.
pub(super) fn trailers_ok() -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert(STATUS, HeaderValue::from_static("0"));
    trailers
}

/// The headers that end a call that failed.
pub(super) fn write(status: &Status, headers: &mut HeaderMap) {
    headers.insert(STATUS, HeaderValue::from(status.code as i32));
    if let Ok(text) = HeaderValue::try_from(percent_encoded(&status.message)) {
        headers.insert(MESSAGE, text);
    }
}

fn percent_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => out.push(char::from(byte)),
            // Writing to a string cannot fail.
            _ => drop(write!(out, "%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_made_of_printable_characters() {
        for (text, expected) in [
            ("etcdserver: no leader", "etcdserver: no leader"),
            ("100 %", "100 %25"),
            ("\"leader\"\n", "\"leader\"%0A"),
            ("é", "%C3%A9"),
        ] {
            assert_eq!(percent_encoded(text), expected);
        }
    }

    #[test]
    fn timeouts_have_a_unit() {
        for (text, expected) in [
            ("2S", Some(Duration::from_secs(2))),
            ("1500m", Some(Duration::from_millis(1500))),
            ("1H", Some(Duration::from_secs(3600))),
            ("", None),
            ("S", None),
            ("5", None),
            ("123456789S", None),
            ("-1S", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(TIMEOUT, HeaderValue::from_str(text).unwrap());
            assert_eq!(timeout(&headers), expected, "{text}");
        }
    }
}
