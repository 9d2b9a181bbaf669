//! The only place that spawns tasks. A task ends with its owner.

use std::future::Future;

use etcdkit_proto::Code;
use tokio::task::{JoinHandle, JoinSet};

use crate::status::{Result, Status};

/// A running task; dropping it ends the task.
#[derive(Debug)]
pub(crate) struct Task(JoinHandle<()>);

/// Starts `future` as a task of the current runtime.
///
/// # Panics
///
/// Outside a tokio runtime, as `tokio::spawn` does.
#[expect(clippy::disallowed_methods, reason = "the one place: the handle aborts on drop")]
pub(crate) fn spawn(future: impl Future<Output = ()> + Send + 'static) -> Task {
    Task(tokio::spawn(future))
}

/// Starts `future` as one of several tasks that end with `tasks`.
pub(crate) fn spawn_into(
    tasks: &mut JoinSet<()>,
    future: impl Future<Output = ()> + Send + 'static,
) {
    // Those that have ended are let go, so that the set does not grow.
    while tasks.try_join_next().is_some() {}
    tasks.spawn(future);
}

/// Runs what blocks, or computes for long, on a thread for that.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Status::new(Code::Internal, format!("a thread ended: {error}")))
}

impl Task {
    /// Ends the task and waits until what it owned is gone.
    pub(crate) async fn stopped(self) {
        self.0.abort();
        self.ended().await;
    }

    /// Waits until the task has ended by itself.
    pub(crate) async fn ended(mut self) {
        let _ = (&mut self.0).await;
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}
