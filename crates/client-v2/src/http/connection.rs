//! A connection that lives in the futures that use it.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};

use super::io::Stream;
use crate::error::Cause;

/// An HTTP/1.1 connection. It makes progress only while a request or a body is waited for; dropping it closes it.
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// hyper's half that moves the bytes, until it ends.
    driver: Option<Pin<Box<Driver>>>,
}

type Driver = http1::Connection<Stream, Full<Bytes>>;

/// A request that got no answer.
pub(super) struct Unanswered {
    pub(super) cause: Cause,
    /// Whether part of it may have left.
    pub(super) sent: bool,
}

impl Connection {
    pub(super) async fn new(stream: Stream) -> Result<Self, Cause> {
        let (sender, driver) =
            http1::handshake(stream).await.map_err(|error| Cause::Protocol(describe(&error)))?;
        Ok(Self { sender, driver: Some(Box::pin(driver)) })
    }

    /// Whether it can take another request: neither side has closed it, and nothing is left of the last answer.
    pub(super) async fn is_ready(&mut self) -> bool {
        poll_fn(|cx| {
            self.advance(cx);
            Poll::Ready(self.driver.is_some() && self.sender.is_ready())
        })
        .await
    }

    /// Sends a request and waits for the head of its answer.
    pub(super) async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, Unanswered> {
        let answer = self.sender.try_send_request(request);
        self.drive(answer).await.map_err(|mut error| {
            let sent = error.take_message().is_none();
            Unanswered { cause: cause(error.error()), sent }
        })
    }

    /// The next bytes of a body; `None` at its end.
    pub(super) async fn read(&mut self, body: &mut Incoming) -> Option<Result<Bytes, Cause>> {
        loop {
            match self.drive(body.frame()).await? {
                Err(error) => return Some(Err(cause(&error))),
                // Trailers mean nothing here.
                Ok(frame) => match frame.into_data() {
                    Ok(bytes) => return Some(Ok(bytes)),
                    Err(_) => continue,
                },
            }
        }
    }

    async fn drive<F: Future>(&mut self, future: F) -> F::Output {
        let mut future = pin!(future);
        poll_fn(|cx| {
            self.advance(cx);
            future.as_mut().poll(cx)
        })
        .await
    }

    fn advance(&mut self, cx: &mut Context<'_>) {
        if let Some(driver) = &mut self.driver
            && driver.as_mut().poll(cx).is_ready()
        {
            // How it ended is told to whoever waits for an answer.
            self.driver = None;
        }
    }
}

fn cause(error: &hyper::Error) -> Cause {
    if error.is_parse() {
        return Cause::Protocol(describe(error));
    }
    Cause::Disconnected(describe(error))
}

/// hyper names what failed, and its source names why.
fn describe(error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
