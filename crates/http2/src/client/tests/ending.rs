//! How streams and connections end, and what is certain about them then.

use super::*;
use crate::client::Refused;

#[test]
fn a_refused_stream_was_certainly_not_processed() {
    let mut client = Client::new();
    client.asks();
    client.asks();
    let wire = [reset(1, ErrorCode::REFUSED_STREAM), reset(3, ErrorCode::INTERNAL_ERROR)];
    client.hears(&wire.concat()).unwrap();
    assert_eq!(
        client.told(),
        ["1 ended Refused, sent All", "3 ended Reset(ErrorCode(2)), sent All"]
    );
    assert_eq!(client.sends(), [""; 0], "a reset is not answered by one");
}

/// Whoever repeats what was certainly not processed must not repeat what was.
#[test]
fn a_stream_with_a_head_is_not_taken_for_refused() {
    let mut client = Client::new();
    client.asks();
    client.asks();
    client.hears(&[answer_head(1), answer_head(3)].concat()).unwrap();
    client.told();
    client.hears(&reset(1, ErrorCode::REFUSED_STREAM)).unwrap();
    client.hears(&go_away(1, ErrorCode::NO_ERROR)).unwrap();
    assert_eq!(
        client.told(),
        [
            "1 ended Reset(ErrorCode(7)), sent All",
            "going away NO_ERROR: because",
            "3 ended Lost, sent All"
        ]
    );
}

#[test]
fn streams_beyond_the_last_of_a_go_away_end_and_others_go_on() {
    let mut client = Client::new();
    for _ in 0..3 {
        client.asks();
    }
    client.hears(&go_away(1, ErrorCode::NO_ERROR)).unwrap();
    assert_eq!(
        client.told(),
        [
            "going away NO_ERROR: because",
            "3 ended GoneAway, sent All",
            "5 ended GoneAway, sent All"
        ]
    );
    assert!(client.connection.is_going_away() && !client.connection.is_finished());
    let refused = client.connection.open(&mut Prepared::new([]), [], ()).unwrap_err();
    assert_eq!(refused, (Refused::GoingAway, ()));
    client.hears(&[answer_head(1), trailers(1)].concat()).unwrap();
    assert_eq!(client.told().last().unwrap(), "1 ended Clean, sent All");
    assert!(client.connection.is_finished());
}

#[test]
fn a_second_go_away_may_name_an_earlier_stream() {
    let mut client = Client::new();
    client.asks();
    client.asks();
    client.hears(&go_away(StreamId::MAX.get(), ErrorCode::NO_ERROR)).unwrap();
    assert_eq!(client.told(), ["going away NO_ERROR: because"]);
    client.hears(&go_away(1, ErrorCode::NO_ERROR)).unwrap();
    assert_eq!(client.told(), ["going away NO_ERROR: because", "3 ended GoneAway, sent All"]);
}

#[test]
fn a_lost_connection_says_how_much_the_socket_took() {
    let mut client = Client::new();
    client.asks();
    let unfinished = client.opens();
    client.sends();
    let torn = client.opens();
    client.connection.send(unfinished, Bytes::from_static(b"never"), true).unwrap();
    client.connection.send(torn, Bytes::from_static(b"sent"), true).unwrap();
    // All of the third stream's head but its last byte.
    client.connection.output().advance(8);
    client.connection.lose(&mut client.told);
    assert_eq!(
        client.told(),
        ["1 ended Lost, sent All", "3 ended Lost, sent Part", "5 ended Lost, sent Nothing"]
    );
    assert!(client.connection.is_finished());
    let refused = client.connection.open(&mut Prepared::new([]), [], ()).unwrap_err();
    assert_eq!(refused, (Refused::Over, ()));
}

#[test]
fn an_answer_that_comes_before_the_request_is_whole_ends_both() {
    let mut client = Client::new();
    let id = client.opens();
    client.connection.send(id, Bytes::from(vec![0; 100_000]), true).unwrap();
    client.sends();
    client.hears(&[answer_head(1), trailers(1)].concat()).unwrap();
    assert_eq!(client.told().last().unwrap(), "1 ended Clean, sent Part");
    client.hears(&window_update(1, 100_000)).unwrap();
    assert_eq!(client.sends(), ["RST_STREAM 1 NO_ERROR"], "and none of the rest");
    assert_eq!(client.connection.unsent(id), 0);
}

/// What stands in the output is written yet: who knows whether a request was seen must not go by what was taken by then.
#[test]
fn a_request_that_is_reset_before_it_is_written_may_be_seen_all_the_same() {
    let mut client = Client::new();
    let (whole, part) = (client.opens(), client.opens());
    client.connection.send(whole, Bytes::from_static(b"message"), true).unwrap();
    assert_eq!(client.connection.reset(whole, ErrorCode::CANCEL), Some(((), Sent::All)));
    assert_eq!(client.connection.reset(part, ErrorCode::CANCEL), Some(((), Sent::Part)));
    assert_eq!(
        client.sends(),
        ["HEADERS 1", "HEADERS 3", "DATA 1 7 end", "RST_STREAM 1 CANCEL", "RST_STREAM 3 CANCEL"]
    );
}

#[test]
fn a_stream_that_was_reset_is_told_of_no_more() {
    let mut client = Client::new();
    let id = StreamId::new(client.asks());
    assert_eq!(client.connection.reset(id, ErrorCode::CANCEL), Some(((), Sent::All)));
    assert_eq!(client.sends(), ["RST_STREAM 1 CANCEL"]);
    assert_eq!(client.connection.reset(id, ErrorCode::CANCEL), None);
    client.hears(&[answer_head(1), content(1, 5), trailers(1)].concat()).unwrap();
    assert!(client.told().is_empty() && client.sends().is_empty());
}

#[test]
fn numbers_that_are_used_up_are_like_going_away() {
    let mut client = Client::new();
    client.connection.next = StreamId::MAX.get();
    assert_eq!(client.opens(), StreamId::MAX);
    assert!(client.connection.is_going_away() && !client.connection.is_finished());
    assert_eq!(client.connection.room(), 0);
    let refused = client.connection.open(&mut Prepared::new([]), [], ()).unwrap_err();
    assert_eq!(refused, (Refused::GoingAway, ()));
    client.hears(&answer_head(StreamId::MAX.get())).unwrap();
    client.hears(&trailers(StreamId::MAX.get())).unwrap();
    assert!(client.connection.is_finished());
}
