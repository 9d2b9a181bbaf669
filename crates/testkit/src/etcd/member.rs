use std::ffi::{OsStr, OsString};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::Signal;
use tokio::process::Command;
use tokio::time::timeout;

use super::builder::{Builder, Settings};
use super::gate::Gate;
use super::home::Home;
use super::limit::Permit;
use super::ports::Ports;
use super::process::{Process, State, own_variables};
use super::{Version, http};

/// A member starts in under a second; two busy cores may take many times as long.
const START_DEADLINE: Duration = Duration::from_secs(60);
/// A leader that stops hands its leadership over first, and waits for members that may be down.
const STOP_DEADLINE: Duration = Duration::from_secs(30);
/// How often new ports are tried when somebody else listens on the ones that were picked.
const PORT_ATTEMPTS: usize = 8;

/// One etcd member: a process that can be killed, frozen and started again, with its ports, data and log.
///
/// Alone, or as part of a [`Cluster`](crate::cluster::Cluster). Dropping it kills the process and removes the data.
///
/// ```no_run
/// # async fn example() {
/// use etcdkit_testkit::etcd::{Etcd, Version};
///
/// let etcd = Etcd::builder(Version::V3_6).max_txn_ops(4).start().await;
/// etcd.etcdctl(["put", "a", "1"]).await;
/// etcd.kill().await;
/// etcd.start().await;
/// assert_eq!(etcd.etcdctl(["get", "a", "--print-value-only"]).await, "1\n");
/// # }
/// ```
#[derive(Debug)]
pub struct Etcd {
    // In the order in which they are dropped: the process, its files, its ports, its place among the processes.
    process: Mutex<Option<Arc<Process>>>,
    frozen: AtomicBool,
    home: Home,
    gate: Option<Gate>,
    ports: Ports,
    settings: Settings,
    name: String,
    arguments: Vec<String>,
    permit: Option<Permit>,
}

/// Why a member does not serve.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Somebody else listens on one of its ports.
    PortTaken,
    Other(String),
}

impl Etcd {
    /// Configures a single member of the given version.
    pub const fn builder(version: Version) -> Builder<Self> {
        Builder::etcd(version)
    }

    /// Starts a single member of the newest version there is, with etcd's defaults.
    ///
    /// # Panics
    ///
    /// When there is no etcd, or it does not start.
    pub async fn start_newest() -> Self {
        Self::builder(Version::newest()).start().await
    }

    /// The member's version.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.settings.version
    }

    /// The member's name within its cluster.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where its clients connect to, such as `http://127.0.0.1:20003`. It stays the same across restarts.
    #[must_use]
    pub fn client_url(&self) -> String {
        client_url(&self.settings, &self.ports)
    }

    /// The address of [`Self::client_url`].
    #[must_use]
    pub fn client_addr(&self) -> SocketAddr {
        let host = self.settings.client_host.trim_matches(['[', ']']);
        SocketAddr::new(host.parse().expect("the host is an address"), self.ports.client.number())
    }

    /// Where the other members connect to.
    #[must_use]
    pub fn peer_url(&self) -> String {
        advertised(self.gate.as_ref(), &self.ports)
    }

    pub(crate) const fn gate(&self) -> Option<&Gate> {
        self.gate.as_ref()
    }

    /// The address that serves `/metrics` and `/health` as plain HTTP, also where clients need TLS.
    #[must_use]
    pub fn metrics_addr(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.ports.metrics.number()))
    }

    /// The Unix socket on which it listens, if it was [configured](Builder::unix_socket).
    #[must_use]
    pub fn unix_socket(&self) -> Option<PathBuf> {
        // etcd listens on `<host>:<port>` relative to its working folder.
        let name = format!("localhost:{}", self.ports.client.number());
        self.settings.unix_socket.then(|| self.home.path().join(name))
    }

    /// The folder of its database and log of entries.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.home.path().join("data")
    }

    /// The file with everything it logged since it was first started.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        log(&self.home)
    }

    /// The id of the process, if there is one.
    #[must_use]
    pub fn process_id(&self) -> Option<u32> {
        self.process()?.id()
    }

    /// Whether there is a process, frozen or not.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.process().is_some_and(|process| !matches!(process.state(), State::Exited(_)))
    }

    /// How the process ended, and the end of its log, if it ended without being asked to.
    #[must_use]
    pub fn fate(&self) -> Option<String> {
        let process = self.process()?;
        let State::Exited(status) = process.state() else { return None };
        Some(format!("etcd {} {}: {status}\n{}", self.version(), self.name, process.log_tail()))
    }

    /// Whether there is a process and it is not [paused](Self::pause).
    #[must_use]
    pub fn is_responsive(&self) -> bool {
        self.is_running() && !self.frozen.load(Ordering::Relaxed)
    }

    /// Kills the process (SIGKILL) and returns when it is gone. Its data stays.
    pub async fn kill(&self) {
        let Some(process) = self.take() else { return };
        process.signal(Signal::KILL);
        process.exited().await;
    }

    /// Asks the process to stop (SIGTERM) and returns when it has. A leader hands its leadership over first.
    ///
    /// # Panics
    ///
    /// When it does not stop.
    pub async fn stop(&self) {
        let Some(process) = self.take() else { return };
        process.signal(Signal::TERM);
        process.signal(Signal::CONT);
        let stopped = timeout(STOP_DEADLINE, process.exited()).await;
        assert!(stopped.is_ok(), "{} does not stop:\n{}", self.name, process.log_tail());
    }

    /// Starts the process again with the same ports and data, and waits until it serves its clients.
    ///
    /// A member of a cluster serves them only once there is a leader: where most members are down, use
    /// [`spawn`](Self::spawn) for each and then [`ready`](Self::ready).
    ///
    /// # Panics
    ///
    /// When it does not, with the end of its log.
    pub async fn start(&self) {
        self.spawn();
        self.ready().await;
    }

    /// [Stops](Self::stop) the process if it runs and [starts](Self::start) it again.
    ///
    /// # Panics
    ///
    /// When it does not stop or start.
    pub async fn restart(&self) {
        self.stop().await;
        self.start().await;
    }

    /// Starts the process without waiting for anything. Does nothing if it runs.
    ///
    /// # Panics
    ///
    /// When the binary cannot be run.
    pub fn spawn(&self) {
        if !self.is_running() {
            self.run().unwrap_or_else(|error| {
                panic!("cannot run {}: {error}", self.version().etcd().display())
            });
        }
    }

    /// Waits until the process serves its clients.
    ///
    /// # Panics
    ///
    /// When it does not, with the end of its log.
    pub async fn ready(&self) {
        // Its ports are its own among tests. Whoever else holds one by chance may give it back.
        for _ in 0..PORT_ATTEMPTS {
            match self.serving().await {
                Ok(()) => return,
                Err(Failure::PortTaken) => self.spawn(),
                Err(Failure::Other(message)) => panic!("{message}"),
            }
        }
        panic!("somebody else listens on a port of {}", self.name);
    }

    /// Freezes the process (SIGSTOP): its connections stay open and nothing answers. Returns when it is frozen.
    pub fn pause(&self) {
        if let Some(process) = self.process() {
            self.frozen.store(true, Ordering::Relaxed);
            process.freeze();
        }
    }

    /// Lets a frozen process go on (SIGCONT).
    pub fn resume(&self) {
        if let Some(process) = self.process() {
            process.signal(Signal::CONT);
            self.frozen.store(false, Ordering::Relaxed);
        }
    }

    /// The text of `/metrics`.
    ///
    /// # Errors
    ///
    /// When the member is down or frozen.
    pub async fn metrics(&self) -> io::Result<String> {
        http::get(self.metrics_addr(), "/metrics").await
    }

    /// The value of one metric, by its name and labels as they appear in [`metrics`](Self::metrics). `None` when
    /// the member does not answer or has no such metric.
    pub async fn metric(&self, name: &str) -> Option<f64> {
        let text = self.metrics().await.ok()?;
        let value = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok();
        text.lines().find_map(value)
    }

    /// Runs this version's `etcdctl` against this member, and returns what it printed.
    ///
    /// # Panics
    ///
    /// When it fails, with its error.
    pub async fn etcdctl<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> String {
        let arguments: Vec<OsString> =
            arguments.into_iter().map(|argument| argument.as_ref().to_owned()).collect();
        let output = self.try_etcdctl(&arguments).await;
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "etcdctl {arguments:?}: {}: {error}", output.status);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Like [`etcdctl`](Self::etcdctl), for commands that may fail.
    ///
    /// # Panics
    ///
    /// When it cannot be run at all.
    pub async fn try_etcdctl<A: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
    ) -> Output {
        let mut command = Command::new(self.version().etcdctl());
        for name in own_variables() {
            command.env_remove(name);
        }
        // Its own limits are 5 s, and 2 s for the password, which a busy machine can need for a single hash.
        command.env("ETCDCTL_API", "3");
        command.env("ETCDCTL_COMMAND_TIMEOUT", "60s").env("ETCDCTL_DIAL_TIMEOUT", "60s");
        command.arg("--endpoints").arg(self.client_url());
        if let Some(tls) = &self.settings.tls {
            command.arg("--cacert").arg(&tls.ca);
            if let Some((certificate, key)) = &tls.client {
                command.arg("--cert").arg(certificate).arg("--key").arg(key);
            }
        }
        command.args(arguments).kill_on_drop(true);
        command.output().await.expect("etcdctl can be run")
    }

    pub(super) fn keep(&mut self, permit: Permit) {
        self.permit = Some(permit);
    }

    pub(crate) const fn settings(&self) -> &Settings {
        &self.settings
    }

    fn new(
        settings: &Settings,
        name: String,
        (ports, gate): (Ports, Option<Gate>),
        initial_cluster: &str,
        state: &str,
    ) -> Self {
        let home =
            Home::new().unwrap_or_else(|error| panic!("cannot make a member's folder: {error}"));
        let peer_url = advertised(gate.as_ref(), &ports);
        let arguments =
            arguments(settings, &name, &ports, &home, (&peer_url, initial_cluster), state);
        Self {
            process: Mutex::new(None),
            frozen: AtomicBool::new(false),
            home,
            gate,
            ports,
            settings: settings.clone(),
            name,
            arguments,
            permit: None,
        }
    }

    fn run(&self) -> io::Result<()> {
        let urls = 1 + usize::from(self.settings.unix_socket);
        let binary = self.version().etcd();
        let process =
            Process::start(&binary, &self.arguments, self.home.path(), &self.log(), urls)?;
        self.frozen.store(false, Ordering::Relaxed);
        *self.slot() = Some(Arc::new(process));
        Ok(())
    }

    async fn serving(&self) -> Result<(), Failure> {
        let Some(process) = self.process() else {
            return Err(Failure::Other(format!("{} was not started", self.name)));
        };
        let state = timeout(START_DEADLINE, process.started()).await;
        let what = match state {
            Ok(State::Serving) => return Ok(()),
            Ok(State::Exited(status)) => status.to_string(),
            Ok(State::Starting { .. }) | Err(_) => {
                format!("does not serve clients after {START_DEADLINE:?}")
            }
        };
        let log = process.log_tail();
        if log.contains("address already in use") {
            return Err(Failure::PortTaken);
        }
        Err(Failure::Other(format!("etcd {} {}: {what}\n{log}", self.version(), self.name)))
    }

    fn slot(&self) -> MutexGuard<'_, Option<Arc<Process>>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn process(&self) -> Option<Arc<Process>> {
        self.slot().clone()
    }

    fn take(&self) -> Option<Arc<Process>> {
        self.slot().take()
    }
}

/// Starts the members of a new cluster and waits until all of them serve their clients.
pub(crate) async fn launch(settings: &Settings, members: usize) -> Vec<Etcd> {
    launch_on(settings, members, Ports::pick).await
}

async fn launch_on(
    settings: &Settings,
    members: usize,
    mut pick: impl FnMut() -> Ports,
) -> Vec<Etcd> {
    for _ in 0..PORT_ATTEMPTS {
        let mut places = Vec::new();
        for _ in 0..members {
            let ports = pick();
            let gate =
                if settings.gates { Some(Gate::start(peer_addr(&ports)).await) } else { None };
            places.push((ports, gate));
        }
        let name = |index: usize| format!("m{index}");
        let peers: Vec<String> = places
            .iter()
            .enumerate()
            .map(|(index, (ports, gate))| {
                format!("{}={}", name(index), advertised(gate.as_ref(), ports))
            })
            .collect();
        let initial_cluster = peers.join(",");
        let members: Vec<Etcd> = places
            .into_iter()
            .enumerate()
            .map(|(index, place)| Etcd::new(settings, name(index), place, &initial_cluster, "new"))
            .collect();
        match start_all(&members).await {
            Ok(()) => return members,
            // The others know the port by now, so that all of them start anew.
            Err(Failure::PortTaken) => {}
            Err(Failure::Other(message)) => panic!("{message}"),
        }
    }
    panic!("somebody else listens on each of {PORT_ATTEMPTS} sets of ports");
}

async fn start_all(members: &[Etcd]) -> Result<(), Failure> {
    for member in members {
        member.spawn();
    }
    for member in members {
        member.serving().await?;
    }
    Ok(())
}

/// A member that is about to join a cluster: known to nobody yet and not started.
pub(crate) fn join(settings: &Settings, name: String, existing: &str) -> Etcd {
    assert!(!settings.gates, "a cluster with gates takes no learners");
    let ports = Ports::pick();
    let initial_cluster = format!("{existing},{name}={}", peer_url(&ports));
    Etcd::new(settings, name, (ports, None), &initial_cluster, "existing")
}

fn client_url(settings: &Settings, ports: &Ports) -> String {
    let scheme = if settings.tls.is_some() { "https" } else { "http" };
    format!("{scheme}://{}:{}", settings.client_host, ports.client.number())
}

fn peer_addr(ports: &Ports) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], ports.peer.number()))
}

fn peer_url(ports: &Ports) -> String {
    format!("http://{}", peer_addr(ports))
}

fn advertised(gate: Option<&Gate>, ports: &Ports) -> String {
    gate.map_or_else(|| peer_url(ports), Gate::url)
}

fn log(home: &Home) -> PathBuf {
    home.path().join("log")
}

fn arguments(
    settings: &Settings,
    name: &str,
    ports: &Ports,
    home: &Home,
    (advertised, initial_cluster): (&str, &str),
    state: &str,
) -> Vec<String> {
    let path = |path: &Path| path.display().to_string();
    let client_url = client_url(settings, ports);
    let mut listen = client_url.clone();
    if settings.unix_socket {
        let scheme = if settings.tls.is_some() { "unixs" } else { "unix" };
        listen.push_str(&format!(",{scheme}://localhost:{}", ports.client.number()));
    }
    let mut flags = vec![
        ("name", name.to_owned()),
        ("data-dir", path(&home.path().join("data"))),
        ("listen-client-urls", listen),
        ("advertise-client-urls", client_url),
        ("listen-peer-urls", peer_url(ports)),
        ("initial-advertise-peer-urls", advertised.to_owned()),
        ("initial-cluster", initial_cluster.to_owned()),
        ("initial-cluster-state", state.to_owned()),
        ("listen-metrics-urls", format!("http://127.0.0.1:{}", ports.metrics.number())),
        ("logger", "zap".to_owned()),
        ("log-outputs", "stderr".to_owned()),
    ];
    if settings.version.at_least(3, 5) {
        flags.push(("unsafe-no-fsync", "true".to_owned()));
    }
    if let Some(tls) = &settings.tls {
        flags.push(("cert-file", path(&tls.certificate)));
        flags.push(("key-file", path(&tls.key)));
        if tls.client.is_some() {
            flags.push(("client-cert-auth", "true".to_owned()));
            flags.push(("trusted-ca-file", path(&tls.ca)));
        }
    }
    let flags = flags.into_iter().map(|(name, value)| format!("--{name}={value}"));
    flags.chain(settings.arguments.iter().cloned()).collect()
}

#[cfg(test)]
mod tests;
