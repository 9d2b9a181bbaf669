//! Peers that want our memory or our time.

use super::*;
use crate::hpack::Indexing;

const CALM: ErrorCode = ErrorCode::ENHANCE_YOUR_CALM;
/// How many frames that are good for nothing are endured. To set up a connection takes two.
const BUDGET: std::ops::RangeInclusive<usize> = 9_998..=10_000;

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

/// A watch of a key that never changes, for days: nothing goes to and fro but PINGs of ours and their answers.
#[test]
fn answers_to_our_pings_may_go_on_for_ever() {
    let mut client = Client::new();
    client.asks();
    client.hears(&answer_head(1)).unwrap();
    for _ in 0..50_000 {
        client.connection.ping([0; 8]);
        client.sends();
        client.hears(&raw(PING, flag::ACK, 0, &[0; 8])).unwrap();
    }
}

/// An upload keeps the output full: each answer is written behind 256 KiB of it, and read that much later.
#[test]
fn pings_during_a_long_upload_do_not_end_the_connection() {
    let windows = [(INITIAL_WINDOW_SIZE, (1 << 31) - 1), (MAX_FRAME_SIZE, 1 << 16)];
    let mut client = Client::with(Options::default(), &windows);
    client.hears(&window_update(0, (1 << 31) - 1 - 65_535)).unwrap();
    let id = client.opens();
    client.connection.send(id, Bytes::from(vec![0; 500 << 20]), true).unwrap();
    for _ in 0..5000 {
        client.hears(&raw(PING, 0, 0, &[0; 8])).unwrap();
        let output = client.connection.output();
        assert!(output.len() >= 256 << 10, "there always is more to write");
        output.advance(100_000);
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

/// The first piece of a block is bounded as those after it are: all are kept until the last is there.
#[test]
fn a_block_is_not_gathered_beyond_four_times_the_longest_list() {
    for (first, fits) in [(256 << 10, true), ((256 << 10) + 1, false)] {
        let mut client = Client::new();
        client.asks();
        let heard = client.hears(&raw(HEADERS, 0, 1, &vec![0x88; first]));
        assert_eq!(heard.map_err(|error| error.code()).err(), (!fits).then_some(CALM), "{first}");
    }
}

#[test]
fn empty_content_without_end_ends_the_connection() {
    let mut client = Client::new();
    client.asks();
    client.hears(&answer_head(1)).unwrap();
    assert!(BUDGET.contains(&endures(&mut client, &content(1, 0))));
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
    assert!(BUDGET.contains(&endures(&mut client, &interim)));
}

#[test]
fn frames_that_are_good_for_nothing_end_the_connection() {
    let dead = 1;
    let wires = [
        content(dead, 0),
        answer_head(dead),
        reset(dead, ErrorCode::CANCEL),
        window_update(dead, 1),
        window_update(dead, 0),
        raw(PRIORITY, 0, dead, &[0; 5]),
        raw(PRIORITY, 0, dead, &[0; 4]),
        raw(PING, flag::ACK, 0, &[0; 8]),
        raw(SETTINGS, flag::ACK, 0, &[]),
        raw(0xfa, 0, 0, b"an extension"),
    ];
    for wire in wires {
        let mut client = Client::new();
        client.asks();
        client.hears(&[answer_head(dead), trailers(dead)].concat()).unwrap();
        assert!(BUDGET.contains(&endures(&mut client, &wire)), "{wire:?}");
    }
}

/// Each is told, and the streams beyond it are looked for when it is another than before.
#[test]
fn farewells_without_end_end_the_connection() {
    let mut client = Client::new();
    assert!(BUDGET.contains(&endures(&mut client, &go_away(7, ErrorCode::NO_ERROR))));
}

/// CVE-2023-44487's kind of peer, the other way round: settings that change all windows, whose answers it reads.
#[test]
fn settings_without_end_end_the_connection() {
    let mut client = Client::new();
    let wire = settings(&[(INITIAL_WINDOW_SIZE, 1)]);
    for _ in 0..5000 {
        client.hears(&wire).unwrap();
        client.sends();
    }
    let rest = (0..100_000).find(|_| {
        client.sends();
        client.hears(&wire).is_err()
    });
    assert_eq!(rest, Some(10_000 - 2 - 5000), "two were spent to set the connection up");
}

/// A frame of a hundred thousand values, for each of which the window of each stream would be changed.
#[test]
fn of_many_initial_windows_in_one_frame_the_last_counts() {
    let mut client = Client::new();
    let id = client.opens();
    client.connection.send(id, Bytes::from(vec![0; 70_000]), true).unwrap();
    client.sends();
    // A value that would make the window too large, were it the last.
    client.hears(&window_update(1, 1)).unwrap();
    client.sends();
    let mut values = vec![(INITIAL_WINDOW_SIZE, (1 << 31) - 1); 1000];
    values.push((INITIAL_WINDOW_SIZE, 65_535 + 9));
    client.hears(&settings(&values)).unwrap();
    client.hears(&window_update(0, 100)).unwrap();
    assert_eq!(client.sends(), ["SETTINGS ack", "DATA 1 10"]);
}

/// Of 5000 calls that are given up at once each is answered all the same, as the answers crossed the resets. The content
/// of one comes in many frames.
#[test]
fn answers_to_streams_that_were_reset_do_not_end_the_connection() {
    let mut client = Client::new();
    let ids: Vec<u32> = (0..5000).map(|_| client.asks()).collect();
    for id in &ids {
        client.connection.reset(StreamId::new(*id), ErrorCode::CANCEL).unwrap();
    }
    client.sends();
    for id in ids {
        client.hears(&[answer_head(id), content(id, 100), trailers(id)].concat()).unwrap();
    }
    assert_eq!(endures(&mut client, &content(1, 10)), 100_000);
    let id = client.asks();
    client.hears(&[answer_head(id), trailers(id)].concat()).unwrap();
    assert_eq!(client.told().last().unwrap(), &format!("{id} ended Clean, sent All"));
}

/// Ten thousand connections that have nothing to do are no burden, whatever they did before.
#[test]
fn an_idle_connection_takes_little_memory() {
    let options = Options { streams_at_first: 1000, ..Options::default() };
    let mut client = Client::with(options, &[]);
    let field =
        |name, value| (Bytes::from_static(name), Bytes::from_static(value), Indexing::Repeats);
    let mut head = Prepared::new([
        field(b":method", b"POST"),
        field(b":path", b"/etcdserverpb.KV/Range"),
        field(b"content-type", b"application/grpc"),
        field(b"user-agent", b"a program of some kind/1.2.3"),
    ]);
    for _ in 0..1000 {
        let id = client.connection.open(&mut head, [], ()).unwrap();
        client.connection.send(id, Bytes::from(vec![0; 100]), true).unwrap();
    }
    client.sends();
    for id in (1..2000).step_by(2) {
        client.hears(&[answer_head(id), content(id, 100), trailers(id)].concat()).unwrap();
    }
    assert!(client.connection.memory() > 100_000, "{}", client.connection.memory());
    client.sends();
    client.connection.shrink();
    assert!(client.connection.memory() < 3000, "{}", client.connection.memory());
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
