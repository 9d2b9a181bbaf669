//! Each writer's bytes, and each way in which one frame alone can be wrong.

use bytes::BytesMut;
use proptest::prelude::*;

use super::*;

fn head(kind: Kind, flags: u8, stream: u32, length: usize) -> Head {
    Head { length, kind, flags, stream: StreamId::new(stream) }
}

#[track_caller]
fn written(write: impl FnOnce(&mut BytesMut), expected: &[u8]) {
    let mut out = BytesMut::from(&b"before"[..]);
    write(&mut out);
    assert_eq!(out[6..], *expected);
}

#[test]
fn frames_are_written_as_the_rfc_has_them() {
    let stream = StreamId::new(0x0102_0305);
    written(write_settings_ack, b"\0\0\0\x04\x01\0\0\0\0");
    written(|out| write_ping(out, *b"12345678"), b"\0\0\x08\x06\0\0\0\0\x0012345678");
    written(|out| write_pong(out, *b"12345678"), b"\0\0\x08\x06\x01\0\0\0\x0012345678");
    written(
        |out| write_window_update(out, stream, 0x10),
        b"\0\0\x04\x08\0\x01\x02\x03\x05\0\0\0\x10",
    );
    written(
        |out| write_reset_stream(out, stream, ErrorCode::CANCEL),
        b"\0\0\x04\x03\0\x01\x02\x03\x05\0\0\0\x08",
    );
    written(
        |out| write_go_away(out, StreamId::CONNECTION, ErrorCode::NO_ERROR, b"bye"),
        b"\0\0\x0b\x07\0\0\0\0\0\0\0\0\0\0\0\0\0bye",
    );
    written(
        |out| write_data_head(out, stream, 0x01_0203, true),
        b"\x01\x02\x03\0\x01\x01\x02\x03\x05",
    );
    written(|out| write_data_head(out, stream, 5, false), b"\0\0\x05\0\0\x01\x02\x03\x05");
    let settings = [
        Setting::HeaderTable(4096),
        Setting::EnablePush(false),
        Setting::MaxConcurrentStreams(1),
        Setting::InitialWindow(2),
        Setting::MaxFrame(DEFAULT_MAX_FRAME),
        Setting::MaxHeaderList(3),
    ];
    written(
        |out| write_settings(out, &settings),
        b"\0\0\x24\x04\0\0\0\0\0\0\x01\0\0\x10\0\0\x02\0\0\0\0\0\x03\0\0\0\x01\0\x04\0\0\0\x02\0\x05\0\0\x40\0\0\x06\0\0\0\x03",
    );
}

#[test]
fn a_block_longer_than_a_frame_is_continued() {
    // (bytes of block, bytes of each frame)
    for (block, frames) in
        [(0, &[0][..]), (1, &[1]), (16, &[16]), (17, &[16, 1]), (32, &[16, 16]), (33, &[16, 16, 1])]
    {
        let block: Vec<u8> = (0..block).collect();
        let mut out = BytesMut::from(&b"before"[..]);
        write_headers(&mut out, StreamId::new(7), true, 16, |out| out.extend_from_slice(&block));
        let mut rest = &out[6..];
        let mut read = Vec::new();
        for (nth, &length) in frames.iter().enumerate() {
            let kind = if nth == 0 { Kind::Headers } else { Kind::Continuation };
            let mut flags = if nth == 0 { flag::END_STREAM } else { 0 };
            if nth + 1 == frames.len() {
                flags |= flag::END_HEADERS;
            }
            assert_eq!(Head::peek(rest), Some(head(kind, flags, 7, length)), "{frames:?}");
            let (payload, after) = rest[Head::LENGTH..].split_at(length);
            read.extend_from_slice(payload);
            rest = after;
        }
        assert!(rest.is_empty());
        assert_eq!(read, block);
    }
}

#[test]
fn an_incomplete_head_is_none() {
    let bytes = [0; Head::LENGTH];
    assert_eq!(Head::peek(&bytes[1..]), None);
    assert_eq!(Head::peek(&bytes), Some(head(Kind::Data, 0, 0, 0)));
}

#[test]
fn frames_on_streams_that_they_cannot_be_on_end_the_connection() {
    const ANY: &[u32] = &[0, 1];
    for (kind, fine) in [
        (Kind::Data, &[1][..]),
        (Kind::Headers, &[1]),
        (Kind::Priority, &[1]),
        (Kind::ResetStream, &[1]),
        (Kind::Settings, &[0]),
        (Kind::PushPromise, &[1]),
        (Kind::Ping, &[0]),
        (Kind::GoAway, &[0]),
        (Kind::WindowUpdate, ANY),
        (Kind::Continuation, &[1]),
        (Kind::Other(77), ANY),
    ] {
        for &stream in ANY {
            let checked = head(kind, 0, stream, 0).check(DEFAULT_MAX_FRAME);
            let expected =
                (!fine.contains(&stream)).then_some((ErrorCode::PROTOCOL_ERROR, Scope::Connection));
            let got = checked.err().map(|malformed| (malformed.code, malformed.scope));
            assert_eq!(got, expected, "{kind:?} on {stream}");
        }
    }
}

#[test]
fn a_frame_longer_than_announced_ends_the_connection() {
    let of = |length| head(Kind::Other(77), 0, 0, length).check(20_000);
    assert_eq!(of(20_000), Ok(()));
    let malformed = of(20_001).unwrap_err();
    assert_eq!((malformed.code, malformed.scope), (ErrorCode::FRAME_SIZE_ERROR, Scope::Connection));
}

#[test]
fn padding_and_priority_are_no_content() {
    let padded = flag::PADDED;
    let both = flag::PADDED | flag::PRIORITY;
    const SIZE: Result<&[u8], ErrorCode> = Err(ErrorCode::FRAME_SIZE_ERROR);
    const PROTOCOL: Result<&[u8], ErrorCode> = Err(ErrorCode::PROTOCOL_ERROR);
    for (kind, flags, payload, expected) in [
        (Kind::Data, 0, &b""[..], Ok(&b""[..])),
        (Kind::Data, 0, b"abc", Ok(b"abc")),
        (Kind::Data, flag::PRIORITY, b"abc", Ok(b"abc")),
        (Kind::Data, padded, b"", SIZE),
        (Kind::Data, padded, b"\0", Ok(b"")),
        (Kind::Data, padded, b"\0abc", Ok(b"abc")),
        (Kind::Data, padded, b"\x03abc", Ok(b"")),
        (Kind::Data, padded, b"\x04abc", PROTOCOL),
        (Kind::Data, padded, b"\xffabc", PROTOCOL),
        (Kind::Headers, 0, b"abc", Ok(b"abc")),
        (Kind::Headers, flag::PRIORITY, b"prio", SIZE),
        (Kind::Headers, flag::PRIORITY, b"prior", Ok(b"")),
        (Kind::Headers, flag::PRIORITY, b"priorabc", Ok(b"abc")),
        (Kind::Headers, both, b"\x01priorabc", Ok(b"ab")),
        (Kind::Headers, both, b"\x03priorabc", Ok(b"")),
        (Kind::Headers, both, b"\x04priorabc", PROTOCOL),
        (Kind::Headers, both, b"\0prio", SIZE),
    ] {
        let content = content(head(kind, flags, 1, payload.len()), payload);
        let got = content.map(|range| &payload[range]).map_err(|malformed| malformed.code);
        assert_eq!(got, expected, "{kind:?} {flags:#x} {}", payload.escape_ascii());
    }
}

#[test]
fn payloads_of_a_wrong_length_end_the_connection() {
    let bytes = [1; 20];
    let update = head(Kind::WindowUpdate, 0, 1, 0);
    let (set, ack) = (head(Kind::Settings, 0, 0, 0), head(Kind::Settings, flag::ACK, 0, 0));
    type Parse<'a> = &'a dyn Fn(&[u8]) -> Result<(), Malformed>;
    let cases: [(&str, Parse<'_>, &[usize]); 6] = [
        ("RST_STREAM", &|payload| reset_stream(payload).map(drop), &[4]),
        ("PING", &|payload| ping(payload).map(drop), &[8]),
        ("WINDOW_UPDATE", &|payload| window_update(update, payload).map(drop), &[4]),
        (
            "GOAWAY",
            &|payload| go_away(payload).map(drop),
            &[8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20],
        ),
        ("SETTINGS", &|payload| settings(set, payload).map(drop), &[0, 6, 12, 18]),
        ("the answer to SETTINGS", &|payload| settings(ack, payload).map(drop), &[0]),
    ];
    for (name, parse, fine) in cases {
        for length in 0..=bytes.len() {
            let expected = (!fine.contains(&length))
                .then_some((ErrorCode::FRAME_SIZE_ERROR, Scope::Connection));
            let got =
                parse(&bytes[..length]).err().map(|malformed| (malformed.code, malformed.scope));
            assert_eq!(got, expected, "{name} of {length} bytes");
        }
    }
}

#[test]
fn a_window_update_by_nothing_ends_what_it_is_about() {
    for (stream, scope) in [(0, Scope::Connection), (1, Scope::Stream)] {
        let head = head(Kind::WindowUpdate, 0, stream, 4);
        // The highest bit is reserved and counts for nothing.
        for payload in [[0; 4], [0x80, 0, 0, 0]] {
            let malformed = window_update(head, &payload).unwrap_err();
            assert_eq!((malformed.code, malformed.scope), (ErrorCode::PROTOCOL_ERROR, scope));
        }
        assert_eq!(window_update(head, &[0xff; 4]).map(u32::from), Ok(MAX_WINDOW));
    }
}

#[test]
fn a_farewell_is_read_as_it_was_written() {
    let mut out = BytesMut::new();
    write_go_away(&mut out, StreamId::new(5), ErrorCode::ENHANCE_YOUR_CALM, b"too_many_pings");
    let expected = GoAway {
        last: StreamId::new(5),
        code: ErrorCode::ENHANCE_YOUR_CALM,
        debug: b"too_many_pings",
    };
    assert_eq!(go_away(&out[Head::LENGTH..]), Ok(expected));
}

#[test]
fn settings_that_cannot_be_end_the_connection() {
    let code = |id: u8, value: u32| {
        let [v0, v1, v2, v3] = value.to_be_bytes();
        let payload = [0, id, v0, v1, v2, v3];
        let mut settings = settings(head(Kind::Settings, 0, 0, 6), &payload).expect("six bytes");
        settings.next().map(|setting| setting.map_err(|malformed| malformed.code))
    };
    for (id, value, expected) in [
        (1, u32::MAX, Some(Ok(Setting::HeaderTable(u32::MAX)))),
        (2, 0, Some(Ok(Setting::EnablePush(false)))),
        (2, 1, Some(Ok(Setting::EnablePush(true)))),
        (2, 2, Some(Err(ErrorCode::PROTOCOL_ERROR))),
        (3, 0, Some(Ok(Setting::MaxConcurrentStreams(0)))),
        (4, MAX_WINDOW, Some(Ok(Setting::InitialWindow(MAX_WINDOW)))),
        (4, MAX_WINDOW + 1, Some(Err(ErrorCode::FLOW_CONTROL_ERROR))),
        (5, DEFAULT_MAX_FRAME - 1, Some(Err(ErrorCode::PROTOCOL_ERROR))),
        (5, DEFAULT_MAX_FRAME, Some(Ok(Setting::MaxFrame(DEFAULT_MAX_FRAME)))),
        (5, LARGEST_MAX_FRAME, Some(Ok(Setting::MaxFrame(LARGEST_MAX_FRAME)))),
        (5, LARGEST_MAX_FRAME + 1, Some(Err(ErrorCode::PROTOCOL_ERROR))),
        (6, 1, Some(Ok(Setting::MaxHeaderList(1)))),
        (0, 1, None),
        (8, 1, None),
    ] {
        assert_eq!(code(id, value), expected, "setting {id} = {value}");
    }
}

#[test]
fn a_setting_that_comes_twice_is_told_twice() {
    let mut out = BytesMut::new();
    let twice = [Setting::HeaderTable(0), Setting::HeaderTable(4096)];
    write_settings(&mut out, &twice);
    let read = settings(head(Kind::Settings, 0, 0, 12), &out[Head::LENGTH..]).expect("settings");
    assert_eq!(read.collect::<Result<Vec<_>, _>>(), Ok(twice.to_vec()));
}

proptest! {
    #[test]
    fn any_nine_bytes_are_a_head_and_are_written_again(mut bytes: [u8; Head::LENGTH]) {
        let head = Head::parse(&bytes);
        bytes[5] &= 0x7f;
        prop_assert_eq!(head.to_bytes(), bytes);
    }

    #[test]
    fn content_lies_within_the_payload(kind: bool, flags: u8, payload: Vec<u8>) {
        let kind = if kind { Kind::Data } else { Kind::Headers };
        if let Ok(content) = content(head(kind, flags, 1, payload.len()), &payload) {
            prop_assert!(payload.get(content).is_some());
        }
    }
}
