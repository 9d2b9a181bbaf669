//! The only place that spawns tasks, and what futures of this crate are combined by. A task ends with its owner.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;

use tokio::task::JoinHandle;

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

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A future that can be kept among others.
pub(crate) type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Which of two futures was first.
#[derive(Debug)]
pub(crate) enum Either<A, B> {
    First(A),
    Second(B),
}

/// Runs both futures until one is ready; the first is asked first.
pub(crate) async fn race<A, B>(a: Pin<&mut A>, b: B) -> Either<A::Output, B::Output>
where
    A: Future + ?Sized,
    B: Future,
{
    let mut a = a;
    let mut b = pin!(b);
    poll_fn(|cx| {
        if let Poll::Ready(a) = a.as_mut().poll(cx) {
            return Poll::Ready(Either::First(a));
        }
        b.as_mut().poll(cx).map(Either::Second)
    })
    .await
}

/// The first of `running` to end, taken out of the list. Pending while the list is empty.
pub(crate) async fn first<K, T>(running: &mut Vec<(K, Boxed<'_, T>)>) -> (K, T) {
    poll_fn(|cx| {
        for index in 0..running.len() {
            if let Poll::Ready(output) = running[index].1.as_mut().poll(cx) {
                let (key, _) = running.swap_remove(index);
                return Poll::Ready((key, output));
            }
        }
        Poll::Pending
    })
    .await
}
