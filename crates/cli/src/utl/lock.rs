//! Waiting for a database that another process has open.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::{Duration, Instant};

use etcdkit_datadir::{Error, ErrorKind};

use super::refusal;
use crate::command::Call;
use crate::failure::Result;
use crate::pause;

/// How long between two attempts. etcd gives the database up when it ends, which takes longer.
const BETWEEN: Duration = Duration::from_millis(50);

/// Changes a database as soon as nobody else has it, until the time of `--timeout` is up; 0 is any time.
///
/// The outer error is that of the wait, the inner one that of the work.
pub(super) fn when_free<T>(
    call: &mut Call<'_>,
    mut work: impl FnMut() -> std::result::Result<T, Error>,
) -> Result<std::result::Result<T, Error>> {
    wait(call, || match work() {
        Err(error) if error.kind() == ErrorKind::InUse => Err(error.to_string()),
        done => Ok(done),
    })
}

/// Waits as long for a database that is only to be read, and keeps others from writing it for as long as what is returned
/// is there.
pub(super) fn hold_shared(call: &mut Call<'_>, path: &Path) -> Result<Option<File>> {
    let Ok(file) = File::open(path) else {
        // Who reads it says why.
        return Ok(None);
    };
    wait(call, || match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => {
            let path = path.display();
            Err(format!("{path}: another process, probably etcd, holds it open"))
        }
        // Nobody can hold what can't be locked.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(()),
    })?;
    Ok(Some(file))
}

/// Tries until nobody has the database, which an attempt says by an error, or the time is up.
fn wait<T>(
    call: &mut Call<'_>,
    mut attempt: impl FnMut() -> std::result::Result<T, String>,
) -> Result<T> {
    let deadline = deadline(call, pause::now());
    let mut told = false;
    loop {
        let busy = match attempt() {
            Ok(done) => return Ok(done),
            Err(busy) => busy,
        };
        if deadline.is_some_and(|deadline| pause::now() >= deadline) {
            return Err(refusal::in_use(&busy));
        }
        if !std::mem::replace(&mut told, true) && call.console.err_is_terminal() {
            call.console.error_line(format_args!("waiting: {busy}"));
        }
        pause::pause(BETWEEN);
    }
}

fn deadline(call: &Call<'_>, now: Instant) -> Option<Instant> {
    let flags = &call.flags;
    // etcdctl has no such flag.
    if flags.flags().all(|flag| flag.name != "timeout") {
        return Some(now);
    }
    let timeout = flags.duration("timeout");
    (!timeout.is_zero()).then(|| now + timeout)
}
