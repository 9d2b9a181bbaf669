//! The task of a leasing layer: it gives keys back to those who ask, and begins a new session when one is lost.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::write::REVOKE;
use super::{Prefix, Shared};
use crate::client::Client;
use crate::clock;
use crate::concurrency::{Session, SessionOptions};
use crate::error::{Error, ErrorKind, Result};
use crate::request::{Compare, Delete, KeyRange, Txn, Watch};
use crate::response::KeyValue;
use crate::revision::Revision;
use crate::service::Service;
use crate::task::{Either, Task, race, spawn};
use crate::watch::{Resync, ResyncWatch};

/// Between two attempts to begin a session, or to give a key back.
const PAUSE: Duration = Duration::from_millis(500);
/// So many keys are given back at a time: after a gap it is all of them.
const AT_ONCE: usize = 32;

pub(super) fn start<S: Service + Clone>(
    client: Client<S>,
    prefix: Prefix,
    session: Session<S>,
    options: SessionOptions,
    shared: Arc<Shared<S>>,
) -> Task {
    spawn(run(client, prefix, session, options, shared))
}

async fn run<S: Service + Clone>(
    client: Client<S>,
    prefix: Prefix,
    mut session: Session<S>,
    options: SessionOptions,
    shared: Arc<Shared<S>>,
) {
    let mut asked = client.watch_resync(Watch::new(KeyRange::prefix(prefix.as_bytes())));
    loop {
        let serving = Box::pin(serve(&client, &prefix, &session, &options, &mut asked, &shared));
        if let Either::Second(()) = race(session.lost(), serving).await {
            // Without a watch nobody can ask: nothing may be owned any more.
            if let Some(session) = shared.close() {
                let _ = session.close().await;
            }
            return;
        }
        if !shared.lose_session() {
            return;
        }
        session = loop {
            match client.session(options.clone()).await {
                Ok(session) => break session,
                Err(_) => clock::sleep(PAUSE).await,
            }
        };
        if !shared.begin_session(&session) {
            let _ = session.close().await;
            return;
        }
    }
}

/// Gives back what is asked for, until the watch can't go on.
async fn serve<S: Service + Clone>(
    client: &Client<S>,
    prefix: &Prefix,
    session: &Session<S>,
    options: &SessionOptions,
    asked: &mut ResyncWatch<S>,
    shared: &Shared<S>,
) {
    loop {
        let owners = match race(asked.next(), shared.work.notified()).await {
            Either::First(Some(Ok(change))) => {
                // What happened in a gap is not known of each key, and the history may have gone back in it.
                if matches!(change, Resync::State { .. }) && asked.resyncs() > 1 {
                    shared.give_all_up(prefix);
                }
                answer(prefix, session, shared, change)
            }
            Either::First(Some(Err(_)) | None) => return,
            Either::Second(()) => Vec::new(),
        };
        let given_up = owners.into_iter().chain(shared.take_given_up());
        let is_vain = |error: &Error| options.grants() && is_vain(error);
        let deletions = given_up.map(|(owner, since)| give_back(client, owner, since, is_vain));
        let given_back = stream::iter(deletions).buffer_unordered(AT_ONCE);
        if given_back.try_collect::<()>().await.is_err() {
            // What can't be deleted ends with the lease, which is the session's own and not renewed from here on. The next session
            // may fare better.
            let _ = session.close().await;
        }
    }
}

/// Forgets what others ask for, before they are told: the owners' keys to be deleted.
fn answer<S: Service + Clone>(
    prefix: &Prefix,
    session: &Session<S>,
    shared: &Shared<S>,
    change: Resync,
) -> Vec<(Bytes, Revision)> {
    let mut owners = Vec::new();
    let key = |owner: &[u8]| owner.strip_prefix(&prefix.as_bytes()[..]).map(Bytes::copy_from_slice);
    let mut put = |kv: &KeyValue| {
        let Some(key) = key(kv.key()).filter(|_| kv.value() == REVOKE) else { return };
        shared.table().refuse(&key, clock::now());
        if kv.lease() == Some(session.lease()) {
            owners.push((Bytes::copy_from_slice(kv.key()), kv.create_revision()));
        }
    };
    let gone = |owner: &[u8], at: Revision| {
        // The holding that ended, and not one that began after it.
        if let Some(key) = key(owner) {
            shared.table().gone(&key, at);
        }
    };
    match change {
        Resync::State { changed, vanished, revision } => {
            changed.iter().for_each(&mut put);
            vanished.iter().for_each(|owner| gone(owner, revision));
        }
        Resync::Events(events) => {
            for event in events {
                if event.is_put() {
                    put(event.kv());
                } else {
                    gone(event.key(), event.revision());
                }
            }
        }
    }
    owners
}

/// Whether it is no use to try again.
fn is_vain(error: &Error) -> bool {
    use ErrorKind::{ClusterChanged, ResourceExhausted};
    // After a history that went back there is something to try with.
    !error.is_retryable() && !matches!(error.kind(), ClusterChanged | ResourceExhausted)
}

/// Deletes an owner's key, if it is still the one made at `since`.
async fn give_back<S: Service>(
    client: &Client<S>,
    owner: Bytes,
    since: Revision,
    is_vain: impl Fn(&Error) -> bool,
) -> Result<()> {
    let ours = Compare::create_revision(&owner).eq(since);
    let delete = Txn::new().when([ours]).then([Delete::new(owner)]);
    loop {
        match client.call(delete.clone()).await {
            Err(error) if !is_vain(&error) => {
                // With the session, the key goes as well.
                clock::sleep(PAUSE).await;
            }
            done => return done.map(drop),
        }
    }
}
