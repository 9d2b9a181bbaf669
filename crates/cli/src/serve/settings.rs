//! What the flags come to: checked, and without a word about flags.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use etcdkit_server::{AuthJwt, AutoCompaction, ServerTls, TlsVersion};

use super::flags::{Fate, Values, duration};
use super::log::{Format, Level, LogSettings};
use crate::bootstrap::{Members, Url};

/// etcd's bound on the election timeout.
const MAX_ELECTION_MS: u64 = 50_000;

/// How a server is to be.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) name: String,
    /// `None` for a server that keeps nothing.
    pub(super) data_dir: Option<PathBuf>,
    pub(super) snapshot: Option<PathBuf>,
    /// Whether the flags say that there is a member already.
    pub(super) existing: bool,
    pub(super) listen: Listen,
    pub(super) advertise: Vec<Url>,
    pub(super) peer_urls: Vec<Url>,
    pub(super) cluster_token: String,
    pub(super) tls: Tls,
    pub(super) gateway: Gateway,
    pub(super) limits: Limits,
    pub(super) heartbeat: Duration,
    pub(super) election: Duration,
    pub(super) progress_interval: Duration,
    pub(super) auto_compaction: AutoCompaction,
    pub(super) auth: Auth,
    /// What is unwise, or without effect.
    pub(super) warnings: Vec<String>,
}

/// Where to listen, and for what.
#[derive(Debug)]
pub(super) struct Listen {
    pub(super) clients: Vec<Url>,
    pub(super) http: Vec<Url>,
    pub(super) metrics: Vec<Url>,
}

/// Where the certificate comes from.
#[derive(Debug)]
pub(super) enum Tls {
    Off,
    Files(ServerTls),
    /// Made here, for these years.
    Own {
        years: u64,
        shape: Shape,
    },
}

/// What there is to say about TLS besides the certificate.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    authority: Option<PathBuf>,
    revoked: Option<PathBuf>,
    client_names: Vec<String>,
    cipher_suites: Vec<String>,
    oldest: TlsVersion,
    newest: TlsVersion,
}

/// Who may use the JSON gateway.
#[derive(Debug)]
pub(super) struct Gateway {
    pub(super) on: bool,
    pub(super) hosts: Vec<String>,
}

#[derive(Debug)]
pub(super) struct Limits {
    pub(super) quota_bytes: u64,
    pub(super) txn_ops: usize,
    pub(super) request_bytes: usize,
    pub(super) concurrent_streams: u32,
    /// Between two pings of a client.
    pub(super) ping_min_time: Duration,
    /// Without a word of a client, before it is pinged.
    pub(super) ping_interval: Duration,
    pub(super) ping_timeout: Duration,
}

#[derive(Debug)]
pub(super) struct Auth {
    /// `None` for simple tokens.
    pub(super) jwt: Option<AuthJwt>,
    pub(super) bcrypt_cost: u32,
    pub(super) token_ttl: Duration,
}

impl Shape {
    /// The settings of TLS with this certificate.
    pub(super) fn of(self, certificate: &Path, key: &Path) -> ServerTls {
        let mut tls = ServerTls::new(certificate, key)
            .versions(self.oldest..=self.newest)
            .cipher_suites(self.cipher_suites)
            .client_names(self.client_names);
        if let Some(authority) = self.authority {
            tls = tls.client_ca(authority);
        }
        if let Some(lists) = self.revoked {
            tls = tls.client_revocations(lists);
        }
        tls
    }
}

/// How to log. It is known before the rest, which may be nonsense.
pub(super) fn log(values: &Values, terminal: bool) -> Result<LogSettings, String> {
    let logger = values.text("logger");
    if logger != "zap" {
        return Err(format!("unknown logger option {logger:?}"));
    }
    // People get columns, unless they asked for something.
    let asked = values.source("log-format").is_some();
    let columns = match values.text("log-format").as_str() {
        "json" if !asked => terminal,
        "json" => false,
        "console" => true,
        other => {
            return Err(format!("unknown log format: {other}, supported values json, console"));
        }
    };
    Ok(LogSettings {
        level: Level::parse(&values.text("log-level")),
        format: if columns { Format::Console } else { Format::Json },
        outputs: values.list("log-outputs"),
    })
}

impl Settings {
    /// Checks what was said.
    pub(super) fn check(values: &Values) -> Result<Self, String> {
        let mut warnings = Vec::new();
        refuse(values)?;
        let name = values.text("name");
        let peer_urls = values.urls("initial-advertise-peer-urls");
        if values.source("initial-cluster").is_some() {
            check_cluster(&values.text("initial-cluster"), &name, &peer_urls)?;
        }
        let listen = Listen::check(values)?;
        let advertise = advertised(values, &listen)?;
        let (heartbeat, election) = intervals(values)?;
        let in_memory = values.switch("in-memory");
        let data_dir = match values.text("data-dir") {
            folder if in_memory && !folder.is_empty() => {
                return Err(
                    "--in-memory keeps nothing in --data-dir: leave one of them out".to_owned()
                );
            }
            _ if in_memory => None,
            folder if folder.is_empty() => Some(format!("{name}.etcd").into()),
            folder => Some(folder.into()),
        };
        let tls = tls(values, &listen, in_memory, &mut warnings)?;
        Ok(Self {
            gateway: Gateway {
                on: values.switch("enable-grpc-gateway"),
                hosts: gateway_hosts(values, &listen, &advertise),
            },
            limits: Limits::check(values)?,
            auto_compaction: auto_compaction(values)?,
            auth: Auth::check(values)?,
            snapshot: Some(values.text("from-snapshot"))
                .filter(|path| !path.is_empty())
                .map(PathBuf::from),
            existing: values.text("initial-cluster-state") == "existing",
            cluster_token: values.text("initial-cluster-token"),
            progress_interval: values.duration("watch-progress-notify-interval"),
            name,
            data_dir,
            listen,
            advertise,
            peer_urls,
            tls,
            heartbeat,
            election,
            warnings,
        })
    }
}

/// Checks that the member is the cluster.
fn check_cluster(text: &str, name: &str, own: &[Url]) -> Result<(), String> {
    let members = Members::parse(text).map_err(|why| format!("--initial-cluster: {why}"))?;
    let names = members.names();
    if names.len() > 1 {
        return Err(format!(
            "--initial-cluster names {} members ({}), and this server is a cluster of one: name {name:?} alone, or run \
             etcd for a cluster",
            names.len(),
            names.join(", ")
        ));
    }
    members.check(name, own)
}

/// Refuses what is not done here.
fn refuse(values: &Values) -> Result<(), String> {
    for (flag, text, _) in values.given() {
        let Fate::Refused(why) = flag.fate else { continue };
        let harmless = flag.kind.parse(flag.default) == flag.kind.parse(text);
        if !harmless {
            return Err(format!("--{}={text} is not offered here: {why}", flag.name));
        }
    }
    Ok(())
}

impl Listen {
    fn check(values: &Values) -> Result<Self, String> {
        // Peers are listened for by nobody, but a wrong address is found now rather than by the first real cluster.
        for name in [
            "listen-peer-urls",
            "listen-client-urls",
            "listen-client-http-urls",
            "listen-metrics-urls",
        ] {
            for url in values.urls(name).iter().filter(|url| !url.is_unix()) {
                if url.host() != "localhost" && url.host().parse::<IpAddr>().is_err() {
                    return Err(format!(
                        "expected IP in URL for binding ({url}): --{name} takes addresses of this machine, or localhost"
                    ));
                }
            }
        }
        let listen = Self {
            clients: values.urls("listen-client-urls"),
            http: values.urls("listen-client-http-urls"),
            metrics: values.urls("listen-metrics-urls"),
        };
        if listen.clients.is_empty() {
            return Err("--listen-client-urls is empty: nobody could reach the server".to_owned());
        }
        Ok(listen)
    }

    fn all(&self) -> impl Iterator<Item = &Url> {
        self.clients.iter().chain(&self.http).chain(&self.metrics)
    }
}

/// What an address is bound by. Go takes IPv4 for `localhost`, and so do those who wait for it there.
pub(super) fn bindable(url: &Url) -> String {
    if url.is_unix() || url.host() != "localhost" {
        return url.to_string();
    }
    url.to_string().replacen("localhost", "127.0.0.1", 1)
}

/// The client URLs for the member list. None: those that are listened on.
fn advertised(values: &Values, listen: &Listen) -> Result<Vec<Url>, String> {
    if values.source("advertise-client-urls").is_some() {
        let urls = values.urls("advertise-client-urls");
        return match urls.iter().find(|url| !url.is_unix() && url.host().is_empty()) {
            Some(url) => Err(format!("--advertise-client-urls: there is no host in {url}")),
            None => Ok(urls),
        };
    }
    let unspecified =
        |url: &&Url| url.host().parse().is_ok_and(|host: IpAddr| host.is_unspecified());
    if let Some(url) = listen.clients.iter().find(unspecified) {
        return Err(format!(
            "--advertise-client-urls is required when --listen-client-urls is set explicitly: {url} is every address of \
             this machine, and clients need one that they can reach"
        ));
    }
    let default = values.source("listen-client-urls").is_none();
    Ok(if default { values.urls("advertise-client-urls") } else { Vec::new() })
}

fn intervals(values: &Values) -> Result<(Duration, Duration), String> {
    let (heartbeat, election) =
        (values.natural("heartbeat-interval"), values.natural("election-timeout"));
    for (name, value) in [("heartbeat-interval", heartbeat), ("election-timeout", election)] {
        if value == 0 {
            return Err(format!("--{name} must be >0 (set to 0ms)"));
        }
    }
    if heartbeat.saturating_mul(5) > election {
        return Err(format!(
            "--election-timeout[{election}ms] should be at least as 5 times as --heartbeat-interval[{heartbeat}ms]"
        ));
    }
    if election > MAX_ELECTION_MS {
        return Err(format!(
            "--election-timeout[{election}ms] is too long, and should be set less than {MAX_ELECTION_MS}ms"
        ));
    }
    Ok((Duration::from_millis(heartbeat), Duration::from_millis(election)))
}

fn tls(
    values: &Values,
    listen: &Listen,
    in_memory: bool,
    warnings: &mut Vec<String>,
) -> Result<Tls, String> {
    let (certificate, key) = (values.text("cert-file"), values.text("key-file"));
    let path = |name| Some(values.text(name)).filter(|path| !path.is_empty()).map(PathBuf::from);
    let shape = Shape {
        authority: path("trusted-ca-file"),
        revoked: path("client-crl-file"),
        client_names: values.list("client-cert-allowed-hostname"),
        cipher_suites: values.list("cipher-suites"),
        oldest: version(&values.text("tls-min-version"), TlsVersion::Tls12)?,
        newest: version(&values.text("tls-max-version"), TlsVersion::Tls13)?,
    };
    if values.switch("client-cert-auth") && shape.authority.is_none() {
        return Err("--client-cert-auth needs --trusted-ca-file, the authority that signs clients' certificates".to_owned());
    }
    if shape.oldest > shape.newest {
        return Err(
            "--tls-min-version is newer than --tls-max-version: no version is left".to_owned()
        );
    }
    let secure = listen.all().find(|url| url.is_secure());
    let tls = match (certificate.is_empty(), key.is_empty()) {
        (false, false) => Tls::Files(shape.of(certificate.as_ref(), key.as_ref())),
        (true, true) if values.switch("auto-tls") && in_memory => {
            return Err("--auto-tls keeps its certificate in the data folder, where clients find it, and --in-memory has \
                        none: give --cert-file and --key-file"
                .to_owned());
        }
        (true, true) if values.switch("auto-tls") => {
            Tls::Own { years: values.natural("self-signed-cert-validity").clamp(1, 100), shape }
        }
        (true, true) => Tls::Off,
        _ => {
            return Err(format!(
                "--cert-file and --key-file must both be present [cert: {certificate}, key: {key}]"
            ));
        }
    };
    match (&tls, secure) {
        (Tls::Off, Some(url)) => Err(format!(
            "TLS key/cert must be provided for {url}: give --cert-file and --key-file, or --auto-tls"
        )),
        (Tls::Files(_) | Tls::Own { .. }, None) => {
            warnings.push(
                "no URL that is listened on is https: the certificate is not used".to_owned(),
            );
            Ok(Tls::Off)
        }
        _ => Ok(tls),
    }
}

fn version(text: &str, default: TlsVersion) -> Result<TlsVersion, String> {
    match text {
        "" => Ok(default),
        "TLS1.2" => Ok(TlsVersion::Tls12),
        "TLS1.3" => Ok(TlsVersion::Tls13),
        _ => Err(format!("unexpected TLS version {text:?} (must be one of: TLS1.2, TLS1.3)")),
    }
}

/// By default the gateway answers to the names that the URLs for clients have.
fn gateway_hosts(values: &Values, listen: &Listen, advertise: &[Url]) -> Vec<String> {
    if values.source("host-whitelist").is_some() {
        return values.list("host-whitelist");
    }
    let urls = listen.all().chain(advertise).filter(|url| !url.is_unix());
    let mut hosts: Vec<String> = urls.map(|url| url.host().to_owned()).collect();
    hosts.sort();
    hosts.dedup();
    hosts
}

impl Limits {
    fn check(values: &Values) -> Result<Self, String> {
        let size = |name: &str| {
            let number = values.natural(name);
            usize::try_from(number)
                .map_err(|_| format!("--{name}={number} is more than this machine can count"))
        };
        Ok(Self {
            // A negative quota is none.
            quota_bytes: u64::try_from(values.integer("quota-backend-bytes")).unwrap_or(u64::MAX),
            txn_ops: size("max-txn-ops")?,
            request_bytes: size("max-request-bytes")?.min(u32::MAX as usize),
            concurrent_streams: u32::try_from(values.natural("max-concurrent-streams"))
                .unwrap_or(u32::MAX),
            ping_min_time: values.duration("grpc-keepalive-min-time"),
            ping_interval: values.duration("grpc-keepalive-interval"),
            ping_timeout: values.duration("grpc-keepalive-timeout"),
        })
    }
}

fn auto_compaction(values: &Values) -> Result<AutoCompaction, String> {
    let retention = values.text("auto-compaction-retention");
    let wrong =
        |what: &str| format!("error parsing auto-compaction-retention {retention:?}: {what}");
    match values.text("auto-compaction-mode").as_str() {
        "revision" => match retention.parse::<i64>() {
            Ok(0) => Ok(AutoCompaction::Off),
            Ok(kept @ 1..) => Ok(AutoCompaction::Revisions(kept.unsigned_abs())),
            _ => Err(wrong("in the mode 'revision' it is a number of revisions")),
        },
        "periodic" => {
            let hours = retention.parse::<u64>().ok();
            let time = match hours {
                Some(hours) => hours.checked_mul(3600).map(Duration::from_secs),
                None => duration(&retention),
            };
            match time {
                Some(Duration::ZERO) => Ok(AutoCompaction::Off),
                Some(time) => Ok(AutoCompaction::Periodic(time)),
                None => Err(wrong(
                    "in the mode 'periodic' it is a time such as '5m', or a number of hours",
                )),
            }
        }
        mode => Err(format!(
            "unknown auto-compaction-mode {mode:?}: 'periodic' and 'revision' are known"
        )),
    }
}

impl Auth {
    fn check(values: &Values) -> Result<Self, String> {
        let cost = values.natural("bcrypt-cost");
        Ok(Self {
            jwt: jwt(&values.text("auth-token"))?,
            // What is out of range is refused at the start, with the range.
            bcrypt_cost: u32::try_from(cost).unwrap_or(u32::MAX),
            token_ttl: Duration::from_secs(values.natural("auth-token-ttl")),
        })
    }
}

/// Reads `jwt,pub-key=…,priv-key=…,sign-method=…,ttl=…`.
fn jwt(text: &str) -> Result<Option<AuthJwt>, String> {
    let (kind, options) = text.split_once(',').unwrap_or((text, ""));
    match kind {
        "simple" => return Ok(None),
        "jwt" => {}
        _ => return Err(format!("--auth-token={text}: 'simple' and 'jwt,…' are known")),
    }
    let mut given = BTreeMap::new();
    for option in options.split(',').filter(|option| !option.is_empty()) {
        let Some((name, value)) = option.split_once('=') else {
            return Err(format!("--auth-token: {option:?} is not of the form NAME=VALUE"));
        };
        if !["pub-key", "priv-key", "sign-method", "ttl"].contains(&name) {
            return Err(format!(
                "--auth-token: {name:?} is unknown; it takes sign-method, pub-key, priv-key and ttl"
            ));
        }
        if given.insert(name, value).is_some() {
            return Err(format!("--auth-token: {name} is there twice"));
        }
    }
    let Some(method) = given.get("sign-method") else {
        return Err("--auth-token=jwt: sign-method is missing, such as RS256".to_owned());
    };
    let private = given.get("priv-key").or_else(|| given.get("pub-key"));
    let Some(private) = private else {
        return Err("--auth-token=jwt: priv-key is missing, the file to sign with".to_owned());
    };
    let mut jwt = AuthJwt::new(*method, *private);
    if let Some(public) = given.get("pub-key") {
        jwt = jwt.public_key(*public);
    }
    if let Some(ttl) = given.get("ttl") {
        let Some(ttl) = duration(ttl) else {
            return Err(format!("--auth-token: ttl={ttl} is no time such as '10m'"));
        };
        jwt = jwt.ttl(ttl);
    }
    Ok(Some(jwt))
}

/// What was given and is not served, for the log.
pub(super) fn recorded(values: &Values) -> Vec<String> {
    values
        .given()
        .filter(|(flag, ..)| flag.fate == Fate::Recorded)
        .map(|(flag, text, _)| match flag.name {
            // Logs are read by more people than secrets.
            "discovery-user" | "discovery-password" => format!("--{}=***", flag.name),
            name => format!("--{name}={text}"),
        })
        .collect()
}

#[cfg(test)]
mod tests;
