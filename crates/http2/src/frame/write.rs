//! Frames, appended to a buffer.

use bytes::BytesMut;

use super::{ErrorCode, Head, Kind, Setting, StreamId, flag};

fn write(out: &mut BytesMut, kind: Kind, flags: u8, stream: StreamId, payload: &[u8]) {
    Head { length: payload.len(), kind, flags, stream }.write(out);
    out.extend_from_slice(payload);
}

/// Appends a SETTINGS frame.
pub fn write_settings(out: &mut BytesMut, settings: &[Setting]) {
    let length = settings.len() * 6;
    Head { length, kind: Kind::Settings, flags: 0, stream: StreamId::CONNECTION }.write(out);
    for setting in settings {
        out.extend_from_slice(&setting.to_bytes());
    }
}

/// Appends the answer to the peer's SETTINGS.
pub fn write_settings_ack(out: &mut BytesMut) {
    write(out, Kind::Settings, flag::ACK, StreamId::CONNECTION, &[]);
}

/// Appends a PING.
pub fn write_ping(out: &mut BytesMut, payload: [u8; 8]) {
    write(out, Kind::Ping, 0, StreamId::CONNECTION, &payload);
}

/// Appends the answer to a PING.
pub fn write_pong(out: &mut BytesMut, payload: [u8; 8]) {
    write(out, Kind::Ping, flag::ACK, StreamId::CONNECTION, &payload);
}

/// Appends a WINDOW_UPDATE by `increment` bytes, which has to be within 1 and [`MAX_WINDOW`](super::MAX_WINDOW).
pub fn write_window_update(out: &mut BytesMut, stream: StreamId, increment: u32) {
    debug_assert!((1..=super::MAX_WINDOW).contains(&increment), "no increment: {increment}");
    write(out, Kind::WindowUpdate, 0, stream, &increment.to_be_bytes());
}

/// Appends a RST_STREAM.
pub fn write_reset_stream(out: &mut BytesMut, stream: StreamId, code: ErrorCode) {
    write(out, Kind::ResetStream, 0, stream, &code.0.to_be_bytes());
}

/// Appends a GOAWAY.
pub fn write_go_away(out: &mut BytesMut, last: StreamId, code: ErrorCode, debug: &[u8]) {
    let (length, stream) = (8 + debug.len(), StreamId::CONNECTION);
    Head { length, kind: Kind::GoAway, flags: 0, stream }.write(out);
    out.extend_from_slice(&last.get().to_be_bytes());
    out.extend_from_slice(&code.0.to_be_bytes());
    out.extend_from_slice(debug);
}

/// Appends the head of a DATA frame whose payload of `length` bytes is written by itself.
pub fn write_data_head(out: &mut BytesMut, stream: StreamId, length: usize, end: bool) {
    let flags = if end { flag::END_STREAM } else { 0 };
    Head { length, kind: Kind::Data, flags, stream }.write(out);
}

/// Appends a HEADERS frame around what `block` appends, continued in CONTINUATION frames as far as it is longer than
/// `max_frame` bytes.
///
/// ```
/// use bytes::BytesMut;
/// use etcdkit_http2::frame::{DEFAULT_MAX_FRAME, Head, Kind, StreamId, flag, write_headers};
///
/// let mut bytes = BytesMut::new();
/// write_headers(&mut bytes, StreamId::new(1), true, DEFAULT_MAX_FRAME, |out| {
///     out.extend_from_slice(&[0x88]);
/// });
/// let head = Head::peek(&bytes).expect("a whole head");
/// assert_eq!((head.kind, head.length), (Kind::Headers, 1));
/// assert!(head.has(flag::END_STREAM) && head.has(flag::END_HEADERS));
/// ```
pub fn write_headers(
    out: &mut BytesMut,
    stream: StreamId,
    end: bool,
    max_frame: u32,
    block: impl FnOnce(&mut BytesMut),
) {
    let start = out.len();
    let end_stream = if end { flag::END_STREAM } else { 0 };
    let mut head = Head { length: 0, kind: Kind::Headers, flags: end_stream, stream };
    head.write(out);
    block(out);
    let max_frame = max_frame.max(1) as usize;
    let length = out.len() - start - Head::LENGTH;
    if length <= max_frame {
        head.length = length;
        head.flags |= flag::END_HEADERS;
        out[start..start + Head::LENGTH].copy_from_slice(&head.to_bytes());
        return;
    }
    // What does not fit into the first frame moves back to make room for heads; such blocks are rare.
    let rest = out.split_off(start + Head::LENGTH + max_frame);
    head.length = max_frame;
    out[start..start + Head::LENGTH].copy_from_slice(&head.to_bytes());
    let mut parts = rest.chunks(max_frame).peekable();
    while let Some(part) = parts.next() {
        let flags = if parts.peek().is_none() { flag::END_HEADERS } else { 0 };
        write(out, Kind::Continuation, flags, stream, part);
    }
}
