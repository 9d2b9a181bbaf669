//! A request of HTTP as a call.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use etcdkit_proto::Code;
use etcdkit_proto::method::{Class, MethodInfo, Shape, watch};
use serde_json::{Deserializer, Value};
use tokio::io::{AsyncRead, AsyncWrite};

use super::call::{Call, Upstream};
use super::message::{Method, method};
use super::{decode, encode};
use crate::budget::Budget;
use crate::http::connection::{Connection, Content};
use crate::http::request::Head;
use crate::http::response::{Response, begin_chunks, chunk};
use crate::node::Node;
use crate::status::{Result, Status};

/// Messages that one request may have for a call that takes several.
const MESSAGES: usize = 1000;

/// What an HTTP connection has for its calls.
#[derive(Debug)]
pub(in crate::http) struct Gateway {
    node: Arc<Node>,
    budget: Arc<Budget>,
    upstream: Option<Upstream>,
}

impl Gateway {
    pub(in crate::http) const fn new(node: Arc<Node>, budget: Arc<Budget>) -> Self {
        Self { node, budget, upstream: None }
    }

    /// Answers a request by a call. Returns whether the connection can be used further.
    pub(in crate::http) async fn serve<T>(
        &mut self,
        connection: &mut Connection<T>,
        head: &Head,
        path: &'static str,
        content: Content,
    ) -> io::Result<bool>
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        let shape = MethodInfo::by_path(path).map_or(Shape::Unary, |info| info.shape);
        let close = !head.keep_alive;
        // What a client that leaves does not wait for any more is not done any more, as far as that is possible.
        let (io, unread) = connection.parts();
        let began = {
            let gone = Connection::<T>::gone(io, unread);
            either(gone, self.begin(head, path, shape, content)).await
        };
        let Some(began) = began else { return Ok(false) };
        let (method, mut call, first) = match began {
            Ok(began) => began,
            Err(status) => {
                Response::json(http_status(status.code), error(&status))
                    .write(io, "POST", close)
                    .await?;
                return Ok(true);
            }
        };
        if shape == Shape::Unary {
            let response = match translated(method, &mut call, first) {
                Ok(body) => Response::json(200, body),
                Err(status) => Response::json(http_status(status.code), error(&status)),
            };
            response.write(io, "POST", close).await?;
            return Ok(true);
        }
        begin_chunks(io).await?;
        let mut next = Ok(Some(first));
        loop {
            let part = match next {
                Ok(Some(message)) => translated(method, &mut call, message).map_or_else(
                    |status| in_stream(&status),
                    |body| format!("{{\"result\":{body}}}\n"),
                ),
                Ok(None) => break,
                Err(status) => {
                    chunk(io, &in_stream(&status)).await?;
                    break;
                }
            };
            chunk(io, &part).await?;
            drop(part);
            call.hold.keep(0);
            let gone = Connection::<T>::gone(io, unread);
            match either(gone, call.next()).await {
                Some(message) => next = message,
                None => return Ok(false),
            }
        }
        chunk(io, "").await?;
        Ok(true)
    }

    /// Makes the call, and waits for its first answer.
    async fn begin(
        &mut self,
        head: &Head,
        path: &'static str,
        shape: Shape,
        content: Content,
    ) -> Result<(&'static Method, Call, Bytes)> {
        let unknown = || Status::new(Code::Unimplemented, "unknown method");
        let method = method(path).ok_or_else(unknown)?;
        let several = shape == Shape::Bidi;
        let class = MethodInfo::by_path(path).map_or(Class::Write, |info| info.class);
        let Content { bytes, hold, .. } = content;
        let messages = messages(method.input, &bytes, several)?;
        drop(bytes);
        let token = head.header("authorization");
        let token = token.map(|token| token.strip_prefix("Bearer ").unwrap_or(token));
        let upstream = match &mut self.upstream {
            Some(upstream) => upstream,
            None => self.upstream.insert(Upstream::open(Arc::clone(&self.node)).await?),
        };
        // A watch lasts as long as somebody may ask more of it.
        let open = path == watch::WATCH.path();
        let outcome = async {
            let sent = upstream.call(path, token, messages, open).await?;
            drop(hold);
            let mut call = sent.answered(self.budget.answer(), class).await?;
            let first = call.next().await?;
            Ok((method, call, first.unwrap_or_default()))
        };
        let outcome: Result<_> = outcome.await;
        if outcome.as_ref().is_err_and(|status| status.code == Code::Unavailable) {
            // Whatever broke, the next call finds a new one.
            self.upstream = None;
        }
        outcome
    }
}

/// The messages of a body: JSON objects one after the other. Only the first counts for calls that take one; no body is an
/// empty one.
fn messages(input: usize, body: &[u8], several: bool) -> Result<Vec<Vec<u8>>> {
    let invalid = |text: String| Status::new(Code::InvalidArgument, text);
    let values = Deserializer::from_slice(body).into_iter::<Value>();
    let mut messages = Vec::new();
    for value in values.take(if several { MESSAGES } else { 1 }) {
        let value = value.map_err(|error| invalid(format!("the body is no JSON: {error}")))?;
        messages.push(decode::message(input, &value).map_err(invalid)?);
    }
    if messages.is_empty() && !several {
        messages.push(Vec::new());
    }
    Ok(messages)
}

/// An answer in JSON, which is held instead of it.
fn translated(method: &Method, call: &mut Call, message: Bytes) -> Result<String> {
    // Bytes take four thirds of themselves in it.
    let mut body = String::with_capacity(message.len() / 2 * 3);
    let done = encode::message(method.output, &message, &mut body);
    done.ok_or_else(|| Status::new(Code::Internal, "an answer that cannot be translated"))?;
    call.hold.keep(body.len());
    Ok(body)
}

fn error(status: &Status) -> String {
    let message = Value::from(status.message.as_ref());
    format!("{{\"code\":{},\"message\":{message}}}", status.code as i32)
}

fn in_stream(status: &Status) -> String {
    format!("{{\"error\":{}}}\n", error(status))
}

/// The status of HTTP that etcd's gateway has for a code.
const fn http_status(code: Code) -> u16 {
    match code {
        Code::Ok => 200,
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => 400,
        Code::Unauthenticated => 401,
        Code::PermissionDenied => 403,
        Code::NotFound => 404,
        Code::AlreadyExists | Code::Aborted => 409,
        Code::ResourceExhausted => 429,
        Code::Canceled => 499,
        Code::Unimplemented => 501,
        Code::Unavailable => 503,
        Code::DeadlineExceeded => 504,
        _ => 500,
    }
}

/// The output of `work`; `None` if `end` comes before.
async fn either<F: Future>(end: impl Future<Output = ()>, work: F) -> Option<F::Output> {
    let (mut end, mut work) = (pin!(end), pin!(work));
    poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => end.as_mut().poll(context).map(|()| None),
    })
    .await
}
