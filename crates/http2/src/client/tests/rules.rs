//! What a peer may say, and what ends a stream or the connection.

use super::*;

/// Stream 1 is asked for, 3 has its head, 5 was reset, 7 is over, 9 was not opened.
fn busy() -> Client {
    let mut client = Client::new();
    for _ in 0..4 {
        client.asks();
    }
    client.hears(&answer_head(3)).unwrap();
    client.connection.reset(StreamId::new(5), ErrorCode::CANCEL).unwrap();
    client.hears(&[answer_head(7), trailers(7)].concat()).unwrap();
    client.sends();
    client.told();
    client
}

#[test]
fn an_answer_is_told_in_order() {
    let mut client = Client::new();
    assert_eq!(client.asks(), 1);
    client.hears(&[answer_head(1), content(1, 5), trailers(1)].concat()).unwrap();
    assert_eq!(
        client.told(),
        [
            "1 :status: 200",
            "1 Head",
            "1 content of 5",
            "1 grpc-status: 0",
            "1 Trailers",
            "1 ended Clean, sent All",
        ]
    );
    assert_eq!(client.connection.open_streams(), 0);
    assert_eq!(client.sends(), [""; 0]);
}

#[test]
fn a_head_alone_is_an_answer() {
    let mut client = Client::new();
    client.asks();
    let block = [STATUS_200, GRPC_STATUS_0].concat();
    client.hears(&raw(HEADERS, flag::END_HEADERS | flag::END_STREAM, 1, &block)).unwrap();
    assert_eq!(
        client.told(),
        ["1 :status: 200", "1 grpc-status: 0", "1 Head", "1 ended Clean, sent All"]
    );
}

/// Whatever arrives together: the same is told.
#[test]
fn frames_may_come_in_any_pieces() {
    let wire = [
        settings(&[(MAX_CONCURRENT_STREAMS, 7)]),
        answer_head(1),
        content(1, 20),
        raw(HEADERS, flag::END_STREAM, 1, b"\x00\x0bgrpc"),
        raw(CONTINUATION, 0, 1, b"-status"),
        raw(CONTINUATION, flag::END_HEADERS, 1, b"\x010"),
    ]
    .concat();
    let mut whole = Client::new();
    whole.asks();
    whole.hears(&wire).unwrap();
    let wanted = whole.told();
    assert_eq!(wanted.last().unwrap(), "1 ended Clean, sent All");
    for size in 1..wire.len() {
        let mut client = Client::new();
        client.asks();
        let mut input = BytesMut::new();
        for piece in wire.chunks(size) {
            input.extend_from_slice(piece);
            let missing = client.connection.receive(&mut input, &mut client.told).unwrap();
            assert!(missing > 0, "it says what it waits for");
        }
        assert_eq!(client.told(), wanted, "pieces of {size}");
        assert!(input.is_empty());
    }
}

#[test]
fn it_says_how_much_of_a_frame_is_missing() {
    let mut client = Client::new();
    client.asks();
    assert_eq!(client.hears(b""), Ok(9));
    assert_eq!(client.hears(&content(1, 500)[..5]), Ok(4));
    assert_eq!(client.hears(&content(1, 500)[..9]), Ok(500));
    assert_eq!(client.hears(&content(1, 500)[..508]), Ok(1));
}

#[test]
fn an_interim_head_is_left_out() {
    let mut client = Client::new();
    client.asks();
    let interim = raw(HEADERS, flag::END_HEADERS, 1, b"\x08\x03103\x00\x04link\x01x");
    client.hears(&[interim, answer_head(1)].concat()).unwrap();
    assert_eq!(client.told(), ["1 :status: 200", "1 Head"]);
}

#[test]
fn padding_and_priority_are_no_content() {
    let mut client = Client::new();
    client.asks();
    let flags = flag::END_HEADERS | flag::PADDED | flag::PRIORITY;
    let head = raw(HEADERS, flags, 1, &[&[3, 0, 0, 0, 0, 9], STATUS_200, &[0; 3]].concat());
    let body = raw(DATA, flag::PADDED, 1, &[&[200][..], b"content", &[0; 200]].concat());
    client.hears(&[head, body].concat()).unwrap();
    assert_eq!(client.told(), ["1 :status: 200", "1 Head", "1 content of 7"]);
}

#[test]
fn settings_and_pings_are_answered() {
    let mut client = Client::new();
    client.hears(&[settings(&[]), raw(PING, 0, 0, b"12345678")].concat()).unwrap();
    assert_eq!(client.sends(), ["SETTINGS ack", "PING ack 12345678"]);
    client.connection.ping(*b"abcdefgh");
    assert_eq!(client.sends(), ["PING abcdefgh"]);
    client.hears(&raw(PING, flag::ACK, 0, b"abcdefgh")).unwrap();
    assert_eq!(client.told(), ["pong abcdefgh"]);
}

#[test]
fn what_is_unknown_is_passed_over() {
    let mut client = busy();
    let wire = [
        raw(0xfa, 0xff, 0, b"an extension"),
        raw(0xfb, 0xff, 1, b""),
        settings(&[(0xf00d, 1)]),
        raw(PRIORITY, 0, 1, &[0; 5]),
        answer_head(1),
    ];
    client.hears(&wire.concat()).unwrap();
    assert_eq!(client.told(), ["1 :status: 200", "1 Head"]);
}

/// The peer breaks a rule of the connection: it is told, nobody else is, and nothing goes on.
#[test]
fn offences_that_end_the_connection() {
    let opened = "a frame is about a stream that was not opened";
    let between = "another frame stands between the pieces of a block of fields";
    let begun = || raw(HEADERS, 0, 1, STATUS_200);
    let cases: [(&str, Vec<u8>, ErrorCode, &str); 38] = [
        ("DATA, idle", content(9, 1), ErrorCode::PROTOCOL_ERROR, opened),
        ("HEADERS, idle", answer_head(9), ErrorCode::PROTOCOL_ERROR, opened),
        ("RST_STREAM, idle", reset(9, ErrorCode::CANCEL), ErrorCode::PROTOCOL_ERROR, opened),
        ("WINDOW_UPDATE, idle", window_update(9, 1), ErrorCode::PROTOCOL_ERROR, opened),
        ("DATA, the peer's", content(2, 1), ErrorCode::PROTOCOL_ERROR, opened),
        ("HEADERS, the peer's", answer_head(2), ErrorCode::PROTOCOL_ERROR, opened),
        ("DATA, no stream", content(0, 1), ErrorCode::PROTOCOL_ERROR, "DATA without a stream"),
        (
            "HEADERS, no stream",
            answer_head(0),
            ErrorCode::PROTOCOL_ERROR,
            "HEADERS without a stream",
        ),
        (
            "RST_STREAM, no stream",
            reset(0, ErrorCode::CANCEL),
            ErrorCode::PROTOCOL_ERROR,
            "RST_STREAM without a stream",
        ),
        (
            "SETTINGS, stream",
            raw(SETTINGS, 0, 1, &[]),
            ErrorCode::PROTOCOL_ERROR,
            "SETTINGS on a stream",
        ),
        ("PING, stream", raw(PING, 0, 1, &[0; 8]), ErrorCode::PROTOCOL_ERROR, "PING on a stream"),
        (
            "GOAWAY, stream",
            raw(GOAWAY, 0, 1, &[0; 8]),
            ErrorCode::PROTOCOL_ERROR,
            "GOAWAY on a stream",
        ),
        (
            "PUSH_PROMISE",
            raw(PUSH_PROMISE, flag::END_HEADERS, 1, &[0, 0, 0, 2, 0x82]),
            ErrorCode::PROTOCOL_ERROR,
            "PUSH_PROMISE, though SETTINGS forbid it",
        ),
        (
            "CONTINUATION alone",
            raw(CONTINUATION, flag::END_HEADERS, 1, STATUS_200),
            ErrorCode::PROTOCOL_ERROR,
            "CONTINUATION without HEADERS",
        ),
        (
            "CONTINUATION too late",
            [answer_head(1), raw(CONTINUATION, flag::END_HEADERS, 1, b"")].concat(),
            ErrorCode::PROTOCOL_ERROR,
            "CONTINUATION without HEADERS",
        ),
        (
            "HEADERS, PING",
            [begun(), raw(PING, 0, 0, &[0; 8])].concat(),
            ErrorCode::PROTOCOL_ERROR,
            between,
        ),
        (
            "HEADERS, unknown",
            [begun(), raw(0xfa, 0, 0, b"")].concat(),
            ErrorCode::PROTOCOL_ERROR,
            between,
        ),
        ("HEADERS, DATA", [begun(), content(1, 1)].concat(), ErrorCode::PROTOCOL_ERROR, between),
        ("HEADERS twice", [begun(), begun()].concat(), ErrorCode::PROTOCOL_ERROR, between),
        (
            "CONTINUATION, another's",
            [begun(), raw(CONTINUATION, flag::END_HEADERS, 3, b"")].concat(),
            ErrorCode::PROTOCOL_ERROR,
            between,
        ),
        (
            "a frame of more than 1 MiB",
            vec![0x10, 0, 1, DATA, 0, 0, 0, 0, 1],
            ErrorCode::FRAME_SIZE_ERROR,
            "a frame is longer than SETTINGS_MAX_FRAME_SIZE",
        ),
        (
            "PING of 7",
            raw(PING, 0, 0, &[0; 7]),
            ErrorCode::FRAME_SIZE_ERROR,
            "a PING's payload is not of 8 bytes",
        ),
        (
            "RST_STREAM of 5",
            raw(RST_STREAM, 0, 1, &[0; 5]),
            ErrorCode::FRAME_SIZE_ERROR,
            "a RST_STREAM's payload is not of 4 bytes",
        ),
        (
            "WINDOW_UPDATE of 3",
            raw(WINDOW_UPDATE, 0, 1, &[0; 3]),
            ErrorCode::FRAME_SIZE_ERROR,
            "a WINDOW_UPDATE's payload is not of 4 bytes",
        ),
        (
            "GOAWAY of 7",
            raw(GOAWAY, 0, 0, &[0; 7]),
            ErrorCode::FRAME_SIZE_ERROR,
            "a GOAWAY's payload is shorter than 8 bytes",
        ),
        (
            "SETTINGS of 7",
            raw(SETTINGS, 0, 0, &[0; 7]),
            ErrorCode::FRAME_SIZE_ERROR,
            "a SETTINGS' payload is no multiple of 6 bytes",
        ),
        (
            "an answer to SETTINGS that has some",
            raw(SETTINGS, flag::ACK, 0, &[0; 6]),
            ErrorCode::FRAME_SIZE_ERROR,
            "the answer to SETTINGS has a payload",
        ),
        (
            "pushes wanted",
            settings(&[(ENABLE_PUSH, 1)]),
            ErrorCode::PROTOCOL_ERROR,
            "a server that wants to be pushed to",
        ),
        (
            "pushes wanted twice",
            settings(&[(ENABLE_PUSH, 2)]),
            ErrorCode::PROTOCOL_ERROR,
            "SETTINGS_ENABLE_PUSH is neither 0 nor 1",
        ),
        (
            "an initial window of 2^31",
            settings(&[(INITIAL_WINDOW_SIZE, 1 << 31)]),
            ErrorCode::FLOW_CONTROL_ERROR,
            "SETTINGS_INITIAL_WINDOW_SIZE is above 2^31-1",
        ),
        (
            "frames of 2^14 - 1",
            settings(&[(MAX_FRAME_SIZE, (1 << 14) - 1)]),
            ErrorCode::PROTOCOL_ERROR,
            "SETTINGS_MAX_FRAME_SIZE is not within 2^14 and 2^24-1",
        ),
        ("no window", window_update(0, 0), ErrorCode::PROTOCOL_ERROR, "a WINDOW_UPDATE by nothing"),
        (
            "padding beyond the payload",
            raw(DATA, flag::PADDED, 3, &[3, 0, 0]),
            ErrorCode::PROTOCOL_ERROR,
            "there is more padding than payload",
        ),
        (
            "a padded frame of nothing",
            raw(DATA, flag::PADDED, 3, &[]),
            ErrorCode::FRAME_SIZE_ERROR,
            "a padded frame does not say by how much",
        ),
        (
            "a field that the table does not have",
            raw(HEADERS, flag::END_HEADERS, 1, b"\xff\x00"),
            ErrorCode::COMPRESSION_ERROR,
            "a block of fields can't be read",
        ),
        (
            "the same on a stream that is over",
            raw(HEADERS, flag::END_HEADERS, 5, b"\xff\x00"),
            ErrorCode::COMPRESSION_ERROR,
            "a block of fields can't be read",
        ),
        (
            "the same in pieces",
            [begun(), raw(CONTINUATION, flag::END_HEADERS, 1, b"\xff\x00")].concat(),
            ErrorCode::COMPRESSION_ERROR,
            "a block of fields can't be read",
        ),
        (
            "a last stream after the last",
            [go_away(3, ErrorCode::NO_ERROR), go_away(5, ErrorCode::NO_ERROR)].concat(),
            ErrorCode::PROTOCOL_ERROR,
            "a second GOAWAY with a later stream than the first",
        ),
    ];
    for (offence, wire, code, what) in cases {
        let mut client = busy();
        let error = client.hears(&wire).unwrap_err();
        assert_eq!((error.code(), error.what()), (code, what), "{offence}");
        let sent = client.sends();
        assert_eq!(sent.last().unwrap(), &format!("GOAWAY 0 {code}: {what}"), "{offence}");
        client.told();

        assert_eq!(client.hears(&answer_head(1)), Err(error), "{offence}: it is over");
        assert!(client.told().is_empty() && client.sends().is_empty(), "{offence}");
        assert_eq!(client.connection.room(), 0, "{offence}");
        client.connection.lose(&mut client.told);
        assert!(client.told().contains(&"1 ended Lost, sent All".into()), "{offence}");
        assert!(client.connection.is_finished());
    }
}

/// Nine bytes tell, however long the frame would be that they seem to begin.
#[test]
fn a_peer_of_another_protocol_is_known_by_its_first_bytes() {
    let none = "it does not begin with a frame of HTTP/2";
    let cases = [
        ("HTTP/1.1 ", none),
        ("SSH-2.0-O", none),
        ("220 mail.", none),
        ("\x15\x03\x01\0\x02\x02\x46\0\0", "a frame is about a stream that was not opened"),
    ];
    for (first, says) in cases {
        let options = Options { max_frame: u32::MAX, ..Options::default() };
        let mut client = Client::fresh(options);
        client.opens();
        let error = client.hears(first.as_bytes()).unwrap_err();
        assert_eq!((error.code(), error.what()), (ErrorCode::PROTOCOL_ERROR, says), "{first:?}");
    }
}

/// The RFC has SETTINGS come first, but there are servers that answer before them.
#[test]
fn an_answer_may_come_before_the_settings() {
    let mut client = Client::fresh(Options::default());
    client.asks();
    client.hears(&[answer_head(1), trailers(1)].concat()).unwrap();
    assert_eq!(client.told().last().unwrap(), "1 ended Clean, sent All");
    client.hears(&settings(&[(MAX_CONCURRENT_STREAMS, 7)])).unwrap();
    assert_eq!(client.connection.limit(), 7);
}

#[test]
fn an_error_says_what_is_wrong_with_a_block() {
    use std::error::Error;

    let error = busy().hears(&raw(HEADERS, flag::END_HEADERS, 1, b"\xff\x00")).unwrap_err();
    assert!(
        error.to_string().starts_with("the peer broke HTTP/2: a block of fields can't be read: "),
        "{error}"
    );
    assert!(error.source().is_none(), "its text says all");
}

/// The peer breaks a rule of one stream: that is reset, and the others go on.
#[test]
fn offences_that_end_a_stream() {
    let malformed = ErrorCode::PROTOCOL_ERROR;
    let head_of = |block: &[u8]| raw(HEADERS, flag::END_HEADERS, 1, block);
    let end_of = |block: &[u8]| raw(HEADERS, flag::END_HEADERS | flag::END_STREAM, 1, block);
    let cases = [
        ("content first", content(1, 1), malformed, "content comes before the head"),
        (
            "nothing first",
            raw(DATA, flag::END_STREAM, 1, b""),
            malformed,
            "content comes before the head",
        ),
        ("no status", head_of(GRPC_STATUS_0), malformed, "the head does not begin with :status"),
        ("an empty head", head_of(b""), malformed, "the head has no :status"),
        (
            "status 101",
            head_of(b"\x08\x03101"),
            malformed,
            "the status is 101, which HTTP/2 does not have",
        ),
        ("an end of 1xx", end_of(b"\x08\x03100"), malformed, "it ends with an interim head"),
        (
            "trailers that are not the end",
            [answer_head(1), head_of(GRPC_STATUS_0)].concat(),
            malformed,
            "it goes on after its trailers",
        ),
        (
            "a status in trailers",
            [answer_head(1), end_of(STATUS_200)].concat(),
            malformed,
            "a pseudo-field stands where none may be",
        ),
        (
            "a name in upper case after the status",
            [answer_head(1), end_of(&[GRPC_STATUS_0, b"\x00\x01X\x01y"].concat())].concat(),
            malformed,
            "the name of a field has a character that none may have",
        ),
        ("a window by nothing", window_update(1, 0), malformed, "a WINDOW_UPDATE by nothing"),
        (
            "a window of 2^31",
            window_update(1, (1 << 31) - 1),
            ErrorCode::FLOW_CONTROL_ERROR,
            "WINDOW_UPDATE makes a window too large",
        ),
        (
            "PRIORITY of 4",
            raw(PRIORITY, 0, 1, &[0; 4]),
            ErrorCode::FRAME_SIZE_ERROR,
            "a PRIORITY's payload is not of 5 bytes",
        ),
    ];
    for (offence, wire, code, what) in cases {
        let mut client = busy();
        client.hears(&wire).unwrap();
        let wanted = format!("1 ended Malformed({what:?}), sent All");
        assert_eq!(client.told().last(), Some(&wanted), "{offence}");
        assert_eq!(client.sends(), [format!("RST_STREAM 1 {code}")], "{offence}");

        client.hears(&[wire, content(3, 5), trailers(3)].concat()).unwrap();
        let told = client.told();
        assert_eq!(told.last().unwrap(), "3 ended Clean, sent All", "{offence}");
        assert!(told.iter().all(|line| line.starts_with('3')), "{offence}: {told:?}");
    }
}

#[test]
fn a_list_that_is_too_long_ends_its_stream_and_the_table_stays_in_step() {
    let mut client = Client::new();
    client.asks();
    client.asks();
    // `a: …` of 1000 bytes, taken into the table and then repeated until it is more than 64 KiB.
    let mut block = STATUS_200.to_vec();
    block.extend(b"\x40\x01a\x7f\xe9\x06");
    block.extend([b'x'; 1000]);
    block.extend([0xbe; 100]);
    let (first, rest) = block.split_at(600);
    let wire = [
        raw(HEADERS, 0, 1, first),
        raw(CONTINUATION, flag::END_HEADERS, 1, rest),
        raw(HEADERS, flag::END_HEADERS, 3, b"\x88\xbe"),
    ];
    client.hears(&wire.concat()).unwrap();
    let told = client.told();
    assert_eq!(told[0], "1 :status: 200");
    let ended = told.iter().position(|line| line == "1 ended TooLong, sent All").unwrap();
    assert_eq!(ended, 64, "as many fields as the limit allows: {told:?}");
    assert_eq!(told[ended + 1], "3 :status: 200");
    assert_eq!(told[ended + 2], format!("3 a: {}", "x".repeat(1000)));
    assert_eq!(client.sends(), ["RST_STREAM 1 PROTOCOL_ERROR"]);
}

#[test]
fn frames_on_streams_that_are_over_are_no_offence() {
    let mut client = busy();
    for id in [5, 7] {
        let wire = [
            window_update(id, 1),
            window_update(id, 0),
            raw(PRIORITY, 0, id, &[0; 5]),
            answer_head(id),
            content(id, 5),
            trailers(id),
            reset(id, ErrorCode::CANCEL),
        ];
        client.hears(&wire.concat()).unwrap();
    }
    assert!(client.told().is_empty() && client.sends().is_empty());
}

#[test]
fn blocks_for_streams_that_were_reset_keep_the_table_in_step() {
    let mut client = busy();
    let taken_in = b"\x88\x40\x01a\x01b";
    let wire = [
        raw(HEADERS, flag::END_HEADERS, 5, taken_in),
        raw(HEADERS, flag::END_HEADERS, 1, b"\x88\xbe"),
    ];
    client.hears(&wire.concat()).unwrap();
    assert_eq!(client.told(), ["1 :status: 200", "1 a: b", "1 Head"]);
}
