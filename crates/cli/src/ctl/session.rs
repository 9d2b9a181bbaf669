//! A connection to the cluster, as the flags and the environment want it.

use std::borrow::Cow;
use std::time::Duration;

use etcdkit::config::{ClientBuilder, Limits, SrvLookup, Tls};
use etcdkit::proto::method::Method;
use etcdkit::proto::{HasHeader, WireMessage};
use etcdkit::{CallOptions, Client};
use tokio::runtime::Runtime;

use super::global;
use super::print::Display;
use super::refusal;
use crate::command::{Call, Values};
use crate::console::Console;
use crate::failure::{Failure, Result, exit};
use crate::progress::Progress;

/// What a command needs to talk to the cluster. Calls block.
pub(crate) struct Session {
    pub(crate) client: Client,
    pub(super) display: Display,
    pub(super) endpoints: Vec<String>,
    /// What all clients of the session are made of, but for their endpoints.
    builder: ClientBuilder,
    timeout: Duration,
    has_user: bool,
    runtime: Runtime,
}

impl Session {
    /// Reads flags and environment, and makes a client; it connects with its first call.
    pub(crate) fn open(call: &mut Call<'_>) -> Result<Self> {
        global::apply_environment(call)?;
        let display = Display::new(&call.flags)?;
        let timeout = call.flags.duration("command-timeout");
        let mut access = Access::of_flags(call)?;
        let runtime = runtime()?;
        let domain = call.flags.text("discovery-srv");
        let endpoints = if domain.is_empty() {
            call.flags.list("endpoints")
        } else {
            let lookup = lookup(call, &domain)?;
            let mut endpoints = runtime.block_on(discover(lookup))?;
            if !call.flags.bool("insecure-discovery") {
                // What DNS says is believed only as far as a certificate for the domain bears it out.
                let (secure, ignored) =
                    endpoints.into_iter().partition(|endpoint| endpoint.starts_with("https://"));
                endpoints = secure;
                for endpoint in ignored {
                    call.console
                        .error_line(format!("ignoring discovered insecure endpoint {endpoint}"));
                }
                access.server_name = Some(domain);
            }
            endpoints
        };
        let builder = builder(&call.flags, &access)?;
        let client = connect(&runtime, builder.clone(), &endpoints)?;
        let has_user = access.user.is_some();
        Ok(Self { client, display, endpoints, builder, timeout, has_user, runtime })
    }

    /// Makes a call and waits for its answer, until the time of a command is up.
    pub(super) fn call<Req, Res>(&self, method: Method<Req, Res>, request: &Req) -> Result<Res>
    where
        Req: WireMessage,
        Res: WireMessage + HasHeader,
    {
        self.judge(|| self.try_call(method, request))
    }

    /// The same for one that may take long, which is shown.
    pub(super) fn call_showing<Req, Res>(
        &self,
        progress: &Progress,
        method: Method<Req, Res>,
        request: &Req,
    ) -> Result<Res>
    where
        Req: WireMessage,
        Res: WireMessage + HasHeader,
    {
        let client = self.client.with_options(CallOptions::new().timeout(self.timeout()));
        self.judge(|| self.block_on(progress.wait(client.raw(method, request))))
    }

    fn judge<Res>(&self, call: impl FnOnce() -> etcdkit::Result<Res>) -> Result<Res> {
        // No time at all is over at once; a fast member could answer within the least that a call is given.
        if self.timeout.is_zero() {
            return Err(Failure::error("context deadline exceeded"));
        }
        call().map_err(|error| {
            let mut failure = refusal::failure(&error);
            // The official client asks for its token before anything else, so nobody was there to give it.
            if self.has_user && error.code().is_none() {
                failure.code = exit::BAD_CONNECTION;
            }
            failure
        })
    }

    /// The same with the client's error, for commands that say more about it.
    pub(super) fn try_call<Req, Res>(
        &self,
        method: Method<Req, Res>,
        request: &Req,
    ) -> etcdkit::Result<Res>
    where
        Req: WireMessage,
        Res: WireMessage + HasHeader,
    {
        let client = self.client.with_options(CallOptions::new().timeout(self.timeout()));
        self.runtime.block_on(client.raw(method, request))
    }

    /// The same for commands that wait as long as it takes.
    pub(super) fn call_forever<Req, Res>(
        &self,
        method: Method<Req, Res>,
        request: &Req,
    ) -> Result<Res>
    where
        Req: WireMessage,
        Res: WireMessage + HasHeader,
    {
        self.block_on(self.patient().raw(method, request)).map_err(|error| refusal::failure(&error))
    }

    /// The client for what goes on until it is told to end, and so waits for a cluster that is not there yet.
    pub(super) fn patient(&self) -> Client {
        self.client.with_options(CallOptions::new().no_timeout())
    }

    /// A client of one endpoint alone, for calls that last no longer than a command may. The endpoint may be one of another
    /// cluster than the others are.
    pub(super) fn alone_at(&self, endpoint: &str) -> Result<Client> {
        let client =
            self.build(endpoint).map_err(|error| Failure::bad_arguments(error.message()))?;
        Ok(client.with_options(CallOptions::new().timeout(self.timeout())))
    }

    fn build(&self, endpoint: &str) -> etcdkit::Result<Client> {
        let builder = self.builder.clone().endpoints([&*dialed(endpoint)]);
        self.runtime.block_on(async { builder.build() })
    }

    /// How long one call may take.
    pub(super) fn timeout(&self) -> Duration {
        // No call is shorter than what a clock tells.
        self.timeout.max(Duration::from_millis(1))
    }

    /// A patient client of another cluster, with the limits of this one.
    pub(super) fn connect(
        &self,
        flags: &Values,
        endpoints: &[String],
        access: &Access,
    ) -> Result<Client> {
        let client = connect(&self.runtime, builder(flags, access)?, endpoints)?;
        Ok(client.with_options(CallOptions::new().no_timeout()))
    }

    pub(crate) fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }
}

/// Who one is, and how to be sure of who answers.
pub(super) struct Access {
    pub(super) cert: String,
    pub(super) key: String,
    pub(super) cacert: String,
    pub(super) insecure_transport: bool,
    pub(super) skip_verification: bool,
    pub(super) user: Option<(String, String)>,
    pub(super) token: String,
    /// What the certificate of a server has to be made out to, if not to the name it was called by.
    pub(super) server_name: Option<String>,
}

/// The name server to ask, instead of those of the system: `address:port`.
const NAME_SERVER: &str = "ETCDKIT_NAME_SERVER";

/// What is looked up, and where.
fn lookup(call: &Call<'_>, domain: &str) -> Result<SrvLookup> {
    let mut lookup = SrvLookup::new(domain);
    let service = call.flags.text("discovery-srv-name");
    if !service.is_empty() {
        lookup = lookup.service_name(service);
    }
    if let Some(server) = call.console.variable(NAME_SERVER) {
        let server = server.to_string_lossy();
        let address = server.parse().map_err(|_| {
            let why =
                format!("{NAME_SERVER}={server} is no address with a port, such as 10.0.0.53:53");
            Failure::bad_arguments(why)
        })?;
        lookup = lookup.server(address);
    }
    Ok(lookup)
}

/// The endpoints that the SRV records of a domain name.
async fn discover(lookup: SrvLookup) -> Result<Vec<String>> {
    let endpoints = lookup.endpoints().await;
    let endpoints = endpoints.map_err(|error| {
        Failure::error(error.message()).with_hint(
            "--discovery-srv wants a domain with records for _etcd-client._tcp or _etcd-client-ssl._tcp; \
             --discovery-srv-name adds to both",
        )
    })?;
    Ok(endpoints.iter().map(ToString::to_string).collect())
}

impl Access {
    fn of_flags(call: &mut Call<'_>) -> Result<Self> {
        for name in ["cert", "key", "cacert"] {
            if call.flags.is_given(name) && call.flags.text(name).is_empty() {
                return Err(Failure::bad_arguments(format!(
                    "empty string is passed to --{name} option"
                )));
            }
        }
        let user = credentials(
            call.console,
            &call.flags.text("user"),
            call.flags.is_given("password").then(|| call.flags.text("password")),
        )?;
        let flags = &call.flags;
        Ok(Self {
            cert: flags.text("cert"),
            key: flags.text("key"),
            cacert: flags.text("cacert"),
            insecure_transport: flags.bool("insecure-transport"),
            skip_verification: flags.bool("insecure-skip-tls-verify"),
            user,
            token: flags.text("auth-jwt-token"),
            server_name: None,
        })
    }

    /// The TLS settings, if there are to be any.
    fn tls(&self) -> Result<Option<Tls>> {
        if self.cert.is_empty() != self.key.is_empty() {
            return Err(Failure::bad_arguments(format!(
                "KeyFile and CertFile must both be present[key: {}, cert: {}]",
                self.key, self.cert
            )));
        }
        let is_asked_for = !self.cert.is_empty()
            || !self.cacert.is_empty()
            || self.server_name.is_some()
            || self.skip_verification
            || !self.insecure_transport;
        if !is_asked_for {
            return Ok(None);
        }
        let mut tls = Tls::new();
        if !self.cacert.is_empty() {
            readable(&self.cacert)?;
            tls = tls.ca_file(&self.cacert);
        }
        if !self.cert.is_empty() {
            readable(&self.cert)?;
            readable(&self.key)?;
            tls = tls.client_certificate_files(&self.cert, &self.key);
        }
        if let Some(name) = &self.server_name {
            tls = tls.server_name(name);
        }
        if self.skip_verification {
            tls = tls.danger_skip_verification();
        }
        Ok(Some(tls))
    }
}

/// Fails as the official tools do if a file can't be read.
fn readable(path: &str) -> Result<()> {
    match std::fs::File::open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(Failure::bad_arguments(format!("open {path}: no such file or directory")))
        }
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            Err(Failure::bad_arguments(format!("open {path}: permission denied")))
        }
        Err(error) => Err(Failure::bad_arguments(format!("open {path}: {error}"))),
    }
}

/// Name and password out of `name[:password]` and the password that was given apart, or asked for.
pub(super) fn credentials(
    console: &mut Console,
    user: &str,
    password: Option<String>,
) -> Result<Option<(String, String)>> {
    if user.is_empty() {
        return Ok(None);
    }
    if let Some(password) = password {
        return Ok(Some((user.to_owned(), password)));
    }
    if let Some((name, password)) = user.split_once(':') {
        return Ok(Some((name.to_owned(), password.to_owned())));
    }
    let password = console.ask_secret("Password: ")?;
    Ok(Some((user.to_owned(), password)))
}

fn runtime() -> Result<Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::error(format!("cannot start: {error}")))
}

/// A client of some endpoints.
fn connect(runtime: &Runtime, builder: ClientBuilder, endpoints: &[String]) -> Result<Client> {
    let endpoints: Vec<Cow<'_, str>> =
        endpoints.iter().filter(|endpoint| !endpoint.is_empty()).map(|it| dialed(it)).collect();
    if endpoints.is_empty() {
        return Err(Failure::new(exit::BAD_CONNECTION, "etcdclient: no available endpoints"));
    }
    let builder = builder.endpoints(endpoints.iter().map(|endpoint| &**endpoint));
    runtime
        .block_on(async { builder.build() })
        .map_err(|error| Failure::new(exit::BAD_CONNECTION, error.message()))
}

/// Where an endpoint leads: one without a host to this machine, as everywhere in Go.
fn dialed(endpoint: &str) -> Cow<'_, str> {
    let endpoint = endpoint.trim();
    for scheme in ["http://", "https://", ""] {
        if let Some(port) = endpoint.strip_prefix(scheme).filter(|rest| rest.starts_with(':')) {
            return format!("{scheme}localhost{port}").into();
        }
    }
    endpoint.into()
}

/// What the flags of all commands say of a client.
fn builder(flags: &Values, access: &Access) -> Result<ClientBuilder> {
    let mut limits = Limits::new();
    if let Ok(bytes @ 1..) = usize::try_from(flags.int("max-request-bytes")) {
        limits = limits.max_send_message(bytes);
    }
    if let Ok(bytes @ 1..) = usize::try_from(flags.int("max-recv-bytes")) {
        limits = limits.max_receive_message(bytes);
    }
    let mut builder = Client::builder().limits(limits);
    let dial_timeout = flags.duration("dial-timeout");
    if !dial_timeout.is_zero() {
        builder = builder.connect_timeout(dial_timeout);
    }
    if let Some(tls) = access.tls()? {
        builder = builder.tls(tls);
    }
    if let Some((name, password)) = &access.user {
        builder = builder.user(name, password);
    }
    if !access.token.is_empty() {
        builder = builder.token(&access.token);
    }
    Ok(builder)
}
