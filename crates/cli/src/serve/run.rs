//! From a command line to a server, and to its end.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::Path;

use etcdkit_server::{ErrorKind, storage::Disk};
use etcdkit_server::{Server, ServerBuilder};
use serde_json::{Value as Json, json};

use super::certificates;
use super::flags::{self, Asked, Misuse, Values};
use super::help;
use super::log::{Format, Level, Log, LogSettings};
use super::settings::{self, Settings, Tls, bindable};
use crate::bootstrap::Url;
use crate::command::{Call, spelled};
use crate::console::Console;
use crate::failure::{self, Failure, exit};
use crate::pause::time_of_day;
use crate::signals::{Signal, Signals};

/// The exit code for a command line that is no list of flags.
const SYNTAX: u8 = 2;

/// Serves until a signal comes, which then ends the process, or the storage fails, which is the exit code 1.
pub(super) fn run(call: &mut Call<'_>) -> failure::Result<()> {
    let program = spelled(&call.path);
    let arguments = call.texts();
    let asked = match arguments.first().map(String::as_str) {
        Some(proxy @ ("gateway" | "grpc-proxy")) => Err(Misuse::Meaning(format!(
            "{proxy} is not offered here: clients of etcdkit find a member that answers by themselves; for others run \
             etcd {proxy}"
        ))),
        _ => flags::read(&arguments, &variables(call.console)),
    };
    let console = &mut *call.console;
    match asked {
        Ok(Asked::Help) => {
            // As etcd does: how it is started on one stream, what the flags do on the other.
            console.print_error(help::usage(&program));
            Ok(console.print(help::flags())?)
        }
        Ok(Asked::Version) => Ok(console.print(help::version())?),
        Ok(Asked::Serve { values, warnings }) => {
            start(&values, &warnings, &shown(&program, &arguments), console.err_is_terminal())
        }
        Err(Misuse::Syntax(why)) => {
            console.error_line(why);
            console.print_error(help::usage(&program));
            Err(Failure::silent(SYNTAX))
        }
        Err(Misuse::Meaning(why)) => {
            let log = Log::to_stderr(default_log(console.err_is_terminal()).format, time_of_day);
            log.warn(REFUSED, &[("error", why.into())]);
            Err(Failure::silent(exit::ERROR))
        }
    }
}

/// What etcd says of a command line that it does not take.
const REFUSED: &str = "failed to verify flags";

fn variables(console: &Console) -> Vec<(String, String)> {
    let text = |text: &OsStr| text.to_string_lossy().into_owned();
    let all = console.variables().map(|(name, value)| (text(name), text(value)));
    all.filter(|(name, _)| name.starts_with("ETCD_")).collect()
}

fn default_log(terminal: bool) -> LogSettings {
    let format = if terminal { Format::Console } else { Format::Json };
    LogSettings { level: Level::Info, format, outputs: vec!["stderr".to_owned()] }
}

fn start(
    values: &Values,
    warnings: &[String],
    line: &[String],
    terminal: bool,
) -> failure::Result<()> {
    let (settings, refused) = match settings::log(values, terminal) {
        Ok(settings) => (settings, None),
        Err(why) => (default_log(terminal), Some(why)),
    };
    let (log, refused) = match Log::open(&settings, time_of_day) {
        Ok(log) => (log, refused),
        Err(why) => (Log::to_stderr(settings.format, time_of_day), Some(why)),
    };
    let settings = match refused.map_or_else(|| Settings::check(values), Err) {
        Ok(settings) => settings,
        Err(why) => {
            log.warn(REFUSED, &[("error", why.into())]);
            return Err(Failure::silent(exit::ERROR));
        }
    };
    log.info("Running: ", &[("args", json!(line))]);
    for warning in warnings.iter().chain(&settings.warnings) {
        log.warn(warning, &[]);
    }
    let recorded = settings::recorded(values);
    if !recorded.is_empty() {
        log.info("checked, and without effect in this server", &[("flags", json!(recorded))]);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let ended = runtime.map_err(|error| error.to_string()).and_then(|runtime| {
        let ended = runtime.block_on(serve(settings, &log));
        // What had to be waited for was: a thread that hangs, in a sync say, keeps nothing from ending.
        runtime.shutdown_background();
        ended
    });
    match ended {
        Ok(end) => end.end_process(),
        Err(why) => {
            log.fatal("cannot start", &[("error", why.into())]);
            Err(Failure::silent(exit::ERROR))
        }
    }
}

/// What a server ended for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Signal(Signal),
    /// The storage failed.
    Failure,
}

impl End {
    fn end_process(self) -> failure::Result<()> {
        match self {
            Self::Signal(signal) => {
                signal.end_process();
                Ok(())
            }
            Self::Failure => Err(Failure::silent(exit::ERROR)),
        }
    }
}

/// The command line as it was, but for what nobody is to read.
fn shown(program: &str, arguments: &[String]) -> Vec<String> {
    let hide = |argument: &String| match argument.split_once('=') {
        Some((name, _))
            if name.ends_with("discovery-password") || name.ends_with("discovery-user") =>
        {
            format!("{name}=***")
        }
        _ => argument.clone(),
    };
    program.split(' ').map(str::to_owned).chain(arguments.iter().map(hide)).collect()
}

/// Serves until a signal comes, or the storage fails.
async fn serve(settings: Settings, log: &Log) -> Result<End, String> {
    let mut signals = Signals::listen().map_err(|error| format!("no signals: {error}"))?;
    let about = about(&settings);
    let advertised = listed(&settings.advertise);
    let served: Vec<Url> = settings.listen.clients.clone();
    let metrics: Vec<Url> = settings.listen.metrics.clone();
    let name = settings.name.clone();
    log.info("starting an etcd server", &about);
    let server = builder(settings)?.start().await.map_err(|error| match error.kind() {
        ErrorKind::Listen => format!("{error}. --listen-client-urls takes other addresses"),
        _ => error.to_string(),
    })?;
    log.info("ready to serve client requests", &[]);
    for (url, actual) in served.iter().zip(server.client_urls()) {
        let fields = [("traffic", json!("grpc+http")), ("address", json!(address(actual)))];
        if url.is_secure() {
            log.info("serving client traffic securely", &fields);
        } else {
            log.info("serving client traffic insecurely; this is strongly discouraged!", &fields);
        }
    }
    for url in metrics {
        log.info("serving metrics", &[("address", json!(url.to_string()))]);
    }
    notify_service_manager();
    let end = end(&server, &mut signals, log).await;
    let fields = [("name", json!(name)), ("advertise-client-urls", json!(advertised))];
    log.info("closing etcd server", &fields);
    tokio::select! {
        () = server.shutdown() => log.info("closed etcd server", &fields),
        again = signals.next() => {
            log.warn("a second signal: not waiting any more", &[("signal", json!(again.name()))]);
        }
    }
    Ok(end)
}

/// Waits until there is a reason to end, and says so.
async fn end(server: &Server, signals: &mut Signals, log: &Log) -> End {
    tokio::select! {
        signal = signals.next() => {
            log.info("received signal; shutting down", &[("signal", json!(signal.name()))]);
            End::Signal(signal)
        }
        why = server.failed() => {
            log.fatal("the storage failed; shutting down", &[("error", json!(why.to_string()))]);
            End::Failure
        }
    }
}

fn address(url: &str) -> &str {
    url.split_once("://").map_or(url, |(_, address)| address)
}

fn listed(urls: &[Url]) -> Vec<String> {
    urls.iter().map(Url::to_string).collect()
}

fn about(settings: &Settings) -> Vec<(&'static str, Json)> {
    let data_dir = settings.data_dir.as_ref().map(|folder| folder.display().to_string());
    vec![
        ("etcd-version", json!(help::ETCD)),
        ("etcdkit-version", json!(env!("CARGO_PKG_VERSION"))),
        ("name", json!(settings.name)),
        ("data-dir", json!(data_dir)),
        ("heartbeat-interval", json!(format!("{:?}", settings.heartbeat))),
        ("election-timeout", json!(format!("{:?}", settings.election))),
        ("initial-advertise-peer-urls", json!(listed(&settings.peer_urls))),
        ("listen-client-urls", json!(listed(&settings.listen.clients))),
        ("advertise-client-urls", json!(listed(&settings.advertise))),
        ("listen-metrics-urls", json!(listed(&settings.listen.metrics))),
        ("initial-cluster-token", json!(settings.cluster_token)),
        ("quota-backend-bytes", json!(settings.limits.quota_bytes)),
        ("max-request-bytes", json!(settings.limits.request_bytes)),
        ("max-txn-ops", json!(settings.limits.txn_ops)),
    ]
}

/// The server that the settings describe. It opens the storage.
fn builder(settings: Settings) -> Result<ServerBuilder, String> {
    let Settings { auth, limits, listen, gateway, .. } = settings;
    let mut builder = Server::builder()
        .name(settings.name)
        .peer_urls(listed(&settings.peer_urls))
        .advertise_client_urls(listed(&settings.advertise))
        .cluster_token(settings.cluster_token)
        .heartbeat_interval(settings.heartbeat)
        .election_timeout(settings.election)
        .watch_progress_interval(settings.progress_interval)
        .auto_compaction(settings.auto_compaction)
        .quota_backend_bytes(limits.quota_bytes)
        .max_txn_ops(limits.txn_ops)
        .max_request_bytes(limits.request_bytes)
        .max_concurrent_streams(limits.concurrent_streams)
        .grpc_keepalive_min_time(limits.ping_min_time)
        .grpc_keepalive_interval(limits.ping_interval)
        .grpc_keepalive_timeout(limits.ping_timeout)
        .bcrypt_cost(auth.bcrypt_cost)
        .auth_token_ttl(auth.token_ttl)
        .gateway_hosts(gateway.hosts);
    if !gateway.on {
        builder = builder.without_gateway();
    }
    if let Some(jwt) = auth.jwt {
        builder = builder.auth_jwt(&jwt).map_err(|error| format!("--auth-token: {error}"))?;
    }
    if let Some(folder) = &settings.data_dir {
        builder = builder.storage(storage(folder, settings.existing)?);
    } else if settings.existing {
        return Err(
            "--initial-cluster-state=existing and --in-memory: there is no cluster to join"
                .to_owned(),
        );
    }
    if let Some(path) = settings.snapshot {
        builder = builder.snapshot(path);
    }
    let hosts = || {
        let urls = listen.clients.iter().chain(&listen.http).chain(&listen.metrics);
        urls.filter(|url| !url.is_unix()).map(|url| url.host().to_owned()).collect::<BTreeSet<_>>()
    };
    let tls = match settings.tls {
        Tls::Off => None,
        Tls::Files(tls) => Some(tls),
        Tls::Own { years, shape } => {
            let Some(folder) = &settings.data_dir else {
                unreachable!("a certificate of one's own is refused without a folder")
            };
            let files = certificates::own(folder, &hosts(), years, time_of_day())?;
            Some(shape.of(&files.certificate, &files.key))
        }
    };
    if let Some(tls) = tls {
        builder = builder.tls(&tls).map_err(|error| error.to_string())?;
    }
    builder = listen.clients.iter().fold(builder, |builder, url| builder.listen(bindable(url)));
    builder = listen.http.iter().fold(builder, |builder, url| builder.listen_http(bindable(url)));
    builder =
        listen.metrics.iter().fold(builder, |builder, url| builder.listen_metrics(bindable(url)));
    Ok(builder)
}

fn storage(folder: &Path, existing: bool) -> Result<Disk, String> {
    let shown = folder.display();
    if folder.join("member").is_dir() {
        return Err(format!(
            "{shown} is the data directory of a real etcd, and was left as it is: this server keeps another format. To \
             serve what is in it, save a snapshot while its etcd runs (etcdkit snapshot save FILE), and start with a new \
             folder: etcdkit serve --data-dir NEW --from-snapshot FILE"
        ));
    }
    if existing && !Disk::exists(folder) {
        return Err(format!(
            "--initial-cluster-state=existing: there is no member in {shown}, and this server joins no cluster. Leave \
             the flag out to begin anew"
        ));
    }
    Disk::open(folder).map_err(|error| format!("{shown} cannot be used: {error}"))
}

/// Tells systemd, where it asked to be told.
fn notify_service_manager() {
    #[cfg(unix)]
    if let Some(socket) = std::env::var_os("NOTIFY_SOCKET") {
        let sent = std::os::unix::net::UnixDatagram::unbound()
            .and_then(|datagram| datagram.send_to(b"READY=1", socket));
        // Nobody who asked is no reason not to serve.
        drop(sent);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use etcdkit::Client;
    use etcdkit_server::storage::{Batch, Load, Source, Storage, StorageError};

    use super::*;

    /// A disk that is gone.
    #[derive(Debug)]
    struct Gone;

    impl Storage for Gone {
        fn load(&mut self, _: &mut Load<'_>) -> Result<(), StorageError> {
            Ok(())
        }

        fn commit(&mut self, _: &Batch) -> Result<(), StorageError> {
            Err(StorageError::Broken("sync: the drive is gone".to_owned()))
        }

        fn fill(&mut self, _: &mut Source<'_>) -> Result<(), StorageError> {
            Ok(())
        }
    }

    /// It went on, and said nothing.
    #[tokio::test]
    async fn a_server_whose_storage_failed_says_so_and_ends_with_an_error() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        let outputs = vec![path.display().to_string()];
        let settings = LogSettings { level: Level::Info, format: Format::Json, outputs };
        let log = Log::open(&settings, || Duration::ZERO).expect("it opens");
        let mut signals = Signals::listen().expect("signals");
        let server = Server::builder().listen("127.0.0.1:0").storage(Gone);
        let server = server.start().await.expect("it starts");
        let client = Client::connect([server.client_urls()[0].as_str()]).await.expect("it serves");
        let putting = async {
            client.put("a", "1").await.expect_err("it is not durable");
            std::future::pending().await
        };
        let ended = tokio::select! {
            ended = end(&server, &mut signals, &log) => ended,
            () = putting => unreachable!("it waits for the end"),
        };
        assert_eq!(ended, End::Failure);
        assert_eq!(ended.end_process().expect_err("it failed").code, exit::ERROR);
        let text = std::fs::read_to_string(&path).expect("it is there");
        assert!(
            text.contains(r#""level":"fatal""#) && text.contains("the drive is gone"),
            "{text}"
        );
    }
}
