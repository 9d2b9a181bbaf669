//! The machine against a store that loses answers, holds attempts back and has other writers.

use proptest::prelude::*;

use super::*;
use crate::response::{PutResponse, ResponseHeader};

const KEY: &str = "k";
const OURS: &str = "ours";

/// One key of a store, and who wrote it.
#[derive(Debug, Default)]
struct Store {
    revision: i64,
    key: Option<KeyValue>,
    /// The revisions at which the value of the machine under test was written.
    ours: Vec<Revision>,
    /// Attempts that a member holds back.
    late: Vec<Txn>,
}

impl Store {
    fn put(&mut self, value: &str) {
        self.revision += 1;
        let (create, version) = match &self.key {
            Some(kv) => (kv.create_revision(), kv.version() + 1),
            None => (Revision::new(self.revision), 1),
        };
        let kv = KeyValue::new(KEY, value.to_owned());
        self.key = Some(kv.with_revisions(create, self.revision).with_version(version));
        if value == OURS {
            self.ours.push(Revision::new(self.revision));
        }
    }

    fn delete(&mut self) {
        if self.key.take().is_some() {
            self.revision += 1;
        }
    }

    fn read(&self) -> GetResponse {
        GetResponse::new(ResponseHeader::at(self.revision), self.key.clone())
    }

    fn apply(&mut self, txn: &Txn) -> TxnResponse {
        let modified = self.key.as_ref().map_or(Revision::NONE, KeyValue::mod_revision);
        let expected = Txn::new()
            .when([Compare::mod_revision(KEY).eq(modified)])
            .then([Put::new(KEY, OURS)])
            .or_else([Get::new(KEY)]);
        if *txn == expected {
            self.put(OURS);
            let header = ResponseHeader::at(self.revision);
            TxnResponse::success(header, [PutResponse::new(header).into()])
        } else {
            TxnResponse::failure(ResponseHeader::at(self.revision), [self.read().into()])
        }
    }

    fn release(&mut self) {
        for txn in std::mem::take(&mut self.late) {
            self.apply(&txn);
        }
    }
}

/// What becomes of one attempt.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Answered,
    Refused,
    LostRequest,
    LostAnswer,
    Late,
    /// It takes the store over its quota: it is applied, and refused.
    OverQuota,
    /// The store was over its quota before.
    Full,
}

/// What others do before an attempt.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Others {
    Nothing,
    Put,
    Delete,
    /// A member lets go what it held back.
    Release,
}

fn lost() -> Error {
    Error::new(ErrorKind::Unavailable, "lost").with_maybe_applied(true)
}

fn no_space() -> Error {
    let full = ServerError::NoSpace;
    Error::from_status(full.code(), full.message()).with_maybe_applied(true)
}

fn refused() -> Error {
    Error::new(ErrorKind::Unavailable, "refused")
}

/// Runs `write` to its end over `script`; when that is over, all goes well.
fn run(store: &mut Store, write: PutOnce, script: &[(Others, Fate)]) -> Result<Revision> {
    let mut script = script.iter().copied();
    let mut attempts = Attempts::new(write);
    let mut step = attempts.begin();
    loop {
        let (others, fate) = script.next().unwrap_or((Others::Nothing, Fate::Answered));
        // That a key is deleted between two attempts to create it is what the machine can't see.
        let creating = attempts.unknown && attempts.followed == State::MISSING;
        match others {
            Others::Nothing => {}
            Others::Delete if creating => {}
            Others::Delete => store.delete(),
            Others::Put => store.put("theirs"),
            Others::Release => store.release(),
        }
        step = match (step, fate) {
            (Step::Done(revision), _) => return Ok(revision),
            (Step::Read(_), Fate::Refused | Fate::LostRequest) => attempts.read(Err(refused()))?,
            (Step::Read(_), _) => attempts.read(Ok(store.read()))?,
            (Step::Write(txn), Fate::Answered) => attempts.answered(store.apply(&txn))?,
            (Step::Write(_), Fate::Refused) => attempts.failed(refused())?,
            (Step::Write(_), Fate::LostRequest) => attempts.failed(lost())?,
            (Step::Write(txn), Fate::LostAnswer) => {
                store.apply(&txn);
                attempts.failed(lost())?
            }
            (Step::Write(txn), Fate::Late) => {
                store.late.push(txn);
                attempts.failed(lost())?
            }
            (Step::Write(txn), Fate::OverQuota) => {
                store.apply(&txn);
                attempts.failed(no_space())?
            }
            (Step::Write(_), Fate::Full) => attempts.failed(no_space())?,
        };
    }
}

fn store(history: &[&str]) -> Store {
    let mut store = Store { revision: 1, ..Store::default() };
    for value in history {
        store.put(value);
    }
    store
}

#[test]
fn an_answer_that_gets_lost_is_found_again() {
    use {Fate as F, Others as O};
    let lost = (O::Nothing, F::LostAnswer);
    for history in [&[][..], &["a"], &["a", "b"]] {
        let seen = store(history).key.unwrap_or_else(|| KeyValue::new(KEY, ""));
        let guarded = PutOnce::new(KEY, OURS).if_mod_revision(seen.mod_revision());
        for write in [PutOnce::new(KEY, OURS), PutOnce::replace(&seen, OURS), guarded] {
            let mut store = store(history);
            let written = run(&mut store, write, &[lost, lost, lost]).unwrap();
            assert_eq!(store.ours, [written]);
        }
    }
}

#[test]
fn who_writes_first_keeps_it() {
    use ErrorKind::{Conflict, Unavailable};
    use {Fate as F, Others as O};
    let seen = || store(&["a"]).key.unwrap();
    let revision = || PutOnce::new(KEY, OURS).if_mod_revision(seen().mod_revision());
    let replace = || PutOnce::replace(&seen(), OURS);
    let create = || PutOnce::create(KEY, OURS);
    /// The write, what happens, the kind of error, whether it may be applied, and how often it is.
    type Row = (PutOnce, &'static [(O, F)], ErrorKind, bool, usize);
    let table: [Row; 8] = [
        (replace(), &[(O::Put, F::Answered)], Conflict, false, 0),
        (create(), &[(O::Nothing, F::Answered)], Conflict, false, 0),
        (revision(), &[(O::Put, F::Answered)], Conflict, false, 0),
        (replace(), &[(O::Nothing, F::Refused)], Unavailable, false, 0),
        (replace(), &[(O::Nothing, F::LostAnswer), (O::Nothing, F::Refused)], Unavailable, true, 1),
        // Theirs is in the place of ours, so that ours never came.
        (replace(), &[(O::Nothing, F::LostRequest), (O::Put, F::Answered)], Conflict, false, 0),
        // Theirs came after whatever came after what we saw.
        (replace(), &[(O::Nothing, F::LostAnswer), (O::Put, F::Answered)], Conflict, true, 1),
        (replace(), &[(O::Nothing, F::LostAnswer), (O::Delete, F::Answered)], Conflict, true, 1),
    ];
    for (write, script, kind, maybe_applied, times) in table {
        let mut store = store(&["a"]);
        let error = run(&mut store, write.clone(), script).unwrap_err();
        let outcome = (error.kind(), error.maybe_applied(), store.ours.len());
        assert_eq!(outcome, (kind, maybe_applied, times), "{write:?} {script:?}");
    }
}

#[test]
fn a_write_that_a_full_store_refused_may_be_there() {
    use {Fate as F, Others as O};
    let replace = || PutOnce::replace(&store(&["a"]).key.unwrap(), OURS);
    let create = || PutOnce::create(KEY, OURS);
    for (history, write) in [(&["a"][..], replace()), (&[], create())] {
        let mut store = store(history);
        let written = run(&mut store, write, &[(O::Nothing, F::OverQuota)]).unwrap();
        assert_eq!(store.ours, [written]);
    }
    /// What is there, the write, what happens, whether it may be applied, and how often it is.
    type Row = (&'static [&'static str], PutOnce, &'static [(O, F)], bool, usize);
    let table: [Row; 6] = [
        (&["a"], replace(), &[(O::Nothing, F::Full)], false, 0),
        (&["a"], replace(), &[(O::Nothing, F::Full), (O::Put, F::Answered)], false, 0),
        (&["a"], replace(), &[(O::Nothing, F::LostRequest), (O::Nothing, F::Full)], true, 0),
        (&["a"], replace(), &[(O::Nothing, F::OverQuota), (O::Delete, F::Answered)], true, 1),
        (&["a"], replace(), &[(O::Nothing, F::OverQuota), (O::Nothing, F::Refused)], true, 1),
        // Another may have deleted it since.
        (&[], create(), &[(O::Nothing, F::Full)], true, 0),
    ];
    for (history, write, script, maybe_applied, times) in table {
        let mut store = store(history);
        let error = run(&mut store, write.clone(), script).unwrap_err();
        assert_eq!(error.server_error(), Some(ServerError::NoSpace), "{write:?} {script:?}");
        let outcome = (error.maybe_applied(), store.ours.len());
        assert_eq!(outcome, (maybe_applied, times), "{write:?} {script:?}");
    }
}

#[test]
fn a_write_without_a_condition_has_no_rivals() {
    use {Fate as F, Others as O};
    let script = [
        (O::Nothing, F::Answered),
        (O::Put, F::Answered),
        (O::Nothing, F::LostRequest),
        (O::Put, F::Answered),
        (O::Put, F::Answered),
        (O::Nothing, F::LostAnswer),
    ];
    let mut store = store(&["a"]);
    let written = run(&mut store, PutOnce::new(KEY, OURS), &script).unwrap();
    assert_eq!(store.ours, [written]);
}

#[test]
fn it_gives_up_in_the_end() {
    let mut lossy = store(&["a"]);
    let script = [(Others::Nothing, Fate::LostRequest); 20];
    let seen = lossy.key.clone().unwrap();
    let error = run(&mut lossy, PutOnce::replace(&seen, OURS), &script).unwrap_err();
    assert_eq!((error.kind(), error.maybe_applied()), (ErrorKind::Unavailable, true));

    let mut attempts = Attempts::new(PutOnce::create(KEY, OURS));
    assert!(matches!(attempts.begin(), Step::Write(_)));
    let late = Error::new(ErrorKind::Timeout, "late").with_maybe_applied(true);
    let error = attempts.failed(late).unwrap_err();
    assert_eq!((error.kind(), error.maybe_applied()), (ErrorKind::Timeout, true));

    let mut busy = store(&["a"]);
    let script = [(Others::Put, Fate::Answered); 20];
    let error = run(&mut busy, PutOnce::new(KEY, OURS), &script).unwrap_err();
    assert_eq!((error.kind(), error.maybe_applied()), (ErrorKind::Conflict, false));
}

#[test]
fn a_conflict_names_what_was_found() {
    let seen = store(&["a"]).key.unwrap();
    let mut changed = store(&["a", "b"]);
    let error = run(&mut changed, PutOnce::replace(&seen, OURS), &[]).unwrap_err();
    assert_eq!(
        error.to_string(),
        r#"another client changed the key b"k": it was expected to be as of revision 2, and was changed at revision 3"#
    );
    let error = run(&mut changed, PutOnce::create(KEY, OURS), &[]).unwrap_err();
    assert!(error.to_string().contains("expected to be missing"), "{error}");
    let error = run(&mut store(&[]), PutOnce::replace(&seen, OURS), &[]).unwrap_err();
    assert!(error.to_string().ends_with("and is missing"), "{error}");
}

#[test]
fn another_lease_is_not_ours() {
    let lease = LeaseId::new(5).unwrap();
    let mut attempts = Attempts::new(PutOnce::create(KEY, OURS).lease(lease));
    let _ = attempts.begin();
    attempts.unknown = true;
    let theirs = KeyValue::new(KEY, OURS).with_revisions(7, 7).with_version(1);
    assert_eq!(attempts.judge(Some(&theirs)), Verdict::Unknown);
    let ours = theirs.with_lease(lease);
    assert_eq!(attempts.judge(Some(&ours)), Verdict::Applied(Revision::new(7)));
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        Just(Fate::Answered),
        Just(Fate::Refused),
        Just(Fate::LostRequest),
        Just(Fate::LostAnswer),
        Just(Fate::Late),
        Just(Fate::OverQuota),
        Just(Fate::Full),
    ]
}

fn others() -> impl Strategy<Value = Others> {
    prop_oneof![
        3 => Just(Others::Nothing),
        1 => Just(Others::Put),
        1 => Just(Others::Delete),
        1 => Just(Others::Release),
    ]
}

proptest! {
    #[test]
    fn it_promises_what_happens(
        puts in 0usize..3,
        guard in 0..4,
        script in prop::collection::vec((others(), fate()), 0..10),
    ) {
        let mut store = store(&["a", "b"][..puts]);
        let write = match (guard, &store.key) {
            (0, _) => PutOnce::create(KEY, OURS),
            (1, Some(kv)) => PutOnce::replace(kv, OURS),
            (2, Some(kv)) => PutOnce::new(KEY, OURS).if_mod_revision(kv.mod_revision()),
            _ => PutOnce::new(KEY, OURS),
        };
        let outcome = run(&mut store, write, &script);
        store.release();
        match outcome {
            Ok(revision) => prop_assert_eq!(&store.ours, &[revision]),
            Err(error) if error.maybe_applied() => prop_assert!(store.ours.len() <= 1),
            Err(_) => prop_assert_eq!(store.ours.len(), 0),
        }
    }
}
