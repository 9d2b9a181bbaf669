//! A request, its redirects, and the answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, LOCATION, PROXY_AUTHORIZATION};
use http::uri::{PathAndQuery, Uri};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Body, Incoming};

use super::connect::connect;
use super::connection::{Connection, Unanswered};
use super::pool::Pool;
use crate::answer;
use crate::clock::{maybe_within, within};
use crate::config::{Config, Endpoint, Origin, Place, ProxyServer};
use crate::error::Cause;

/// What talks to servers.
pub(crate) struct Http {
    config: Arc<Config>,
    pool: Pool,
}

/// A request, wherever it may go.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    pub(crate) method: Method,
    /// Path and query, encoded, as they follow an endpoint's own path.
    pub(crate) target: String,
    pub(crate) content_type: Option<&'static str>,
    pub(crate) body: Bytes,
    /// What is shown of the body in its place, if it holds a secret.
    pub(crate) shown: Option<String>,
    /// Whether repeating it does no harm.
    pub(crate) repeatable: bool,
}

/// What a server answered, any status but a redirect or its own failure.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Why there is no answer.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) cause: Cause,
    /// Whether the server may have acted upon the request.
    pub(crate) sent: bool,
}

/// Who is told the head of an answer before its body has come.
pub(crate) type OnHead<'a> = &'a (dyn Fn(&HeaderMap) + Sync);

/// How one request is made.
#[derive(Clone, Copy)]
pub(crate) struct Manner<'a> {
    /// On a new connection.
    pub(crate) fresh: bool,
    /// How long the answer may take to begin, and to go on; `None` where its time is limited elsewhere.
    pub(crate) limit: Option<Duration>,
    pub(crate) on_head: Option<OnHead<'a>>,
    /// Set as soon as the server may act upon the request.
    pub(crate) sent: &'a AtomicBool,
}

/// Where a request goes, and through what.
#[derive(Clone, Copy)]
struct Way<'a> {
    origin: &'a Origin,
    proxy: Option<&'a ProxyServer>,
}

impl Http {
    pub(crate) fn new(config: Arc<Config>) -> Self {
        Self { config, pool: Pool::default() }
    }

    /// Forgets connections that may be dead, since the member did not answer on one.
    pub(crate) fn distrust(&self, endpoint: &Endpoint) {
        self.pool.clear(endpoint.origin());
    }

    /// Makes the request at `endpoint`, following redirects.
    pub(crate) async fn request(
        &self,
        endpoint: &Endpoint,
        outgoing: &Outgoing,
        manner: Manner<'_>,
    ) -> Result<Answer, Failure> {
        let failure = |cause| Failure { cause, sent: manner.sent.load(Ordering::Relaxed) };
        let mut origin = endpoint.origin().clone();
        let mut target = format!("{}{}", endpoint.path(), outgoing.target);
        for _ in 0..=self.config.max_redirects {
            let trusted = origin == *endpoint.origin();
            let proxy = self.config.proxy.to(&origin);
            let proxy = proxy.map_err(|error| failure(Cause::Connect(error.to_string())))?;
            let way = Way { origin: &origin, proxy: proxy.as_deref() };
            let request = self.build(way, &target, outgoing, trusted).map_err(failure)?;
            self.show(&origin, &target, outgoing);
            let (connection, response) =
                self.head(way, request, outgoing.repeatable, manner).await.map_err(failure)?;
            if let (Some(proxy), StatusCode::PROXY_AUTHENTICATION_REQUIRED) =
                (&proxy, response.status())
            {
                manner.sent.store(false, Ordering::Relaxed);
                let text = format!("the proxy {proxy} demands a user name and a password: 407");
                return Err(failure(Cause::Connect(text)));
            }
            if response.status().is_redirection() {
                if response.status() == StatusCode::SEE_OTHER && outgoing.is_write() {
                    // It says that the write was made, and where to look at what became of it.
                    return Err(failure(Cause::Redirect(
                        "303 as the answer to a write".to_owned(),
                    )));
                }
                // Whoever redirects otherwise has not acted upon the request.
                manner.sent.store(false, Ordering::Relaxed);
                let next = redirected(&origin, response.headers()).map_err(failure)?;
                tracing::debug!(from = %origin, to = %next.0, "redirected");
                (origin, target) = next;
                continue;
            }
            if let Some(on_head) = manner.on_head
                && response.status().is_success()
            {
                on_head(response.headers());
            }
            let answer =
                self.body(&origin, connection, response, manner.limit).await.map_err(failure)?;
            return match answer.status {
                500 | 503 => Err(failure(Cause::NoLeader(answer::text(&answer)))),
                501..=599 => Err(failure(Cause::Server(answer.status, answer::text(&answer)))),
                _ => Ok(answer),
            };
        }
        Err(failure(Cause::Redirect(format!("more than {}", self.config.max_redirects))))
    }

    fn build(
        &self,
        Way { origin, proxy }: Way<'_>,
        target: &str,
        outgoing: &Outgoing,
        trusted: bool,
    ) -> Result<Request<Full<Bytes>>, Cause> {
        let invalid = |error: http::Error| Cause::Protocol(error.to_string());
        let host = HeaderValue::try_from(origin.host_header()).map_err(|e| invalid(e.into()))?;
        let path: PathAndQuery =
            target.parse().map_err(|error: http::uri::InvalidUri| invalid(error.into()))?;
        let mut request = Request::new(Full::new(outgoing.body.clone()));
        *request.method_mut() = outgoing.method.clone();
        *request.uri_mut() = Uri::from(path);
        if let Some(proxy) = proxy.filter(|proxy| proxy.passes_requests() && !origin.secure) {
            // Without a tunnel, a proxy has to be told where the request goes.
            *request.uri_mut() = format!("{origin}{target}")
                .parse()
                .map_err(|error: http::uri::InvalidUri| invalid(error.into()))?;
            if let Some(authorization) = proxy.authorization() {
                request.headers_mut().insert(PROXY_AUTHORIZATION, authorization.clone());
            }
        }
        let headers = request.headers_mut();
        headers.insert(HOST, host);
        if let Some(content_type) = outgoing.content_type {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        if trusted && let Some(authorization) = &self.config.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        Ok(request)
    }

    /// Tells the debug output of a request.
    fn show(&self, origin: &Origin, target: &str, outgoing: &Outgoing) {
        let Some(sink) = &self.config.debug.0 else { return };
        let url = match &origin.place {
            Place::Host { .. } => format!("'{origin}{target}'"),
            Place::Socket(path) => {
                let scheme = if origin.secure { "https" } else { "http" };
                let host = origin.host_header();
                format!("--unix-socket '{path}' '{scheme}://{host}{target}'")
            }
        };
        let mut line = format!("cURL Command: curl -X {} {url}", outgoing.method);
        if !outgoing.body.is_empty() {
            if let Some(content_type) = outgoing.content_type {
                line.push_str(&format!(" -H 'Content-Type: {content_type}'"));
            }
            let body = match &outgoing.shown {
                Some(shown) => shown.clone(),
                None => String::from_utf8_lossy(&outgoing.body).into_owned(),
            };
            line.push_str(&format!(" -d '{}'", body.replace('\'', r"'\''")));
        }
        sink(&line);
    }

    /// Sends the request and waits for the head of the answer. The server may have closed a connection that waited for
    /// use at the moment when it was used: then it is sent on a new one, if that does no harm.
    async fn head(
        &self,
        Way { origin, proxy }: Way<'_>,
        request: Request<Full<Bytes>>,
        repeatable: bool,
        manner: Manner<'_>,
    ) -> Result<(Connection, Response<Incoming>), Cause> {
        if !manner.fresh
            && let Some(mut connection) = self.pool.take(origin).await
        {
            match self.answered(&mut connection, request.clone(), manner).await {
                Ok(response) => return Ok((connection, response)),
                Err(Unanswered { cause, sent }) => {
                    manner.sent.store(sent, Ordering::Relaxed);
                    if sent && !repeatable || !matches!(cause, Cause::Disconnected(_)) {
                        return Err(cause);
                    }
                }
            }
        }
        // Boxed: this state is large, and the futures above it would all carry it.
        let connecting = Box::pin(connect(origin, proxy, &self.config.tls));
        let connecting = within(self.config.timeouts.connect, connecting);
        let mut connection = connecting.await.unwrap_or(Err(Cause::ConnectTimeout))?;
        match self.answered(&mut connection, request, manner).await {
            Ok(response) => Ok((connection, response)),
            Err(Unanswered { cause, sent }) => {
                manner.sent.store(sent, Ordering::Relaxed);
                Err(cause)
            }
        }
    }

    async fn answered(
        &self,
        connection: &mut Connection,
        request: Request<Full<Bytes>>,
        manner: Manner<'_>,
    ) -> Result<Response<Incoming>, Unanswered> {
        manner.sent.store(true, Ordering::Relaxed);
        let late = Unanswered { cause: Cause::HeaderTimeout, sent: true };
        maybe_within(manner.limit, connection.send(request)).await.unwrap_or(Err(late))
    }

    /// Reads the body and keeps the connection for later.
    async fn body(
        &self,
        origin: &Origin,
        mut connection: Connection,
        response: Response<Incoming>,
        limit: Option<Duration>,
    ) -> Result<Answer, Cause> {
        let (head, mut incoming) = response.into_parts();
        let mut body = BytesMut::new();
        while !incoming.is_end_stream() {
            let read = maybe_within(limit, connection.read(&mut incoming)).await;
            let Some(bytes) = read.ok_or(Cause::HeaderTimeout)? else { break };
            let bytes = bytes?;
            if body.len() + bytes.len() > self.config.max_response_bytes {
                return Err(Cause::TooLarge(format!(
                    "the answer is larger than {} bytes: raise `ClientBuilder::max_response_bytes`",
                    self.config.max_response_bytes
                )));
            }
            body.extend_from_slice(&bytes);
        }
        if connection.is_ready().await {
            self.pool.put(origin, connection);
        }
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body: body.freeze() })
    }
}

/// Where a redirect from `origin` leads: origin, path and query.
fn redirected(origin: &Origin, headers: &HeaderMap) -> Result<(Origin, String), Cause> {
    let refuse = |why: String| Cause::Redirect(why);
    let location = headers.get(LOCATION).ok_or_else(|| refuse("no location was given".into()))?;
    let shown = String::from_utf8_lossy(location.as_bytes()).into_owned();
    let uri = Uri::try_from(location.as_bytes())
        .map_err(|error| refuse(format!("the location `{shown}` is no URL: {error}")))?;
    let target = uri.path_and_query().map_or("/", PathAndQuery::as_str).to_owned();
    if uri.scheme().is_none() && uri.authority().is_none() && target.starts_with('/') {
        return Ok((origin.clone(), target));
    }
    let next = Origin::of(&uri)
        .map_err(|why| refuse(format!("the location `{shown}` can't be followed: {why}")))?;
    if origin.secure && !next.secure {
        return Err(refuse(format!("`{shown}` leads from TLS to plain text")));
    }
    Ok((next, target))
}

impl Outgoing {
    /// Whether it changes anything.
    pub(crate) fn is_write(&self) -> bool {
        self.method != Method::GET
    }
}

impl Answer {
    /// A header as text.
    pub(crate) fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}
