//! `lock`: holds a lock, for as long as a command runs or until it is interrupted.

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use etcdkit::concurrency::{self, Mutex, SessionOptions};
use etcdkit::proto::etcdserverpb::{RangeRequest, RangeResponse};
use etcdkit::proto::method;
use etcdkit::{Client, Error, ErrorKind};

use super::print::{self, Display};
use super::session::Session;
use super::{heading, refusal};
use crate::child;
use crate::command::{Action, Call, Command, Flag};
use crate::console::Console;
use crate::failure::{Failure, Result};
use crate::notation::os_string;
use crate::signals::{self, Signals};

pub(super) static LOCK: Command = Command {
    usage: "lock <lockname> [exec-command arg1 arg2 ...]",
    short: "Acquires a named lock",
    heading: heading::CONCURRENCY,
    flags: &[Flag::int("ttl", "10", "timeout for session")],
    action: Action::Run(lock),
    ..Command::BASE
};

fn lock(call: &mut Call<'_>) -> Result<()> {
    let Some((name, words)) = call.arguments.split_first() else {
        return Err(Failure::bad_arguments(
            "lock takes a lock name argument and an optional command to execute",
        ));
    };
    let (name, words) = (name.clone(), words.to_vec());
    let ttl = ttl(call.flags.int("ttl"));
    let session = Session::open(call)?;
    let console = &mut *call.console;
    session.block_on(async {
        let failed = |error: Error| refusal::failure(&error);
        let client = session.patient();
        let lease = client.session(SessionOptions::new().ttl(ttl)).await.map_err(failed)?;
        let mut signals = listen()?;
        let mutex = Mutex::new(&lease, name);
        let guard = tokio::select! {
            guard = mutex.lock() => guard.map_err(failed)?,
            _ = signals.next() => {
                drop(mutex);
                give_back(&lease, async { Ok(()) }).await?;
                return Err(interrupted());
            }
        };
        let outcome = if words.is_empty() {
            let lost = async {
                let loss = guard.lost().await;
                Failure::error("session expired")
                    .with_hint(format!("the lock may have gone to another: {loss:?}"))
            };
            hold(&client, session.display, console, guard.key(), lost, &mut signals).await
        } else {
            console.flush()?;
            let variables = [
                ("ETCD_LOCK_KEY", os_string::from_bytes(guard.key())),
                ("ETCD_LOCK_REV", guard.fencing_token().to_string().into()),
            ];
            child::run(&words, &variables).await.map_err(|(code, why)| Failure::new(code, why))
        };
        let was_held = give_back(&lease, guard.unlock()).await;
        // How the command went counts for more than what became of the lock.
        outcome?;
        if !was_held? {
            console.hint(
                "the lock was lost meanwhile: what was done under it was perhaps not done alone",
            );
        }
        Ok(())
    })
}

/// Shows the key of what is held, and holds it until it is lost, which is a failure, or an interrupt.
pub(super) async fn hold(
    client: &Client,
    display: Display,
    console: &mut Console,
    key: &Bytes,
    lost: impl Future<Output = Failure>,
    signals: &mut Signals,
) -> Result<()> {
    let mut lost = pin!(lost);
    tokio::select! {
        response = read(client, key) => show(display, console, &response?)?,
        failure = &mut lost => return Err(failure),
        _ = signals.next() => return Err(interrupted()),
    }
    tokio::select! {
        failure = lost => Err(failure),
        _ = signals.next() => Ok(()),
    }
}

/// Interrupts from now on. Before a session there is nothing to put right after one.
pub(super) fn listen() -> Result<Signals> {
    Signals::listen().map_err(|error| Failure::error(format!("cannot wait for signals: {error}")))
}

/// Releases what a session holds, and then ends the session; whether it held it until then. It takes little longer than
/// the session lives by itself, and ends with another interrupt.
pub(super) async fn give_back(
    session: &concurrency::Session,
    release: impl Future<Output = etcdkit::Result<()>>,
) -> Result<bool> {
    let giving = async {
        let Ok(released) = session.while_alive(release).await else {
            // There is nothing left to give back.
            return Ok(false);
        };
        let closed = session.close().await;
        match released {
            Err(error) if error.kind() == ErrorKind::NotFound => closed.map(|()| false),
            released => released.and(closed).map(|()| true),
        }
    };
    tokio::select! {
        given = giving => given.map_err(|error| refusal::failure(&error)),
        _ = signals::interrupted() => Err(interrupted()),
    }
}

/// The time to live of a session; the server has a least one of its own.
pub(super) fn ttl(seconds: i64) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0).max(1))
}

/// Who had enough of waiting got nothing.
pub(super) fn interrupted() -> Failure {
    Failure::error("context canceled")
}

/// What there is of a key.
pub(super) async fn read(client: &Client, key: &Bytes) -> Result<RangeResponse> {
    let request = RangeRequest { key: key.clone(), ..RangeRequest::default() };
    client.raw(method::kv::RANGE, &request).await.map_err(|error| refusal::failure(&error))
}

/// Prints keys as `get` does.
pub(super) fn show(
    display: Display,
    console: &mut Console,
    response: &RangeResponse,
) -> Result<()> {
    display.show(console, response, |text| {
        for kv in &response.kvs {
            print::key_value(text, display.hex, kv);
        }
    })?;
    Ok(console.flush()?)
}
