//! Waiting for a database that another process has open.

use std::time::{Duration, Instant};

use etcdkit_datadir::{Error, ErrorKind};

use super::refusal;
use crate::command::Call;
use crate::failure::Result;
use crate::pause;

/// How long between two attempts. etcd gives the database up when it ends, which takes longer.
const BETWEEN: Duration = Duration::from_millis(50);

/// Does something with a database as soon as nobody else has it, until the time of `--timeout` is up; 0 is any time.
///
/// The outer error is that of the wait, the inner one that of the work.
pub(super) fn when_free<T>(
    call: &mut Call<'_>,
    mut work: impl FnMut() -> std::result::Result<T, Error>,
) -> Result<std::result::Result<T, Error>> {
    let deadline = deadline(call, pause::now());
    let mut told = false;
    loop {
        match work() {
            Err(error) if error.kind() == ErrorKind::InUse => {
                if deadline.is_some_and(|deadline| pause::now() >= deadline) {
                    return Err(refusal::in_use(&error.to_string()));
                }
                if !std::mem::replace(&mut told, true) && call.console.err_is_terminal() {
                    call.console.error_line(format_args!("waiting: {error}"));
                }
                pause::pause(BETWEEN);
            }
            done => return Ok(done),
        }
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
