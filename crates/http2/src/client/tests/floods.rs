//! Peers that want our memory or our time.

use super::*;

const CALM: ErrorCode = ErrorCode::ENHANCE_YOUR_CALM;

/// How often the peer may say it before the connection is over, of a hundred thousand.
fn endures(client: &mut Client, wire: &[u8]) -> usize {
    let last = (0..100_000).find(|_| match client.hears(wire) {
        Ok(_) => false,
        Err(error) => {
            assert_eq!(error.code(), CALM, "{error}");
            true
        }
    });
    last.unwrap_or(100_000)
}

/// CVE-2019-9512, CVE-2019-9515.
#[test]
fn pings_and_settings_whose_answers_are_not_read_end_the_connection() {
    for wire in [raw(PING, 0, 0, &[0; 8]), settings(&[])] {
        assert_eq!(endures(&mut Client::new(), &wire), 1000);
    }
}

#[test]
fn pings_whose_answers_are_read_may_go_on_for_ever() {
    let mut client = Client::new();
    for _ in 0..50_000 {
        client.hears(&raw(PING, 0, 0, &[0; 8])).unwrap();
        client.sends();
    }
}

/// CVE-2024-27316 and its like.
#[test]
fn continuations_without_end_end_the_connection() {
    for (piece, most) in [(0, 80), (1, 80), (16_384, 16)] {
        let mut client = Client::new();
        client.asks();
        client.hears(&raw(HEADERS, 0, 1, STATUS_200)).unwrap();
        let endured = endures(&mut client, &raw(CONTINUATION, 0, 1, &vec![0x88; piece]));
        assert!(endured <= most && endured > 0, "{endured} pieces of {piece} bytes");
    }
}

#[test]
fn empty_content_without_end_ends_the_connection() {
    let mut client = Client::new();
    client.asks();
    client.hears(&answer_head(1)).unwrap();
    assert_eq!(endures(&mut client, &content(1, 0)), 10_000);
}

#[test]
fn empty_content_between_content_is_endured() {
    let mut client = Client::new();
    client.told.releases = true;
    client.asks();
    client.hears(&answer_head(1)).unwrap();
    let wire = [content(1, 0), content(1, 0), content(1, 1)].concat();
    assert_eq!(endures(&mut client, &wire), 100_000);
}

#[test]
fn interim_heads_without_end_end_the_connection() {
    let mut client = Client::new();
    client.asks();
    let interim = raw(HEADERS, flag::END_HEADERS, 1, b"\x08\x03100");
    assert_eq!(endures(&mut client, &interim), 10_000);
}

#[test]
fn content_for_streams_that_ended_ends_the_connection() {
    let mut client = Client::new();
    client.asks();
    client.hears(&[answer_head(1), trailers(1)].concat()).unwrap();
    assert_eq!(endures(&mut client, &content(1, 0)), 10_000);
}

/// Of 1500 calls that are given up at once each is answered all the same, as the answers crossed the resets.
#[test]
fn answers_to_streams_that_were_reset_do_not_end_the_connection() {
    let mut client = Client::new();
    let ids: Vec<u32> = (0..1500).map(|_| client.asks()).collect();
    for id in &ids {
        client.connection.reset(StreamId::new(*id), ErrorCode::CANCEL).unwrap();
    }
    client.sends();
    for id in ids {
        client.hears(&[answer_head(id), content(id, 100), trailers(id)].concat()).unwrap();
    }
    let id = client.asks();
    client.hears(&[answer_head(id), trailers(id)].concat()).unwrap();
    assert_eq!(client.told().last().unwrap(), &format!("{id} ended Clean, sent All"));
}

#[test]
fn no_stream_is_opened_while_too_much_waits_for_the_socket() {
    let options = Options { max_output: 1000, ..Options::default() };
    let mut client = Client::with(options, &[]);
    let mut opened = 0;
    while client.connection.room() > 0 {
        let id = client.opens();
        client.connection.reset(id, ErrorCode::CANCEL).unwrap();
        opened += 1;
    }
    assert!(opened > 10 && client.connection.output().len() < 1100, "{opened}");
    client.sends();
    assert!(client.connection.room() > 0);
}
