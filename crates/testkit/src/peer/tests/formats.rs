//! Frames, header blocks and messages, without a connection.

use bytes::{Bytes, BytesMut};

use crate::peer::frame::{flag, setting};
use crate::peer::hpack::Decoder;
use crate::peer::outgoing::{Outgoing, Part};
use crate::peer::{Frame, FrameKind, Request, grpc_message, hpack};

#[test]
fn frames_are_what_they_were() {
    let frames = [
        Frame::data(1, flag::END_STREAM, &b"abc"[..]),
        Frame::headers(3, flag::END_HEADERS, &b"block"[..]),
        Frame::continuation(3, flag::END_HEADERS, &b""[..]),
        Frame::rst_stream(5, 7),
        Frame::settings(&[(setting::MAX_CONCURRENT_STREAMS, 100), (0xf0, u32::MAX)]),
        Frame::settings_ack(),
        Frame::ping(*b"12345678"),
        Frame::go_away(9, 11, b"too_many_pings"),
        Frame::window_update(0, 1 << 30),
        Frame::new(FrameKind::Unknown(0xfe), 0xff, 0x7fff_ffff, &b"?"[..]),
    ];
    let mut wire = BytesMut::new();
    for frame in &frames {
        frame.encode_into(&mut wire);
    }
    // Whatever the wire splits, a frame comes out once it is complete.
    let mut received = BytesMut::new();
    let mut decoded = Vec::new();
    for byte in wire {
        received.extend_from_slice(&[byte]);
        decoded.extend(Frame::decode(&mut received));
    }
    assert_eq!(decoded, frames);
    assert_eq!(decoded[3].error_code(), Some(7));
    assert_eq!(decoded[4].settings_values(), [(3, 100), (0xf0, u32::MAX)]);
    assert_eq!(decoded[7].error_code(), Some(11));
    assert_eq!(decoded[8].increment(), Some(1 << 30));
}

#[test]
fn padding_and_priority_are_no_content() {
    for (kind, flags, payload, content) in [
        (FrameKind::Data, 0, &b"abc"[..], Some(&b"abc"[..])),
        (FrameKind::Data, flag::PADDED, b"\x02abc..", Some(b"abc")),
        (FrameKind::Data, flag::PADDED, b"\x03...", Some(b"")),
        (FrameKind::Data, flag::PADDED, b"\x04...", None),
        (FrameKind::Data, flag::PADDED, b"", None),
        (FrameKind::Headers, flag::PRIORITY, b"12345abc", Some(b"abc")),
        (FrameKind::Headers, flag::PRIORITY, b"1234", None),
        (FrameKind::Headers, flag::PRIORITY | flag::PADDED, b"\x0112345abc.", Some(b"abc")),
    ] {
        let frame = Frame::new(kind, flags, 1, payload);
        assert_eq!(frame.content().as_deref(), content, "{frame:?}");
    }
}

#[test]
fn header_blocks_are_what_they_were() {
    let long = "v".repeat(100_000);
    let headers: Vec<(&str, &[u8])> = [126, 127, 128, 254, 255, 256, 100_000]
        .map(|len| ("name", &long.as_bytes()[..len]))
        .into_iter()
        .chain([(":status", &b"200"[..]), ("", b""), ("raw", b"\xff\x00")])
        .collect();
    let decoded = Decoder::new().decode(&hpack::encode(&headers)).unwrap();
    let expected: Vec<_> =
        headers.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect();
    assert_eq!(decoded, expected);
}

#[test]
fn truncated_header_blocks_are_errors() {
    let block = hpack::encode(&[("name", "value")]);
    for len in 1..block.len() {
        Decoder::new().decode(&block[..len]).unwrap_err();
    }
}

#[test]
fn messages_are_found_in_a_body() {
    let body = [grpc_message(b"one"), grpc_message(b""), Bytes::from_static(b"\0\0\0")].concat();
    let request = Request::new(1, vec![(":path".to_owned(), b"/a/B".to_vec())], body.into());
    assert_eq!(request.path, "/a/B");
    assert_eq!(request.message(), "one");
    assert_eq!(request.messages(), ["one", ""]);
    assert_eq!(Request::new(1, vec![], Bytes::new()).message(), "");
}

#[test]
fn data_waits_for_both_windows() {
    let mut outgoing = Outgoing::new();
    outgoing.push(1, Part::Data(vec![0; 70_000].into()));
    outgoing.push(1, Part::End);
    outgoing.push(3, Part::Data(Bytes::from_static(b"other")));
    let sizes = |outgoing: &mut Outgoing| -> Vec<(u32, usize)> {
        outgoing.take_ready().iter().map(|frame| (frame.stream, frame.payload.len())).collect()
    };
    let frame = 16_384;
    assert_eq!(sizes(&mut outgoing), [(1, frame), (1, frame), (1, frame), (1, frame - 1)]);
    outgoing.observe(&Frame::window_update(0, 10));
    assert_eq!(sizes(&mut outgoing), [(3, 5)]);
    outgoing.observe(&Frame::settings(&[(setting::INITIAL_WINDOW_SIZE, 65_536)]));
    assert_eq!(sizes(&mut outgoing), [(1, 1)]);
    outgoing.observe(&Frame::window_update(1, 1 << 20));
    assert_eq!(sizes(&mut outgoing), [(1, 4)]);
    assert!(outgoing.is_waiting(1));
    outgoing.observe(&Frame::window_update(0, 1 << 20));
    assert_eq!(sizes(&mut outgoing), [(1, 4460), (1, 0)]);
    assert!(!outgoing.is_waiting(1));

    outgoing.push(5, Part::Data(vec![0; 1 << 21].into()));
    outgoing.take_ready();
    assert!(outgoing.is_waiting(5));
    outgoing.observe(&Frame::rst_stream(5, 8));
    assert!(!outgoing.is_waiting(5));
}
