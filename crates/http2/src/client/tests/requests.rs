//! What is written of requests.

use super::*;
use crate::client::{Gone, Refused};
use crate::hpack::{Field, Indexing};

#[test]
fn a_connection_begins_with_preface_settings_and_window() {
    let mut client = Client::fresh(Options::default());
    let said = "SETTINGS 2=0 4=2097152 5=1048576 6=65536";
    let wanted = ["preface", said, &format!("WINDOW_UPDATE 0 {}", (1_u32 << 31) - 65_536)];
    assert_eq!(client.sends(), wanted);
    let least = Options { connection_window: 0, ..Options::default() };
    assert_eq!(Client::fresh(least).sends(), ["preface", said]);
}

#[test]
fn options_are_moved_to_what_http2_allows() {
    let least =
        Options { stream_window: 0, connection_window: 0, max_frame: 0, ..Options::default() };
    let said = "SETTINGS 2=0 4=65535 5=16384 6=65536";
    assert_eq!(Client::fresh(least).sends(), ["preface", said]);
    let most = Options {
        stream_window: u32::MAX,
        connection_window: u32::MAX,
        max_frame: u32::MAX,
        ..Options::default()
    };
    let said = "SETTINGS 2=0 4=2147483647 5=16777215 6=65536";
    let window = "WINDOW_UPDATE 0 2147418112";
    assert_eq!(Client::fresh(most).sends(), ["preface", said, window]);
}

/// Logs are read by many.
#[test]
fn what_is_sent_does_not_show_in_what_is_debugged() {
    let mut client = Client::with(Options::default(), &[(INITIAL_WINDOW_SIZE, 5)]);
    let field = |name, indexing| Field { name, value: b"hunter2", indexing };
    let fields = [field(b"token", Indexing::Repeats), field(b"authorization", Indexing::Secret)];
    let id = client.connection.open(&mut Prepared::new([]), fields, ()).unwrap();
    client.connection.send(id, Bytes::from_static(b"hunter2hunter2"), true).unwrap();
    client.hears(&raw(HEADERS, 0, 1, b"\x40\x05token\x07hunter2")).unwrap();
    let shown = format!("{:?}", client.connection);
    assert!(!shown.contains("hunter2") && shown.contains("Unsent { bytes: 9"), "{shown}");
}

#[test]
fn a_small_request_is_written_at_once() {
    let mut client = Client::new();
    let id = client.opens();
    client.connection.send(id, Bytes::from_static(b"message"), true).unwrap();
    assert_eq!(client.connection.unsent(id), 0);
    assert_eq!(client.sends(), ["HEADERS 1", "DATA 1 7 end"]);
    assert_eq!(client.connection.send(id, Bytes::new(), false), Err(Gone));
}

#[test]
fn a_stream_goes_on_until_its_end() {
    let mut client = Client::new();
    let id = client.opens();
    for _ in 0..2 {
        client.connection.send(id, Bytes::from_static(b"message"), false).unwrap();
    }
    client.connection.send(id, Bytes::new(), false).unwrap();
    client.connection.send(id, Bytes::new(), true).unwrap();
    assert_eq!(client.sends(), ["HEADERS 1", "DATA 1 7", "DATA 1 7", "DATA 1 0 end"]);
    client.hears(&[answer_head(1), trailers(1)].concat()).unwrap();
    assert_eq!(client.connection.send(id, Bytes::new(), true), Err(Gone));
}

#[test]
fn a_head_longer_than_a_frame_goes_on_in_continuations() {
    let mut client = Client::new();
    let value = [b'x'; 40_000];
    let field = Field { name: b"x-long", value: &value, indexing: Indexing::Varies };
    client.connection.open(&mut Prepared::new([]), [field], ()).unwrap();
    assert_eq!(client.sends(), ["HEADERS 1", "Continuation", "Continuation"]);
}

#[test]
fn large_requests_take_turns_with_small_ones() {
    let mut client = Client::with(Options::default(), &[(INITIAL_WINDOW_SIZE, 1 << 20)]);
    client.hears(&window_update(0, 1 << 20)).unwrap();
    let (large, small) = (client.opens(), client.opens());
    client.connection.send(large, Bytes::from(vec![0; 600_000]), true).unwrap();
    client.connection.send(small, Bytes::from_static(b"small"), true).unwrap();
    let sent = client.sends();
    let place = sent.iter().position(|frame| frame == "DATA 3 5 end").unwrap();
    let whole = 600_000_usize.div_ceil(16_384);
    assert_eq!(sent.len(), 2 + whole + 1);
    assert!(place <= 2 + 17, "after what the output takes at once, not at the end: {place}");
}

#[test]
fn a_peer_that_takes_longer_frames_gets_them() {
    let values = [(INITIAL_WINDOW_SIZE, 1 << 20), (MAX_FRAME_SIZE, 50_000)];
    let mut client = Client::with(Options::default(), &values);
    let id = client.opens();
    client.connection.send(id, Bytes::from(vec![0; 60_000]), true).unwrap();
    assert_eq!(client.sends(), ["HEADERS 1", "DATA 1 50000", "DATA 1 10000 end"]);
}

#[test]
fn the_peers_limit_of_streams_holds() {
    let mut client = Client::fresh(Options { streams_at_first: 2, ..Options::default() });
    client.opens();
    client.opens();
    let refused = client.connection.open(&mut Prepared::new([]), [], ()).unwrap_err();
    assert_eq!(refused, (Refused::Full, ()), "the peer has not said how many it allows");
    client.hears(&settings(&[(MAX_CONCURRENT_STREAMS, 3)])).unwrap();
    assert_eq!((client.connection.limit(), client.connection.room()), (3, 1));
    client.opens();
    client.hears(&settings(&[(MAX_CONCURRENT_STREAMS, 1)])).unwrap();
    assert_eq!((client.connection.limit(), client.connection.room()), (1, 0));
    client.hears(&[reset(1, ErrorCode::CANCEL), reset(3, ErrorCode::CANCEL)].concat()).unwrap();
    assert_eq!(client.connection.room(), 0);
    client.hears(&reset(5, ErrorCode::CANCEL)).unwrap();
    assert_eq!(client.connection.room(), 1);
    let mut told = client.told();
    told.retain(|line| line.starts_with("limit"));
    assert_eq!(told, ["limit 3", "limit 1"]);
}

#[test]
fn a_peer_without_a_limit_takes_as_many_as_the_owner_wants() {
    let client = Client::with(Options { max_streams: 5000, ..Options::default() }, &[]);
    assert_eq!(client.connection.limit(), 5000);
}

/// Heads shrink to what both ends know by then, and grow again when the peer has no table any more.
#[test]
fn a_peer_without_a_table_gets_whole_heads() {
    let field = (Bytes::from_static(b"x-name"), Bytes::from_static(b"value"), Indexing::Repeats);
    let mut head = Prepared::new([field]);
    let mut client = Client::new();
    let mut length = |client: &mut Client| {
        client.connection.open(&mut head, [], ()).unwrap();
        let length = client.connection.output().len() - Head::LENGTH;
        client.sends();
        length
    };
    assert_eq!([length(&mut client), length(&mut client), length(&mut client)], [14, 1, 1]);
    client.hears(&settings(&[(HEADER_TABLE_SIZE, 0)])).unwrap();
    client.sends();
    assert_eq!([length(&mut client), length(&mut client)], [15, 14], "the first tells the size");
}
