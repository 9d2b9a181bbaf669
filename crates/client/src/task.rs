//! The only place that spawns tasks. A task ends with its owner.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use tokio::task::JoinHandle;

use crate::error::{Error, Result};

/// A running task; dropping it ends the task.
#[derive(Debug)]
pub(crate) struct Task(Option<JoinHandle<()>>);

/// Starts `future` as a task of the current runtime.
///
/// # Panics
///
/// Outside a tokio runtime, as `tokio::spawn` does.
#[expect(clippy::disallowed_methods, reason = "the one place: the handle aborts on drop")]
pub(crate) fn spawn(future: impl Future<Output = ()> + Send + 'static) -> Task {
    Task(Some(tokio::spawn(future)))
}

impl Task {
    /// Whether it has ended, by itself or with its runtime.
    pub(crate) fn is_over(&self) -> bool {
        self.0.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Ends the task at its next await.
    pub(crate) fn abort(&self) {
        if let Some(handle) = &self.0 {
            handle.abort();
        }
    }

    /// Lets the task go on without its owner, to an end that is set by the clock.
    pub(crate) fn leave(mut self) {
        self.0.take();
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.abort();
    }
}

/// What `work` comes to, which may wait for files: on a thread of its own, lest it holds up other tasks. It goes on if
/// nobody waits for it any more.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::internal("a blocking task failed").with_source(error))
}

/// What `future` comes to; `None` if it panics.
pub(crate) async fn caught<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(polled) => polled.map(Some),
        Err(_) => Poll::Ready(None),
    })
    .await
}

/// Which of two futures was first.
#[derive(Debug)]
pub(crate) enum Either<A, B> {
    First(A),
    Second(B),
}

/// Runs both futures until one is ready; the first is asked first. The other is dropped.
pub(crate) async fn race<A: Future, B: Future>(a: A, b: B) -> Either<A::Output, B::Output> {
    let mut a = pin!(a);
    let mut b = pin!(b);
    poll_fn(|cx| {
        if let Poll::Ready(a) = a.as_mut().poll(cx) {
            return Poll::Ready(Either::First(a));
        }
        b.as_mut().poll(cx).map(Either::Second)
    })
    .await
}
