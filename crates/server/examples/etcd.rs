//! The embedded server behind etcd's own flags, as far as tests set them: in place of an etcd it runs under whatever
//! starts one.
#![expect(clippy::print_stderr, reason = "a program that says what it does")]

use std::collections::HashMap;
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use etcdkit_server::storage::Disk;
use etcdkit_server::{AutoCompaction, Server, ServerBuilder};

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let mut flags = HashMap::new();
    for argument in std::env::args().skip(1) {
        let (name, value) =
            argument.split_once('=').ok_or_else(|| format!("{argument}: no value"))?;
        flags.insert(name.trim_start_matches('-').to_owned(), value.to_owned());
    }
    let server = configured(&flags)?.start().await?;
    for url in server.client_urls() {
        // What those wait for who start an etcd.
        eprintln!("serving client traffic on {url}");
    }
    terminated().await?;
    server.shutdown().await;
    Ok(())
}

fn configured(flags: &HashMap<String, String>) -> Result<ServerBuilder, Box<dyn Error>> {
    let mut builder = Server::builder();
    for (name, value) in flags {
        let urls = || value.split(',').map(str::to_owned);
        let millis = || Ok::<_, Box<dyn Error>>(Duration::from_millis(value.parse()?));
        builder = match name.as_str() {
            "name" => builder.name(value),
            "data-dir" => builder.storage(Disk::open(value)?),
            "listen-client-urls" => urls()
                .fold(builder, |builder, url| builder.listen(url.replacen("unix://", "unix:", 1))),
            // What is asked for over HTTP is answered on any address.
            "listen-metrics-urls" => urls().fold(builder, ServerBuilder::listen),
            "advertise-client-urls" => builder.advertise_client_urls(urls()),
            "initial-advertise-peer-urls" => builder.peer_urls(urls()),
            "initial-cluster-token" => builder.cluster_token(value),
            "quota-backend-bytes" => builder.quota_backend_bytes(value.parse()?),
            "max-request-bytes" => builder.max_request_bytes(value.parse()?),
            "max-txn-ops" => builder.max_txn_ops(value.parse()?),
            "max-concurrent-streams" => builder.max_concurrent_streams(value.parse()?),
            "heartbeat-interval" => builder.heartbeat_interval(millis()?),
            "election-timeout" => builder.election_timeout(millis()?),
            "auth-token-ttl" => builder.auth_token_ttl(Duration::from_secs(value.parse()?)),
            "bcrypt-cost" => builder.bcrypt_cost(value.parse()?),
            #[cfg(feature = "jwt")]
            "auth-token" if value != "simple" => builder.auth_jwt(&jwt(value)?)?,
            #[cfg(not(feature = "jwt"))]
            "auth-token" if value != "simple" => return Err("built without the feature jwt".into()),
            "watch-progress-notify-interval" | "experimental-watch-progress-notify-interval" => {
                builder.watch_progress_interval(duration(value)?)
            }
            "auto-compaction-retention"
                if flags.get("auto-compaction-mode").is_some_and(|mode| mode == "revision") =>
            {
                builder.auto_compaction(AutoCompaction::Revisions(value.parse()?))
            }
            "initial-cluster-state" if value != "new" => return Err("no cluster to join".into()),
            "cert-file" | "client-cert-auth" => return Err("TLS is not wired up here".into()),
            _ => builder,
        };
    }
    Ok(builder)
}

/// Reads `jwt,pub-key=…,priv-key=…,sign-method=…,ttl=…`.
#[cfg(feature = "jwt")]
fn jwt(text: &str) -> Result<etcdkit_server::AuthJwt, Box<dyn Error>> {
    let options: HashMap<&str, &str> =
        text.split(',').filter_map(|part| part.split_once('=')).collect();
    let option =
        |name: &str| options.get(name).ok_or_else(|| format!("{name} is missing in {text}"));
    let jwt = etcdkit_server::AuthJwt::new(*option("sign-method")?, option("priv-key")?);
    Ok(jwt.public_key(option("pub-key")?).ttl(duration(option("ttl")?)?))
}

/// A duration of one number and one unit, as in `100ms`.
fn duration(text: &str) -> Result<Duration, Box<dyn Error>> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse()?;
    match unit {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_secs(number * 60)),
        _ => Err(format!("{text} is no duration").into()),
    }
}

#[cfg(unix)]
async fn terminated() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    signal(SignalKind::terminate())?.recv().await;
    Ok(())
}

#[cfg(not(unix))]
async fn terminated() -> std::io::Result<()> {
    tokio::signal::ctrl_c().await
}
