//! Flow control, either way.

use super::*;

const STREAM: usize = 2 << 20;

/// A client whose stream 1 has its head.
fn reading(options: Options) -> Client {
    let mut client = Client::with(options, &[]);
    client.asks();
    client.hears(&answer_head(1)).unwrap();
    client.told();
    client
}

#[test]
fn content_that_is_read_is_given_back_by_halves() {
    let mut client = reading(Options::default());
    let id = StreamId::new(1);
    client.hears(&content(1, 1 << 20)).unwrap();
    client.connection.release(id, (1 << 20) - 1);
    assert_eq!(client.sends(), [""; 0]);
    client.connection.release(id, 1);
    assert_eq!(client.sends(), ["WINDOW_UPDATE 1 1048576"]);
    client.connection.release(id, 1 << 20);
    assert_eq!(client.sends(), [""; 0], "nothing more came");
}

#[test]
fn what_the_owner_deals_with_at_once_is_released_at_once() {
    let mut client = reading(Options::default());
    client.told.releases = true;
    for _ in 0..10 {
        client.hears(&content(1, 1 << 20)).unwrap();
    }
    assert_eq!(client.sends(), ["WINDOW_UPDATE 1 1048576"; 10]);
}

#[test]
fn padding_counts_and_is_given_back_by_itself() {
    let mut client = reading(Options { stream_window: 65_535, ..Options::default() });
    let padded = raw(DATA, flag::PADDED, 1, &[&[255][..], &[0; 255]].concat());
    for _ in 0..128 {
        client.hears(&padded).unwrap();
    }
    assert_eq!(client.sends(), ["WINDOW_UPDATE 1 32768"]);
    assert_eq!(client.told(), [""; 0]);
}

#[test]
fn content_beyond_a_streams_window_ends_the_connection() {
    let mut client = reading(Options::default());
    for _ in 0..2 {
        client.hears(&content(1, STREAM / 2)).unwrap();
    }
    let error = client.hears(&content(1, 1)).unwrap_err();
    assert_eq!(error.code(), ErrorCode::FLOW_CONTROL_ERROR);
    assert_eq!(error.what(), "DATA beyond a stream's window");
}

#[test]
fn content_beyond_the_connections_window_ends_it() {
    let options = Options { connection_window: 100_000, ..Options::default() };
    let mut client = reading(options);
    client.hears(&content(1, 100_000)).unwrap();
    let error = client.hears(&content(1, 1)).unwrap_err();
    assert_eq!(error.code(), ErrorCode::FLOW_CONTROL_ERROR);
    assert_eq!(error.what(), "DATA beyond the connection's window");
}

#[test]
fn what_was_not_read_of_a_stream_that_is_over_is_given_back_to_the_connection() {
    let options = Options { connection_window: 100_000, ..Options::default() };
    for end in ["clean", "reset", "reset by the peer"] {
        let mut client = reading(options);
        client.hears(&content(1, 60_000)).unwrap();
        assert_eq!(client.sends(), [""; 0]);
        match end {
            "clean" => {
                client.hears(&trailers(1)).unwrap();
            }
            "reset" => {
                client.connection.reset(StreamId::new(1), ErrorCode::CANCEL).unwrap();
            }
            _ => {
                client.hears(&reset(1, ErrorCode::CANCEL)).unwrap();
            }
        }
        let sent = client.sends();
        assert!(sent.contains(&"WINDOW_UPDATE 0 60000".into()), "{end}: {sent:?}");
        client.connection.release(StreamId::new(1), 60_000);
        assert_eq!(client.sends(), [""; 0], "{end}: not a second time");
    }
}

#[test]
fn content_of_streams_that_were_reset_counts_for_the_connection() {
    let options = Options { connection_window: 100_000, ..Options::default() };
    let mut client = reading(options);
    client.connection.reset(StreamId::new(1), ErrorCode::CANCEL).unwrap();
    client.sends();
    client.hears(&content(1, 49_999)).unwrap();
    assert_eq!(client.sends(), [""; 0]);
    client.hears(&content(1, 1)).unwrap();
    assert_eq!(client.sends(), ["WINDOW_UPDATE 0 50000"]);
}

#[test]
fn a_request_waits_for_the_windows() {
    let mut client = Client::new();
    let id = client.opens();
    client.connection.send(id, Bytes::from(vec![0; 100_000]), true).unwrap();
    let whole = "DATA 1 16384";
    assert_eq!(client.sends(), ["HEADERS 1", whole, whole, whole, "DATA 1 16383"]);
    assert_eq!(client.connection.unsent(id), 34_465);
    client.hears(&window_update(1, 50_000)).unwrap();
    assert_eq!(client.sends(), [""; 0], "the connection's window is used up too");
    client.hears(&window_update(0, 20_000)).unwrap();
    assert_eq!(client.sends(), [whole, "DATA 1 3616"]);
    client.hears(&window_update(0, 20_000)).unwrap();
    assert_eq!(client.sends(), ["DATA 1 14465 end"]);
}

#[test]
fn an_end_needs_no_window() {
    let mut client = Client::with(Options::default(), &[(INITIAL_WINDOW_SIZE, 0)]);
    let id = client.opens();
    client.connection.send(id, Bytes::new(), true).unwrap();
    assert_eq!(client.sends(), ["HEADERS 1", "DATA 1 0 end"]);
}

/// CVE-2019-9511 and its like: what waits is bounded by the owner, who knows how much it is, and it can be given up.
#[test]
fn a_peer_without_a_window_can_be_given_up() {
    let mut client = Client::with(Options::default(), &[(INITIAL_WINDOW_SIZE, 0)]);
    let id = client.opens();
    client.connection.send(id, Bytes::from_static(b"message"), true).unwrap();
    assert_eq!(client.sends(), ["HEADERS 1"]);
    assert_eq!(client.connection.unsent(id), 7);
    assert_eq!(client.connection.reset(id, ErrorCode::CANCEL), Some(((), Sent::Part)));
    assert_eq!(client.sends(), ["RST_STREAM 1 CANCEL"]);
    client.hears(&window_update(1, 100)).unwrap();
    assert_eq!(client.sends(), [""; 0]);
}

#[test]
fn a_window_that_is_made_smaller_may_be_below_zero() {
    let mut client = Client::new();
    let id = client.opens();
    client.connection.send(id, Bytes::from(vec![0; 10_000]), false).unwrap();
    client.sends();
    client.hears(&settings(&[(INITIAL_WINDOW_SIZE, 1000)])).unwrap();
    client.sends();
    client.connection.send(id, Bytes::from_static(b"ten bytes."), false).unwrap();
    client.hears(&window_update(1, 9000)).unwrap();
    assert_eq!(client.sends(), [""; 0], "10 000 of 10 000 bytes are used");
    client.hears(&window_update(1, 3)).unwrap();
    assert_eq!(client.sends(), ["DATA 1 3"]);
    client.hears(&settings(&[(INITIAL_WINDOW_SIZE, 1004)])).unwrap();
    assert_eq!(client.sends(), ["SETTINGS ack", "DATA 1 4"]);
}

/// A stream that stands in line, as the connection's window is used up, when its own window becomes nothing.
#[test]
fn a_stream_whose_window_shrinks_while_it_waits_sends_no_empty_frames() {
    let mut client = Client::new();
    let (first, second) = (client.opens(), client.opens());
    client.connection.send(first, Bytes::from(vec![0; 65_535]), true).unwrap();
    client.connection.send(second, Bytes::from_static(b"waits"), true).unwrap();
    client.sends();
    assert_eq!(client.connection.waiting(), 1);
    client.hears(&settings(&[(INITIAL_WINDOW_SIZE, 0)])).unwrap();
    client.hears(&window_update(0, 100)).unwrap();
    assert_eq!(client.sends(), ["SETTINGS ack"]);
    client.hears(&window_update(second.get(), 3)).unwrap();
    assert_eq!(client.sends(), ["DATA 3 3"]);
    client.hears(&settings(&[(INITIAL_WINDOW_SIZE, 10)])).unwrap();
    assert_eq!(client.sends(), ["SETTINGS ack", "DATA 3 2 end"]);
}

/// Else small requests would take all of a scarce window, one after the other.
#[test]
fn who_waits_for_the_connections_window_is_not_overtaken() {
    let mut client = Client::with(Options::default(), &[(INITIAL_WINDOW_SIZE, 1 << 20)]);
    let (large, small) = (client.opens(), client.opens());
    client.connection.send(large, Bytes::from(vec![0; 100_000]), true).unwrap();
    client.sends();
    client.hears(&window_update(0, 100)).unwrap();
    client.connection.send(small, Bytes::from_static(b"small"), true).unwrap();
    assert_eq!(client.sends(), ["DATA 1 100"]);
    client.hears(&window_update(0, 100)).unwrap();
    assert_eq!(client.sends(), ["DATA 3 5 end", "DATA 1 95"]);
}

#[test]
fn settings_that_make_a_window_too_large_end_the_connection() {
    let mut client = Client::new();
    client.opens();
    client.hears(&window_update(1, 1)).unwrap();
    let error = client.hears(&settings(&[(INITIAL_WINDOW_SIZE, (1 << 31) - 1)])).unwrap_err();
    assert_eq!(error.code(), ErrorCode::FLOW_CONTROL_ERROR);
}

#[test]
fn a_connections_window_that_becomes_too_large_ends_it() {
    let mut client = Client::new();
    let error = client.hears(&window_update(0, (1 << 31) - 1)).unwrap_err();
    assert_eq!(error.code(), ErrorCode::FLOW_CONTROL_ERROR);
}

#[test]
fn an_owner_who_sent_too_much_is_told_when_there_is_room() {
    let mut client = Client::with(Options::default(), &[(INITIAL_WINDOW_SIZE, 0)]);
    let (over, under) = (client.opens(), client.opens());
    client.connection.send(over, Bytes::from(vec![0; (64 << 10) + 1]), false).unwrap();
    client.connection.send(under, Bytes::from(vec![0; 64 << 10]), false).unwrap();
    client.sends();
    assert_eq!(client.connection.next_writable(), None);
    client.hears(&[window_update(1, 1), window_update(3, 1)].concat()).unwrap();
    client.sends();
    assert_eq!(client.connection.next_writable(), Some((over, &mut ())));
    assert_eq!(client.connection.next_writable(), None, "it is told once");
    client.connection.send(over, Bytes::from(vec![0; 1]), false).unwrap();
    client.connection.reset(over, ErrorCode::CANCEL).unwrap();
    assert_eq!(client.connection.next_writable(), None);
}

/// Streams that are opened, have to wait and are given up leave nothing behind.
#[test]
fn streams_that_are_given_up_leave_the_line() {
    let mut client = Client::new();
    let first = client.opens();
    client.connection.send(first, Bytes::from(vec![0; 70_000]), true).unwrap();
    client.sends();
    for _ in 0..10_000 {
        let id = client.opens();
        client.connection.send(id, Bytes::from_static(b"waits"), true).unwrap();
        assert_eq!(client.connection.unsent(id), 5);
        client.connection.reset(id, ErrorCode::CANCEL).unwrap();
        client.sends();
    }
    assert!(client.connection.waiting() < 100, "{}", client.connection.waiting());
    client.connection.shrink();
    assert_eq!(client.connection.waiting(), 0);
    let id = client.opens();
    client.connection.send(id, Bytes::from_static(b"waits"), true).unwrap();
    client.hears(&window_update(0, 100)).unwrap();
    assert_eq!(client.sends(), [format!("HEADERS {id}"), format!("DATA {id} 5 end")]);
}
