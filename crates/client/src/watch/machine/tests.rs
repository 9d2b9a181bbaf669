//! The machine in cases of their own; `schedules.rs` has generated ones.

mod schedules;

use std::time::Duration;

use bytes::Bytes;
use etcdkit_proto::etcdserverpb::{WatchCreateRequest, WatchResponse as Wire};
use etcdkit_proto::mvccpb::{self, KeyValue};

use super::*;
use crate::clock;
use crate::request::Watch;

const TRUSTED: Server = Server { progress: true, denial_is_ambiguous: false, repeats: false };

fn event(key: &'static str, revision: i64) -> mvccpb::Event {
    let kv = KeyValue { key: key.into(), mod_revision: revision, ..KeyValue::default() };
    mvccpb::Event { kv: Some(kv), ..mvccpb::Event::default() }
}

/// A machine with one watch of `a`..`c` from revision 5 on, which the server has under the id that is returned.
fn watching(server: Server, watch: Watch) -> (Machine<Key>, i64) {
    let random = fastrand::Rng::with_seed(7);
    let mut machine = Machine::new(RetryPolicy::default(), true, random);
    let settings = watch.settings();
    machine.add(1, watch.into_wire(), &settings, 1);
    machine.opening();
    machine.opened(server, clock::now());
    let id = own_id(1, 1);
    machine.receive(Wire { created: true, watch_id: id, ..Wire::default() }, 0);
    while machine.output().is_some() {}
    (machine, id)
}

fn at(revision: i64) -> Option<wire::ResponseHeader> {
    Some(wire::ResponseHeader { revision, ..wire::ResponseHeader::default() })
}

fn range() -> Watch {
    Watch::range("a", "c").from_revision(5)
}

/// The end that the one watch comes to.
fn end_of(machine: &mut Machine<Key>) -> Option<Error> {
    let mut end = None;
    while let Some(output) = machine.output() {
        if let Output::End(_, error) = output {
            assert!(end.is_none(), "two ends");
            end = Some(error);
        }
    }
    end
}

#[test]
fn a_broken_promise_is_told_and_named() {
    let table = [
        ("Ordered", vec![event("a", 7), event("b", 6)]),
        ("Unique", vec![event("a", 4)]),
        ("Unique", vec![event("a", 7), event("a", 7)]),
        ("Filter", vec![event("c", 7)]),
    ];
    for (promise, events) in table {
        let (mut machine, id) = watching(TRUSTED, range());
        machine.receive(Wire { watch_id: id, events, ..Wire::default() }, 0);
        let error = end_of(&mut machine).unwrap();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().contains(promise), "{promise}: {error}");
    }
    // Atomic: more of a revision that was complete. Bookmarkable: something of before a notification.
    let (mut machine, id) = watching(TRUSTED, range());
    machine.receive(Wire { watch_id: id, events: vec![event("a", 7)], ..Wire::default() }, 0);
    machine.receive(Wire { watch_id: id, events: vec![event("b", 7)], ..Wire::default() }, 0);
    assert_eq!(end_of(&mut machine).unwrap().kind(), ErrorKind::Corrupt);
    let (mut machine, id) = watching(TRUSTED, range());
    let header = Some(wire::ResponseHeader { revision: 9, ..wire::ResponseHeader::default() });
    machine.receive(Wire { watch_id: -1, header, ..Wire::default() }, 0);
    machine.receive(Wire { watch_id: id, events: vec![event("b", 8)], ..Wire::default() }, 0);
    assert_eq!(end_of(&mut machine).unwrap().kind(), ErrorKind::Corrupt);
}

#[test]
fn servers_that_repeat_themselves_are_not_repeated() {
    let server = Server { repeats: true, ..TRUSTED };
    let (mut machine, id) = watching(server, range());
    let events = vec![event("a", 4), event("a", 5)];
    machine.receive(Wire { watch_id: id, events, ..Wire::default() }, 0);
    let Some(Output::Deliver(_, response, _)) = machine.output() else { panic!("nothing came") };
    assert_eq!(response.events().len(), 1);
}

/// What is put together is bounded.
#[test]
fn a_revision_in_endless_pieces_ends_its_watch() {
    let (mut machine, id) = watching(TRUSTED, range());
    for (sent, key) in ["a1", "a2", "a3", "a4", "a5"].into_iter().enumerate() {
        assert!(end_of(&mut machine).is_none(), "after {sent} pieces");
        let events = vec![event(key, 7)];
        let piece = Wire { watch_id: id, fragment: true, events, ..Wire::default() };
        machine.receive(piece, LARGEST / 4);
    }
    let end = end_of(&mut machine).expect("four are as much as may come");
    assert_eq!(end.kind(), ErrorKind::ResourceExhausted);
}

/// Each piece was compared with all that came before it, so that many took hours.
#[test]
fn a_revision_in_very_many_pieces_is_put_together_at_once() {
    let (mut machine, id) = watching(TRUSTED, range());
    let piece = |number: i32| {
        let kv =
            KeyValue { key: format!("a{number}").into(), mod_revision: 7, ..Default::default() };
        let events = vec![mvccpb::Event { kv: Some(kv), ..Default::default() }];
        Wire { watch_id: id, fragment: true, events, ..Wire::default() }
    };
    for number in 0..100_000 {
        machine.receive(piece(number), 10);
    }
    assert!(machine.output().is_none());
    machine.receive(Wire { fragment: false, ..piece(100_000) }, 10);
    let Some(Output::Deliver(1, response, bytes)) = machine.output() else { panic!("not whole") };
    assert_eq!((response.events().len(), bytes), (100_001, 1_000_010));
}

/// Whatever the pieces: what is wrong with a revision is found.
#[test]
fn a_promise_that_is_broken_between_two_pieces_is_told_and_named() {
    let table = [
        ("Unique", vec![event("a", 7), event("b", 7)], vec![event("b", 7)]),
        ("Unique", vec![event("a", 7)], vec![event("b", 7), event("b1", 7), event("b", 7)]),
        ("Unique", vec![event("a", 7)], vec![event("b", 7), event("a", 8), event("a", 8)]),
        ("Ordered", vec![event("a", 7)], vec![event("b", 6)]),
        ("Ordered", vec![event("a", 7)], vec![event("b", 7), event("b", 6)]),
        ("Filter", vec![event("a", 7)], vec![event("c", 7)]),
    ];
    for (promise, one, other) in table {
        for fragment in [true, false] {
            let (mut machine, id) = watching(TRUSTED, range());
            let piece = |events| Wire { watch_id: id, fragment: true, events, ..Wire::default() };
            machine.receive(piece(one.clone()), 10);
            assert!(machine.output().is_none());
            machine.receive(Wire { fragment, ..piece(other.clone()) }, 10);
            let error = end_of(&mut machine).unwrap();
            assert_eq!(error.kind(), ErrorKind::Corrupt);
            assert!(error.to_string().contains(promise), "{promise}: {error}");
        }
    }
}

/// Neither the revision of "created" nor that of a batch is where a watch goes on, nor is progress that means nothing.
#[test]
fn only_events_and_trusted_progress_move_the_resume_point() {
    let at = |revision| Some(wire::ResponseHeader { revision, ..wire::ResponseHeader::default() });
    for (progress, expected) in [(true, 101), (false, 8)] {
        let (mut machine, id) = watching(Server { progress, ..TRUSTED }, range());
        let events = vec![event("a", 7)];
        let batch = Wire { watch_id: id, header: at(50), events, ..Wire::default() };
        machine.receive(batch, 0);
        machine.receive(Wire { watch_id: -1, header: at(100), ..Wire::default() }, 0);
        machine.lost(&Error::new(ErrorKind::Unavailable, "broke"), clock::now());
        machine.opening();
        while machine.output().is_some() {}
        machine.opened(TRUSTED, clock::now());
        let Some(Output::Send(request)) = machine.output() else { panic!("nothing was sent") };
        let Some(RequestUnion::Create(create)) = request.request_union else { panic!("no create") };
        assert_eq!(create.start_revision, expected);
    }
}

/// Progress that was asked for before the server had the watch can come after "created": etcd sends the two on ways of
/// their own. It would have the watch go on after events that it has yet to get.
#[test]
fn progress_that_was_asked_for_before_a_watch_says_nothing_about_it() {
    let at = |revision| Some(wire::ResponseHeader { revision, ..wire::ResponseHeader::default() });
    let random = fastrand::Rng::with_seed(7);
    let mut machine = Machine::new(RetryPolicy::default(), true, random);
    machine.opening();
    machine.opened(TRUSTED, clock::now());
    machine.request_progress();
    let settings = range().settings();
    machine.add(1, range().into_wire(), &settings, 1);
    let id = own_id(1, 1);
    let created = Wire { created: true, watch_id: id, header: at(20), ..Wire::default() };
    machine.receive(created, 0);
    machine.ask_progress(1);
    while machine.output().is_some() {}
    let progress = Wire { watch_id: -1, header: at(20), ..Wire::default() };
    machine.receive(progress.clone(), 0);
    assert!(machine.output().is_none(), "it is not the answer");
    let events = vec![event("a", 7)];
    machine.receive(Wire { watch_id: id, header: at(20), events, ..Wire::default() }, 0);
    assert!(matches!(machine.output(), Some(Output::Deliver(1, ..))));
    // This one is the answer to the second request.
    machine.receive(progress, 0);
    let Some(Output::Deliver(1, response, _)) = machine.output() else { panic!("no answer") };
    assert!(response.is_progress());
    assert!(matches!(machine.output(), Some(Output::Moved(1, to)) if to.get() == 20));
}

/// What the machine sends.
fn sent(machine: &mut Machine<Key>) -> Vec<RequestUnion> {
    let mut sent = Vec::new();
    while let Some(output) = machine.output() {
        match output {
            Output::Send(request) => sent.extend(request.request_union),
            Output::End(_, error) => panic!("{error}"),
            _ => {}
        }
    }
    sent
}

/// A watch of `a`..`c` from revision 100 on, of which the server has come to revision 9, and its id.
fn waiting() -> (Machine<Key>, i64) {
    let random = fastrand::Rng::with_seed(7);
    let mut machine = Machine::new(RetryPolicy::default(), true, random);
    let watch = range().from_revision(100);
    let settings = watch.settings();
    machine.add(1, watch.into_wire(), &settings, 1);
    machine.opening();
    machine.opened(TRUSTED, clock::now());
    let [RequestUnion::Create(create)] = &sent(&mut machine)[..] else { panic!("no creation") };
    assert_eq!(create.start_revision, 100);
    let created = |id| Wire { created: true, watch_id: id, header: at(9), ..Wire::default() };
    machine.receive(created(create.watch_id), 0);
    let sent = sent(&mut machine);
    let [RequestUnion::Cancel(cancel), RequestUnion::Create(again)] = &sent[..] else {
        panic!("{sent:?}")
    };
    assert_eq!((cancel.watch_id, again.start_revision), (create.watch_id, 9));
    machine.receive(created(again.watch_id), 0);
    assert!(machine.output().is_none(), "once is enough");
    (machine, again.watch_id)
}

/// etcd answers no request for progress on a stream of which a watch has yet to begin, so that a compaction ended the
/// others: it begins with what is there, and what was not asked for is left out.
#[test]
fn a_watch_from_a_future_revision_begins_early_and_shows_nothing_before_it() {
    let (mut machine, id) = waiting();
    let batch = |events| Wire { watch_id: id, header: at(101), events, ..Wire::default() };
    let piece = |events| Wire { fragment: true, ..batch(events) };
    machine.receive(batch(vec![event("a", 9), event("b", 99)]), 0);
    machine.receive(piece(vec![event("a", 99), event("a", 100)]), 0);
    assert!(machine.output().is_none());
    machine.receive(batch(vec![event("b", 100)]), 0);
    let Some(Output::Deliver(1, response, _)) = machine.output() else { panic!("nothing came") };
    assert_eq!(response.events().len(), 2);
    // From here on it is a watch like any other.
    machine.receive(batch(vec![event("a", 99)]), 0);
    assert_eq!(end_of(&mut machine).unwrap().kind(), ErrorKind::Corrupt);
}

/// What is compacted before the first revision of a watch is nothing that it misses.
#[test]
fn a_compaction_before_the_first_revision_of_a_watch_is_not_its_end() {
    for (compacted, ends) in [(50, false), (100, false), (101, true)] {
        let (mut machine, id) = waiting();
        let canceled = Wire { watch_id: id, canceled: true, header: at(101), ..Wire::default() };
        machine.receive(Wire { compact_revision: compacted, ..canceled }, 0);
        if ends {
            assert_eq!(end_of(&mut machine).unwrap().kind(), ErrorKind::Compacted);
            continue;
        }
        let sent = sent(&mut machine);
        let [RequestUnion::Cancel(_), RequestUnion::Create(again)] = &sent[..] else {
            panic!("{sent:?}")
        };
        assert_eq!(again.start_revision, 100);
    }
}

#[test]
fn a_history_that_goes_back_ends_what_saw_more() {
    let (mut machine, id) = watching(TRUSTED, range());
    let events = vec![event("a", 20)];
    machine.receive(Wire { watch_id: id, header: at(20), events, ..Wire::default() }, 0);
    machine.lost(&Error::new(ErrorKind::Unavailable, "broke"), clock::now());
    machine.opening();
    machine.opened(TRUSTED, clock::now());
    let id = own_id(1, 2);
    let created = Wire { created: true, watch_id: id, header: at(9), ..Wire::default() };
    machine.receive(created, 0);
    assert!(machine.wants_read().is_some(), "the member is behind: or is it the history?");
    assert!(machine.begin_read().is_some());
    machine.read_done(Ok(Revision::new(9)), clock::now());
    assert_eq!(end_of(&mut machine).unwrap().kind(), ErrorKind::ClusterChanged);
}

/// The watch has seen nothing yet, but other calls have: it waited for ever for a revision that had been before.
#[test]
fn a_history_that_went_back_before_the_first_stream_is_noticed() {
    let random = fastrand::Rng::with_seed(7);
    let mut machine = Machine::new(RetryPolicy::default(), true, random);
    machine.add(1, range().into_wire(), &range().settings(), 1);
    machine.opening();
    machine.heard(4);
    machine.opened(TRUSTED, clock::now());
    let created = Wire { created: true, watch_id: own_id(1, 1), header: at(2), ..Wire::default() };
    machine.receive(created, 0);
    assert!(machine.begin_read().is_some());
    machine.read_done(Ok(Revision::new(2)), clock::now());
    assert_eq!(end_of(&mut machine).unwrap().kind(), ErrorKind::ClusterChanged);
}

/// However many watches a member creates while it is behind what other calls saw.
#[test]
fn one_read_tells_for_many_watches_whether_the_history_went_back() {
    let (mut machine, _) = watching(TRUSTED, range());
    machine.heard(20);
    for key in 2..10 {
        let watch = range().from_revision(21);
        let settings = watch.settings();
        machine.add(key, watch.into_wire(), &settings, key);
        let [RequestUnion::Create(create)] = &sent(&mut machine)[..] else { panic!("no creation") };
        let watch_id = create.watch_id;
        machine.receive(Wire { created: true, watch_id, header: at(9), ..Wire::default() }, 0);
        assert!(machine.output().is_none(), "what is heard of is not ahead");
    }
    assert!(machine.begin_read().is_some());
    assert!(machine.wants_read().is_none());
    machine.read_done(Ok(Revision::new(20)), clock::now());
    assert!(machine.output().is_none() && machine.wants_read().is_none());
}

/// A read that was to tell whether the history went back, and failed, was forgotten.
#[test]
fn a_failed_read_is_made_again() {
    let (mut machine, id) = watching(TRUSTED, range());
    machine.receive(
        Wire { header: at(9), events: vec![event("a", 9)], watch_id: id, ..Wire::default() },
        10,
    );
    machine.lost(&Error::new(ErrorKind::Unavailable, "broke"), clock::now());
    machine.opening();
    machine.opened(TRUSTED, clock::now());
    let id = own_id(1, 2);
    machine.receive(Wire { header: at(5), created: true, watch_id: id, ..Wire::default() }, 0);
    for failures in 0..3 {
        assert!(machine.wants_read().is_some(), "after {failures} failures");
        assert!(machine.begin_read().is_some());
        let busy = Error::new(ErrorKind::Unavailable, "nobody is there");
        machine.read_done(Err(busy), clock::now());
        assert!(end_of(&mut machine).is_none());
    }
    assert!(machine.begin_read().is_some());
    machine.read_done(Ok(Revision::new(5)), clock::now());
    assert_eq!(end_of(&mut machine).unwrap().kind(), ErrorKind::ClusterChanged);
    assert!(machine.wants_read().is_none());
}

/// A client that only watched never heard how far the others were.
#[test]
fn a_read_tells_how_far_the_cluster_has_come() {
    let (mut machine, _) = watching(TRUSTED, range());
    machine.compare();
    assert!(machine.begin_read().is_some());
    let busy = Error::new(ErrorKind::Unavailable, "nobody is there");
    machine.read_done(Err(busy), clock::now());
    assert!(machine.wants_read().is_none(), "there is another time");
    machine.compare();
    assert!(machine.begin_read().is_some());
    machine.read_done(Ok(Revision::new(90)), clock::now());
    assert!(machine.shown() < 90);
    assert_eq!(machine.known(), 90);
    assert!(end_of(&mut machine).is_none() && machine.wants_read().is_none());
}

#[test]
fn without_a_leader_it_moves_or_ends_as_asked() {
    let no_leader = Error::from_status(crate::error::Code::Unavailable, "etcdserver: no leader");
    let (mut machine, _) = watching(TRUSTED, range());
    machine.lost(&no_leader, clock::now());
    assert!(matches!(machine.output(), Some(Output::Leave(_))));
    assert!(machine.wants_stream().is_some());
    let (mut machine, _) = watching(TRUSTED, range().end_without_leader());
    machine.lost(&no_leader, clock::now());
    assert_eq!(end_of(&mut machine).unwrap().kind(), ErrorKind::NoLeader);
}

#[test]
fn pauses_grow_and_begin_anew_after_a_success() {
    let (mut machine, id) = watching(TRUSTED, range());
    let broke = Error::new(ErrorKind::Unavailable, "broke");
    let start = clock::now();
    let mut now = start + Duration::from_secs(5);
    let mut pauses = Vec::new();
    for round in 0..12 {
        machine.lost(&broke, now);
        let at = machine.wants_stream().unwrap().unwrap();
        pauses.push(at - now);
        now = at;
        machine.opening();
        if round == 8 {
            machine.opened(TRUSTED, now);
            let id = id + 1;
            machine.receive(Wire { created: true, watch_id: id, ..Wire::default() }, 0);
            now += Duration::from_secs(2);
        }
    }
    assert!(pauses[8] > Duration::from_millis(400), "{pauses:?}");
    assert!(pauses[9] <= Duration::from_millis(25), "{pauses:?}");
    while machine.output().is_some() {}
}

/// Nobody waited any more for the stream and the read under way; the next watch wants them again.
#[test]
fn what_was_dropped_is_asked_for_again() {
    let random = fastrand::Rng::with_seed(7);
    let mut machine = Machine::new(RetryPolicy::default(), true, random);
    for key in [1, 3] {
        for (key, watch) in [(key, range()), (key + 1, Watch::new("a"))] {
            let settings = watch.settings();
            machine.add(key, watch.into_wire(), &settings, key);
        }
        assert!(machine.wants_stream().is_some() && machine.wants_read().is_some(), "{key}");
        machine.opening();
        assert!(machine.begin_read().is_some());
        assert!(machine.wants_stream().is_none() && machine.wants_read().is_none());
        machine.cancel(key);
        machine.cancel(key + 1);
        machine.dropped();
    }
    assert!(machine.is_empty() && machine.wants_stream().is_none());
}
