//! What a user says about a client, and what it becomes.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

use super::{Endpoint, Proxy, Selection, Tls, TlsLoader};
use crate::error::{Error, Result};
use crate::http::encode;

/// The configuration of a [`Client`](crate::Client). Every default is finite: no call waits forever.
#[derive(Clone, Debug)]
#[must_use = "nothing happens until `build`"]
pub struct ClientBuilder {
    endpoints: Vec<Endpoint>,
    bad_endpoint: Option<Error>,
    user: Option<(String, Secret)>,
    tls: Tls,
    proxy: Proxy,
    selection: Selection,
    timeouts: Timeouts,
    hedge_after: Duration,
    max_redirects: usize,
    max_response_bytes: usize,
    auto_sync: Option<Duration>,
    debug: DebugSink,
}

/// How long what is waited for.
#[derive(Clone, Debug)]
pub(crate) struct Timeouts {
    pub(crate) connect: Duration,
    pub(crate) header: Duration,
    pub(crate) suspect: Duration,
    pub(crate) probe: Duration,
    pub(crate) watch_probe: Duration,
    pub(crate) watch_poll: Duration,
}

/// Who is told each request in curl's words.
#[derive(Clone, Default)]
pub(crate) struct DebugSink(pub(crate) Option<Arc<Sink>>);

type Sink = dyn Fn(&str) + Send + Sync;

/// A password. `Debug` shows that there is one and never what it is.
#[derive(Clone)]
pub(crate) struct Secret(pub(crate) String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Debug for DebugSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "on" } else { "off" })
    }
}

impl ClientBuilder {
    pub(crate) fn new() -> Self {
        Self {
            endpoints: Vec::new(),
            bad_endpoint: None,
            user: None,
            tls: Tls::new(),
            proxy: Proxy::from_env(),
            selection: Selection::default(),
            timeouts: Timeouts {
                connect: Duration::from_secs(2),
                header: Duration::from_secs(10),
                suspect: Duration::from_secs(1),
                probe: Duration::from_secs(1),
                watch_probe: Duration::from_secs(5),
                watch_poll: Duration::from_secs(60),
            },
            hedge_after: Duration::from_millis(500),
            max_redirects: 10,
            max_response_bytes: 64 << 20,
            auto_sync: None,
            debug: DebugSink::default(),
        }
    }

    /// Adds endpoints: the members of one cluster, as many as are known. Repeated ones count once.
    pub fn endpoints<I>(mut self, endpoints: I) -> Self
    where
        I: IntoIterator,
        I::Item: TryInto<Endpoint>,
        <I::Item as TryInto<Endpoint>>::Error: Into<Error>,
    {
        for endpoint in endpoints {
            match endpoint.try_into() {
                Ok(endpoint) => self.endpoints.push(endpoint),
                Err(error) => {
                    self.bad_endpoint.get_or_insert_with(|| error.into());
                }
            }
        }
        self
    }

    /// The same settings for one endpoint alone.
    pub(crate) fn with_only(mut self, endpoint: Endpoint) -> Self {
        self.endpoints = vec![endpoint];
        self.bad_endpoint = None;
        self.auto_sync = None;
        self
    }

    /// Authenticates every request with a user name and a password, by HTTP's basic scheme. Default: no authentication.
    ///
    /// They are sent to the endpoints, and to what a [synchronisation](crate::Client::sync) finds; never to the target
    /// of a redirect on another host.
    pub fn user(mut self, name: impl Into<String>, password: impl Into<String>) -> Self {
        self.user = Some((name.into(), Secret(password.into())));
        self
    }

    /// How connections to `https://` endpoints are made. Default: [`Tls::new`].
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = tls;
        self
    }

    /// Through which proxy endpoints are reached. Default: [`Proxy::from_env`].
    pub fn proxy(mut self, proxy: Proxy) -> Self {
        self.proxy = proxy;
        self
    }

    /// Which endpoint is turned to first. Default: [`Selection::Random`].
    pub fn selection(mut self, selection: Selection) -> Self {
        self.selection = selection;
        self
    }

    /// How long connecting to one endpoint may take, TLS included. Default 2 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.connect = timeout;
        self
    }

    /// How long one endpoint may take to begin its answer, and to go on with it. Default 10 s, which is longer than
    /// etcd itself tries to serve a request (7 s). It does not hold for the events that a watch waits for, nor for signs
    /// of life, which have [a time of their own](Self::suspect_after).
    pub fn header_timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.header = timeout;
        self
    }

    /// After how long without an answer a read is sent to the next endpoint as well, or to the only one on another
    /// connection; the first answer counts. Default 500 ms. A frozen member costs a read this much.
    pub fn hedge_after(mut self, silence: Duration) -> Self {
        self.hedge_after = silence;
        self
    }

    /// After how long without an answer to a write the member is asked whether it still lives, and how long that answer
    /// is waited for before the member counts as frozen. Default 1 s each.
    pub fn suspect_after(mut self, silence: Duration, probe: Duration) -> Self {
        self.timeouts.suspect = silence;
        self.timeouts.probe = probe;
        self
    }

    /// How often the member that a watch waits at is asked whether it still lives, and after how long without an event
    /// the watch is begun anew, which also finds a connection that was silently lost. Default 5 s and 60 s.
    pub fn watch_intervals(mut self, probe: Duration, poll: Duration) -> Self {
        self.timeouts.watch_probe = probe;
        self.timeouts.watch_poll = poll;
        self
    }

    /// How many redirects one request may follow. Default 10.
    pub fn max_redirects(mut self, redirects: usize) -> Self {
        self.max_redirects = redirects;
        self
    }

    /// How large an answer may be. Default 64 MiB.
    pub fn max_response_bytes(mut self, bytes: usize) -> Self {
        self.max_response_bytes = bytes;
        self
    }

    /// Asks the cluster for its members at this interval and uses their client URLs from then on, for as long as a
    /// clone of the client exists. A round that fails is skipped. Default: off; see also
    /// [`Client::auto_sync`](crate::Client::auto_sync).
    pub fn auto_sync(mut self, interval: Duration) -> Self {
        self.auto_sync = Some(interval);
        self
    }

    /// Tells `sink` each request as the `curl` command that would make it. Passwords are replaced by `***` and
    /// credentials left out; keys and values are shown. Default: off.
    ///
    /// ```
    /// use etcdkit_v2::Client;
    ///
    /// let client = Client::builder()
    ///     .endpoints(["http://127.0.0.1:2379"])
    ///     .debug_curl(|line| eprintln!("{line}"))
    ///     .build()?;
    /// # let _ = client;
    /// # Ok::<(), etcdkit_v2::Error>(())
    /// ```
    pub fn debug_curl(mut self, sink: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.debug = DebugSink(Some(Arc::new(sink)));
        self
    }

    /// The settings, if nothing is wrong with them, and the endpoints. Reads certificate files; connects to nothing.
    pub(crate) fn config(self) -> Result<(Config, Vec<Endpoint>)> {
        if let Some(error) = self.bad_endpoint {
            return Err(error);
        }
        let timeouts = &self.timeouts;
        for (name, value) in [
            ("connect timeout", timeouts.connect),
            ("header timeout", timeouts.header),
            ("silence before a read is hedged", self.hedge_after),
            ("silence before a member is suspect", timeouts.suspect),
            ("wait for a probe", timeouts.probe),
            ("probe interval of watches", timeouts.watch_probe),
            ("poll interval of watches", timeouts.watch_poll),
            ("auto-sync interval", self.auto_sync.unwrap_or(Duration::MAX)),
        ] {
            if value.is_zero() {
                return Err(Error::invalid(format!("the {name} is zero")));
            }
        }
        let authorization =
            self.user.map(|(user, password)| basic(&user, &password)).transpose()?;
        let config = Config {
            authorization,
            tls: Arc::new(TlsLoader::new(self.tls)),
            proxy: self.proxy,
            selection: self.selection,
            timeouts: self.timeouts,
            hedge_after: self.hedge_after,
            max_redirects: self.max_redirects,
            max_response_bytes: self.max_response_bytes,
            auto_sync: self.auto_sync,
            debug: self.debug,
        };
        let endpoints = config.check_endpoints(self.endpoints)?;
        Ok((config, endpoints))
    }
}

/// The header by which a user is authenticated.
pub(super) fn basic(user: &str, password: &Secret) -> Result<HeaderValue> {
    if user.is_empty() || user.contains(':') {
        return Err(Error::invalid("a user name must not be empty or have a colon in it"));
    }
    let encoded = encode::base64(format!("{user}:{}", password.0).as_bytes());
    let mut value = HeaderValue::try_from(format!("Basic {encoded}"))
        .map_err(|error| Error::internal("base64 is a header value").with_source(error))?;
    value.set_sensitive(true);
    Ok(value)
}

/// All settings of a client, checked.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) authorization: Option<HeaderValue>,
    pub(crate) tls: Arc<TlsLoader>,
    pub(crate) proxy: Proxy,
    pub(crate) selection: Selection,
    pub(crate) timeouts: Timeouts,
    pub(crate) hedge_after: Duration,
    pub(crate) max_redirects: usize,
    pub(crate) max_response_bytes: usize,
    pub(crate) auto_sync: Option<Duration>,
    pub(crate) debug: DebugSink,
}

impl Config {
    /// The endpoints without repetitions, if this client can use them. Reads certificate files if one of them is TLS.
    pub(crate) fn check_endpoints(&self, endpoints: Vec<Endpoint>) -> Result<Vec<Endpoint>> {
        let mut distinct = Vec::with_capacity(endpoints.len());
        for endpoint in endpoints {
            if !distinct.contains(&endpoint) {
                distinct.push(endpoint);
            }
        }
        if distinct.is_empty() {
            return Err(Error::invalid(
                "no endpoints: name at least one, such as http://127.0.0.1:2379",
            ));
        }
        if cfg!(not(unix))
            && let Some(endpoint) = distinct.iter().find(|endpoint| endpoint.is_socket())
        {
            return Err(Error::invalid(format!("{endpoint}: this system has no such sockets")));
        }
        for endpoint in &distinct {
            self.proxy.to(endpoint.origin())?;
        }
        if distinct.iter().any(Endpoint::is_secure) {
            self.tls.load()?;
        }
        for endpoint in distinct.iter().filter(|endpoint| endpoint.is_secure()) {
            self.tls.server_name(endpoint.host())?;
        }
        Ok(distinct)
    }
}
