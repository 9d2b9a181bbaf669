//! A scripted HTTP server: what each request is answered with is a function of the request.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use etcdkit_v2::{Client, ClientBuilder, Endpoint, Watcher};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Long enough that only a defect reaches it.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// What a client sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) method: String,
    pub(crate) target: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn line(&self) -> String {
        format!("{} {}", self.method, self.target)
    }
}

/// What a server does with a request.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Answer {
        status: u16,
        headers: Vec<(&'static str, String)>,
        body: String,
    },
    /// The head, part of a body that goes on, and then nothing.
    Part {
        headers: Vec<(&'static str, String)>,
        body: String,
    },
    /// Nothing, for as long as the client waits.
    Silence,
    /// The end of the connection.
    Close,
    /// These bytes, whatever they are.
    Raw(String),
}

impl Reply {
    pub(crate) fn status(status: u16, body: impl Into<String>) -> Self {
        Self::Answer { status, headers: Vec::new(), body: body.into() }
    }

    pub(crate) fn ok(body: impl Into<String>) -> Self {
        Self::status(200, body)
    }

    /// A key with a value at an index.
    pub(crate) fn key(value: &str, index: u64) -> Self {
        Self::ok(event("get", value, index)).with("X-Etcd-Index", index)
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        match &mut self {
            Self::Answer { headers, .. } | Self::Part { headers, .. } => {
                headers.push((name, value.to_string()));
            }
            _ => panic!("it has no headers"),
        }
        self
    }

    pub(crate) fn redirect(location: impl ToString) -> Self {
        Self::status(307, "").with("Location", location)
    }
}

pub(crate) fn event(action: &str, value: &str, index: u64) -> String {
    format!(
        r#"{{"action":"{action}","node":{{"key":"/k","value":"{value}","modifiedIndex":{index},"createdIndex":1}}}}"#
    )
}

type Handler = dyn Fn(&Received) -> Reply + Send + Sync;

/// It answers until it is dropped.
pub(crate) struct Server {
    url: String,
    received: Arc<Mutex<Vec<Received>>>,
    /// How many connections were accepted, and how many of them the client has closed.
    connections: watch::Receiver<(usize, usize)>,
    _tasks: JoinSet<()>,
}

impl Server {
    pub(crate) async fn start(
        handler: impl Fn(&Received) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let received = Arc::new(Mutex::new(Vec::new()));
        let (counter, connections) = watch::channel((0, 0));
        let handler: Arc<Handler> = Arc::new(handler);
        let mut tasks = JoinSet::new();
        let log = received.clone();
        tasks.spawn(async move {
            let mut open = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                counter.send_modify(|(accepted, _)| *accepted += 1);
                let (handler, log, counter) = (handler.clone(), log.clone(), counter.clone());
                open.spawn(async move {
                    serve(stream, &*handler, &log).await;
                    counter.send_modify(|(_, closed)| *closed += 1);
                });
            }
        });
        Self { url, received, connections, _tasks: tasks }
    }

    /// Always the same reply.
    pub(crate) async fn always(reply: Reply) -> Self {
        Self::start(move |_| reply.clone()).await
    }

    /// One reply after the other; the last one again and again.
    pub(crate) async fn replies(replies: impl IntoIterator<Item = Reply>) -> Self {
        let replies: Vec<Reply> = replies.into_iter().collect();
        let next = AtomicUsize::new(0);
        Self::start(move |_| {
            let index = next.fetch_add(1, Ordering::Relaxed).min(replies.len() - 1);
            replies[index].clone()
        })
        .await
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// A client of this server alone, which makes each request once.
    pub(crate) fn client(&self) -> Client {
        patient().endpoints([self.url()]).build().unwrap()
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        self.url.parse().unwrap()
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.received().iter().map(Received::line).collect()
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.borrow().0
    }

    /// Waits until so many connections have ended.
    pub(crate) async fn wait_closed(&self, number: usize) {
        let mut connections = self.connections.clone();
        let closed = connections.wait_for(|(_, closed)| *closed >= number);
        timeout(SOON, closed).await.expect("connections end").unwrap();
    }
}

/// Clients that do nothing because time passes, however slow the machine is.
pub(crate) fn patient() -> ClientBuilder {
    let long = 5 * SOON;
    let builder = Client::builder().connect_timeout(long).header_timeout(long);
    builder.hedge_after(long).suspect_after(long, long)
}

/// A URL that nobody listens at. The port of a listener that was dropped may be the next one's, of another test.
pub(crate) const REFUSING: &str = "http://127.0.0.1:1";

/// Polls `future` until the server has received `requests`, then drops it.
pub(crate) async fn drop_after<F: Future>(future: F, server: &Server, requests: usize) {
    let mut future = pin!(future);
    let mut tick = tokio::time::interval(Duration::from_millis(5));
    while server.received().len() < requests {
        let mut ticked = pin!(tick.tick());
        poll_fn(|cx| {
            assert!(future.as_mut().poll(cx).is_pending(), "it is answered");
            match ticked.as_mut().poll(cx) {
                Poll::Ready(_) => Poll::Ready(()),
                Poll::Pending => Poll::Pending,
            }
        })
        .await;
    }
}

/// Has a watch find out when "now" is. Nothing happens meanwhile.
pub(crate) async fn begun(watcher: &mut Watcher) {
    let begun = async {
        while watcher.after_index().is_none() {
            let event = timeout(Duration::from_millis(100), watcher.next()).await;
            assert!(event.is_err(), "{event:?}");
        }
    };
    timeout(SOON, begun).await.unwrap();
}

async fn serve(stream: TcpStream, handler: &Handler, log: &Mutex<Vec<Received>>) {
    let mut stream = BufReader::new(stream);
    while let Some(received) = receive(&mut stream).await {
        log.lock().unwrap().push(received.clone());
        let text = match handler(&received) {
            Reply::Answer { status, headers, body } => {
                let length = ("Content-Length", body.len().to_string());
                // RFC 9110: these have no body.
                let length = (status != 204).then_some(length);
                head(status, headers.into_iter().chain(length)) + &body
            }
            Reply::Part { headers, body } => {
                let chunked = ("Transfer-Encoding", "chunked".to_owned());
                let chunk = match body.len() {
                    0 => String::new(),
                    length => format!("{length:x}\r\n{body}\r\n"),
                };
                let text = head(200, headers.into_iter().chain([chunked])) + &chunk;
                stream.write_all(text.as_bytes()).await.ok();
                return closed(&mut stream).await;
            }
            Reply::Silence => return closed(&mut stream).await,
            Reply::Close => return,
            Reply::Raw(text) => {
                stream.write_all(text.as_bytes()).await.ok();
                return;
            }
        };
        if stream.write_all(text.as_bytes()).await.is_err() {
            return;
        }
    }
}

fn head(status: u16, headers: impl IntoIterator<Item = (&'static str, String)>) -> String {
    let mut text = format!("HTTP/1.1 {status} Scripted\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text + "\r\n"
}

/// Returns when the client closes the connection.
async fn closed(stream: &mut BufReader<TcpStream>) {
    stream.read_to_end(&mut Vec::new()).await.ok();
}

async fn receive(stream: &mut BufReader<TcpStream>) -> Option<Received> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok()?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.push((name.to_lowercase(), value.to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let mut body = vec![0; length.map_or(0, |(_, value)| value.parse().unwrap())];
    stream.read_exact(&mut body).await.ok()?;
    Some(Received { method, target, headers, body: String::from_utf8(body).unwrap() })
}

#[expect(clippy::disallowed_methods, reason = "tests measure time")]
pub(crate) fn now() -> tokio::time::Instant {
    tokio::time::Instant::now()
}
