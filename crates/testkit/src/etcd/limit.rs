use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

/// How many etcd processes one test process runs at a time: three clusters of three.
const PROCESSES: u32 = 9;
/// A test that holds one cluster may ask for another, and so may all tests at once: after this long they go ahead, a
/// crowded machine being better than tests that wait for each other forever.
const PATIENCE: Duration = Duration::from_secs(60);

static ROOM: Semaphore = Semaphore::const_new(PROCESSES as usize);

/// Room for processes, given back on drop.
#[derive(Debug)]
pub(crate) struct Permit {
    _permit: Option<SemaphorePermit<'static>>,
}

/// Waits until there is room for that many more processes.
pub(super) async fn acquire(processes: usize) -> Permit {
    let wanted = u32::try_from(processes).unwrap_or(PROCESSES).min(PROCESSES);
    let permit = timeout(PATIENCE, ROOM.acquire_many(wanted)).await;
    Permit { _permit: permit.ok().and_then(Result::ok) }
}
