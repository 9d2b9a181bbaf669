//! What happens to scripts and seldom to people: a command is interrupted at a bad moment, is there before the cluster, talks
//! to several clusters, or is handed a pipe that is not for its children.
#![cfg(unix)]

mod early;
mod endpoints;
mod interrupts;
#[path = "../common/live.rs"]
mod live;
mod snapshots;
mod watches;

use std::path::Path;

use etcdkit::Client;
use etcdkit_server::Server;
use tokio::process::Command;

use self::live::Live;

/// A server of a cluster of its own, and a client of it.
async fn served(cluster: &str) -> (Server, Client) {
    let server = Server::builder().listen("127.0.0.1:0").cluster_token(cluster).start().await;
    let server = server.expect("it starts");
    let client = Client::connect(server.client_urls()).await.expect("it serves");
    (server, client)
}

fn address(server: &Server) -> String {
    server.client_urls()[0].trim_start_matches("http://").to_owned()
}

fn command(endpoints: &str, folder: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_etcdkit"));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("ETCDCTL_ENDPOINTS", endpoints).current_dir(folder).args(words);
    command
}

fn start(endpoints: &str, folder: &Path, words: &[&str]) -> Live {
    Live::start(command(endpoints, folder, words))
}
