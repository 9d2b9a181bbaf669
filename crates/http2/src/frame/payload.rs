//! What stands in payloads.

use std::fmt;
use std::num::NonZeroU32;
use std::ops::Range;

use super::head::flag;
use super::{DEFAULT_MAX_FRAME, ErrorCode, Head, Kind, LARGEST_MAX_FRAME, MAX_WINDOW, StreamId};

/// A frame that breaks a rule all by itself.
///
/// ```
/// use etcdkit_http2::frame::{self, ErrorCode, Scope};
///
/// let malformed = frame::ping(b"short").unwrap_err();
/// assert_eq!((malformed.code, malformed.scope), (ErrorCode::FRAME_SIZE_ERROR, Scope::Connection));
/// assert_eq!(malformed.to_string(), "FRAME_SIZE_ERROR: a PING's payload is not of 8 bytes");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// What the peer is told.
    pub code: ErrorCode,
    /// What ends with it.
    pub scope: Scope,
    /// What is wrong.
    pub what: &'static str,
}

/// What an error ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The stream in the frame's head.
    Stream,
    /// The whole connection.
    Connection,
}

impl Malformed {
    pub(super) const fn new(code: ErrorCode, scope: Scope, what: &'static str) -> Self {
        Self { code, scope, what }
    }

    const fn size(what: &'static str) -> Self {
        Self::new(ErrorCode::FRAME_SIZE_ERROR, Scope::Connection, what)
    }

    const fn protocol(what: &'static str) -> Self {
        Self::new(ErrorCode::PROTOCOL_ERROR, Scope::Connection, what)
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.what)
    }
}

impl std::error::Error for Malformed {}

/// Where the content of a DATA or HEADERS frame stands in its payload: without padding, and without priority.
///
/// ```
/// use etcdkit_http2::frame::{self, Head, Kind, StreamId, flag};
///
/// let payload = b"\x02content\0\0";
/// let (length, stream) = (payload.len(), StreamId::new(1));
/// let head = Head { length, kind: Kind::Data, flags: flag::PADDED, stream };
/// let content = frame::content(head, payload)?;
/// assert_eq!(&payload[content], b"content");
/// # Ok::<(), frame::Malformed>(())
/// ```
///
/// # Errors
///
/// The payload is too short for what its flags say. All of it still counts for flow control.
pub fn content(head: Head, payload: &[u8]) -> Result<Range<usize>, Malformed> {
    let mut content = 0..payload.len();
    if head.has(flag::PADDED) {
        let Some(&padding) = payload.first() else {
            return Err(Malformed::size("a padded frame does not say by how much"));
        };
        content.start = 1;
        content.end = content.end.saturating_sub(usize::from(padding));
    }
    if head.kind == Kind::Headers && head.has(flag::PRIORITY) {
        content.start += 5;
    }
    if content.start <= content.end {
        Ok(content)
    } else if content.start > payload.len() {
        Err(Malformed::size("a HEADERS frame ends within its priority"))
    } else {
        Err(Malformed::protocol("there is more padding than payload"))
    }
}

/// The code of a RST_STREAM.
///
/// # Errors
///
/// The length is wrong.
pub fn reset_stream(payload: &[u8]) -> Result<ErrorCode, Malformed> {
    match payload.try_into() {
        Ok(code) => Ok(ErrorCode(u32::from_be_bytes(code))),
        Err(_) => Err(Malformed::size("a RST_STREAM's payload is not of 4 bytes")),
    }
}

/// The bytes of a PING.
///
/// # Errors
///
/// The length is wrong.
pub fn ping(payload: &[u8]) -> Result<[u8; 8], Malformed> {
    payload.try_into().map_err(|_| Malformed::size("a PING's payload is not of 8 bytes"))
}

/// By how much a WINDOW_UPDATE opens the window of a stream or of the connection, in bytes.
///
/// # Errors
///
/// The length is wrong, or it opens nothing: on a stream, the latter is an error of the stream alone.
pub fn window_update(head: Head, payload: &[u8]) -> Result<NonZeroU32, Malformed> {
    let Ok(increment) = payload.try_into() else {
        return Err(Malformed::size("a WINDOW_UPDATE's payload is not of 4 bytes"));
    };
    NonZeroU32::new(u32::from_be_bytes(increment) & MAX_WINDOW).ok_or_else(|| {
        let scope = if head.stream.is_connection() { Scope::Connection } else { Scope::Stream };
        Malformed::new(ErrorCode::PROTOCOL_ERROR, scope, "a WINDOW_UPDATE by nothing")
    })
}

/// A farewell: its sender takes no further streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoAway<'a> {
    /// The last of the receiver's streams for which the sender may have done something. Later ones were not looked at.
    pub last: StreamId,
    /// Why.
    pub code: ErrorCode,
    /// What else the sender says, mostly text.
    pub debug: &'a [u8],
}

/// What stands in a GOAWAY.
///
/// # Errors
///
/// It is too short.
pub fn go_away(payload: &[u8]) -> Result<GoAway<'_>, Malformed> {
    match payload {
        &[l0, l1, l2, l3, c0, c1, c2, c3, ref debug @ ..] => Ok(GoAway {
            last: StreamId::new(u32::from_be_bytes([l0, l1, l2, l3])),
            code: ErrorCode(u32::from_be_bytes([c0, c1, c2, c3])),
            debug,
        }),
        _ => Err(Malformed::size("a GOAWAY's payload is shorter than 8 bytes")),
    }
}

/// A setting that its sender wants heeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// How large the table of its decoder may get, in the bytes of RFC 7541; 4096 unless it says otherwise.
    HeaderTable(u32),
    /// Whether responses may be pushed to it.
    EnablePush(bool),
    /// How many streams the receiver may have open at once.
    MaxConcurrentStreams(u32),
    /// The window with which streams start, in bytes; [`DEFAULT_WINDOW`](super::DEFAULT_WINDOW) unless it says otherwise.
    InitialWindow(u32),
    /// The longest payload it takes, in bytes; [`DEFAULT_MAX_FRAME`] unless it says otherwise.
    MaxFrame(u32),
    /// The longest list of fields that it takes, in bytes with 32 added for each field.
    MaxHeaderList(u32),
}

impl Setting {
    /// The setting with that number, if it is one that is known.
    fn parse(id: u16, value: u32) -> Result<Option<Self>, Malformed> {
        Ok(Some(match id {
            1 => Self::HeaderTable(value),
            2 => match value {
                0 => Self::EnablePush(false),
                1 => Self::EnablePush(true),
                _ => return Err(Malformed::protocol("SETTINGS_ENABLE_PUSH is neither 0 nor 1")),
            },
            3 => Self::MaxConcurrentStreams(value),
            4 if value > MAX_WINDOW => {
                let what = "SETTINGS_INITIAL_WINDOW_SIZE is above 2^31-1";
                return Err(Malformed::new(ErrorCode::FLOW_CONTROL_ERROR, Scope::Connection, what));
            }
            4 => Self::InitialWindow(value),
            5 if !(DEFAULT_MAX_FRAME..=LARGEST_MAX_FRAME).contains(&value) => {
                let what = "SETTINGS_MAX_FRAME_SIZE is not within 2^14 and 2^24-1";
                return Err(Malformed::protocol(what));
            }
            5 => Self::MaxFrame(value),
            6 => Self::MaxHeaderList(value),
            _ => return Ok(None),
        }))
    }

    pub(super) fn to_bytes(self) -> [u8; 6] {
        let (id, value) = match self {
            Self::HeaderTable(size) => (1, size),
            Self::EnablePush(enabled) => (2, u32::from(enabled)),
            Self::MaxConcurrentStreams(streams) => (3, streams),
            Self::InitialWindow(window) => (4, window),
            Self::MaxFrame(length) => (5, length),
            Self::MaxHeaderList(length) => (6, length),
        };
        let [v0, v1, v2, v3] = value.to_be_bytes();
        [0, id, v0, v1, v2, v3]
    }
}

/// The known settings of a SETTINGS frame, in their order: the same may come twice, and each counts.
#[derive(Clone, Debug)]
pub struct Settings<'a> {
    rest: &'a [u8],
}

impl Iterator for Settings<'_> {
    type Item = Result<Setting, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        while let Some((&[i0, i1, v0, v1, v2, v3], rest)) = self.rest.split_first_chunk() {
            self.rest = rest;
            let id = u16::from_be_bytes([i0, i1]);
            match Setting::parse(id, u32::from_be_bytes([v0, v1, v2, v3])) {
                Ok(Some(setting)) => return Some(Ok(setting)),
                Ok(None) => {}
                Err(malformed) => return Some(Err(malformed)),
            }
        }
        None
    }
}

/// The settings in a SETTINGS frame; an answer has none.
///
/// ```
/// use bytes::BytesMut;
/// use etcdkit_http2::frame::{self, Head, Setting};
///
/// let mut bytes = BytesMut::new();
/// let sent = [Setting::MaxConcurrentStreams(100), Setting::InitialWindow(1 << 20)];
/// frame::write_settings(&mut bytes, &sent);
///
/// let head = Head::peek(&bytes).expect("a whole head");
/// let received = frame::settings(head, &bytes[Head::LENGTH..])?.collect::<Result<Vec<_>, _>>()?;
/// assert_eq!(received, sent);
/// # Ok::<(), frame::Malformed>(())
/// ```
///
/// # Errors
///
/// The length is wrong. Values that cannot be are errors of the iterator.
pub const fn settings(head: Head, payload: &[u8]) -> Result<Settings<'_>, Malformed> {
    if head.has(flag::ACK) && !payload.is_empty() {
        return Err(Malformed::size("the answer to SETTINGS has a payload"));
    }
    if !payload.len().is_multiple_of(6) {
        return Err(Malformed::size("a SETTINGS' payload is no multiple of 6 bytes"));
    }
    Ok(Settings { rest: payload })
}
