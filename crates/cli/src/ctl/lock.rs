//! `lock`: holds a lock, for as long as a command runs or until it is interrupted.

use std::time::Duration;

use etcdkit::concurrency::{Mutex, SessionOptions};
use etcdkit::proto::etcdserverpb::{RangeRequest, RangeResponse};
use etcdkit::proto::method;
use etcdkit::{Client, Error};

use super::print::{self, Display};
use super::session::Session;
use super::{heading, refusal};
use crate::child;
use crate::command::{Action, Call, Command, Flag};
use crate::console::Console;
use crate::failure::{Failure, Result};

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
        let lease = session.client.session(SessionOptions::new().ttl(ttl)).await.map_err(failed)?;
        let mutex = Mutex::new(&lease, name);
        let guard = tokio::select! {
            guard = mutex.lock() => guard.map_err(failed)?,
            () = child::interrupted() => {
                drop(mutex);
                lease.close().await.map_err(failed)?;
                return Err(interrupted());
            }
        };
        let outcome = if words.is_empty() {
            show_key(&session.client, session.display, console, guard.key()).await?;
            tokio::select! {
                loss = guard.lost() => Err(lost(loss)),
                () = child::interrupted() => Ok(()),
            }
        } else {
            console.flush()?;
            let variables = [
                ("ETCD_LOCK_KEY", String::from_utf8_lossy(guard.key()).into_owned()),
                ("ETCD_LOCK_REV", guard.fencing_token().to_string()),
            ];
            child::run(&words, &variables).await.map_err(|(code, why)| Failure::new(code, why))
        };
        guard.unlock().await.map_err(failed)?;
        lease.close().await.map_err(failed)?;
        outcome
    })
}

/// The time to live of a session; the server has a least one of its own.
pub(super) fn ttl(seconds: i64) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0).max(1))
}

/// Who had enough of waiting got nothing.
pub(super) fn interrupted() -> Failure {
    Failure::error("context canceled")
}

fn lost(loss: impl std::fmt::Debug) -> Failure {
    Failure::error("session expired")
        .with_hint(format!("the lock may have gone to another: {loss:?}"))
}

/// Prints a key as `get` does.
pub(super) async fn show_key(
    client: &Client,
    display: Display,
    console: &mut Console,
    key: &bytes::Bytes,
) -> Result<()> {
    let request = RangeRequest { key: key.clone(), ..RangeRequest::default() };
    let response: RangeResponse =
        client.raw(method::kv::RANGE, &request).await.map_err(|error| refusal::failure(&error))?;
    display.show(console, &response, |text| {
        for kv in &response.kvs {
            print::key_value(text, display.hex, kv);
        }
    })?;
    Ok(console.flush()?)
}
