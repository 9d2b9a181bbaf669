//! The stream that a [`StreamRequest`](crate::StreamRequest) opens.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;

use crate::error::Result;

/// A stream of answers; it ends after the first error, or when everything has been said.
///
/// `C` steers the stream while it runs; most streams have nothing to steer.
///
/// # Cancellation
///
/// Dropping it cancels the request on the server. [`next`](Self::next) is cancel-safe: no item is lost when its future
/// is dropped.
#[must_use = "a stream does nothing unless it is read, and is cancelled when it is dropped"]
pub struct Streaming<T, C = ()> {
    items: Pin<Box<dyn Stream<Item = Result<T>> + Send>>,
    control: C,
}

impl<T> Streaming<T> {
    /// Makes a stream of answers out of any stream: what a mock or a layer returns.
    pub fn new(items: impl Stream<Item = Result<T>> + Send + 'static) -> Self {
        Self::with_control(items, ())
    }
}

impl<T, C> Streaming<T, C> {
    /// Makes a steered stream of answers.
    pub fn with_control(items: impl Stream<Item = Result<T>> + Send + 'static, control: C) -> Self {
        Self { items: Box::pin(items), control }
    }

    /// What steers the stream.
    pub fn control(&self) -> &C {
        &self.control
    }

    /// The next item; `None` once the stream is over.
    ///
    /// # Errors
    ///
    /// An error is the last item of a stream.
    pub async fn next(&mut self) -> Option<Result<T>> {
        poll_fn(|cx| self.items.as_mut().poll_next(cx)).await
    }

    /// The same stream with `change` made to each of its items: how a layer rewrites what a stream yields.
    pub fn map(self, change: impl FnMut(Result<T>) -> Result<T> + Send + Unpin + 'static) -> Self
    where
        T: 'static,
    {
        let Self { items, control } = self;
        Self { items: Box::pin(Map { items, change }), control }
    }
}

impl<T, C> fmt::Debug for Streaming<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streaming").finish_non_exhaustive()
    }
}

impl<T, C: Unpin> Stream for Streaming<T, C> {
    type Item = Result<T>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.items.as_mut().poll_next(cx)
    }
}

struct Map<T, F> {
    items: Pin<Box<dyn Stream<Item = Result<T>> + Send>>,
    change: F,
}

impl<T, F: FnMut(Result<T>) -> Result<T> + Unpin> Stream for Map<T, F> {
    type Item = Result<T>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        this.items.as_mut().poll_next(cx).map(|item| item.map(&mut this.change))
    }
}

/// A stream of what `next` returns, called again and again with the state that it returned.
pub(crate) fn unfold<S, T, F, Fut>(state: S, next: F) -> impl Stream<Item = T> + Send
where
    S: Send,
    F: FnMut(S) -> Fut + Send + Unpin,
    Fut: Future<Output = Option<(T, S)>> + Send,
{
    Unfold { next, state: Some(state), future: None }
}

struct Unfold<S, F, Fut> {
    next: F,
    /// The state between two items.
    state: Option<S>,
    /// The next item on its way.
    future: Option<Pin<Box<Fut>>>,
}

// The future is boxed, and nothing else is ever pinned.
impl<S, F, Fut> Unpin for Unfold<S, F, Fut> {}

impl<S, T, F, Fut> Stream for Unfold<S, F, Fut>
where
    F: FnMut(S) -> Fut,
    Fut: Future<Output = Option<(T, S)>>,
{
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let this = &mut *self;
        if let Some(state) = this.state.take() {
            this.future = Some(Box::pin((this.next)(state)));
        }
        let Some(future) = &mut this.future else { return Poll::Ready(None) };
        let Poll::Ready(item) = future.as_mut().poll(cx) else { return Poll::Pending };
        this.future = None;
        Poll::Ready(item.map(|(item, state)| {
            this.state = Some(state);
            item
        }))
    }
}
