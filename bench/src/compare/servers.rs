//! The servers of a comparison: started fresh for a round, stopped after it, each by its own handle.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::clients::bare_h2::BareH2;
use crate::load::{LoadClient, Workload};
use crate::{Error, clock};

/// How long a server may take until it answers.
const START: Duration = Duration::from_secs(15);
/// Between two attempts to reach a server that starts.
const ATTEMPT: Duration = Duration::from_millis(50);

/// A running server; dropping it kills the process and removes its data.
#[derive(Debug)]
pub struct Server {
    child: Child,
    endpoint: String,
    data: Option<DataFolder>,
}

/// Removed when dropped.
#[derive(Debug)]
struct DataFolder(PathBuf);

impl Drop for DataFolder {
    fn drop(&mut self) {
        // Left behind, it costs memory until the next boot, which is no reason to fail a measurement.
        drop(fs::remove_dir_all(&self.0));
    }
}

impl Server {
    /// Starts this program's null server on a free port.
    ///
    /// # Errors
    /// It does not come up.
    pub async fn null(value_size: usize) -> Result<Self, Error> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["null-server", "--listen", "127.0.0.1:0", "--until", "stdin-closes"])
            .args(["--value-size", &value_size.to_string()])
            // Kept open by `child`, so that the server ends with this process however that ends.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdout = child.stdout.take().ok_or("the null server has no output")?;
        let line = tokio::time::timeout(START, BufReader::new(stdout).lines().next_line())
            .await
            .map_err(|_| "the null server does not start")??;
        let endpoint = line
            .as_deref()
            .and_then(|line| line.strip_prefix("listening on "))
            .ok_or("the null server does not say where it listens")?
            .to_owned();
        Ok(Self { child, endpoint, data: None })
    }

    /// Starts a single etcd member on free ports, without fsync, and waits until it answers.
    ///
    /// # Errors
    /// The program cannot be started or does not answer in time.
    pub async fn etcd(program: &Path, data: PathBuf) -> Result<Self, Error> {
        let (client, peer) = (free_address()?, free_address()?);
        let (client_url, peer_url) = (format!("http://{client}"), format!("http://{peer}"));
        fs::create_dir_all(&data)?;
        let folder = DataFolder(data);
        let child = Command::new(program)
            .arg("--data-dir")
            .arg(folder.0.join("member"))
            .args(["--name", "bench", "--unsafe-no-fsync", "--log-level", "error"])
            .args(["--listen-client-urls", &client_url, "--advertise-client-urls", &client_url])
            .args(["--listen-peer-urls", &peer_url, "--initial-advertise-peer-urls", &peer_url])
            .args(["--initial-cluster", &format!("bench={peer_url}")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("{}: {error}", program.display()))?;
        let mut server = Self { child, endpoint: client, data: Some(folder) };
        let ready = tokio::time::timeout(START, async {
            while server.fill(1, 1).await.is_err() {
                if let Some(status) = server.child.try_wait()? {
                    return Err(format!("etcd ended with {status}").into());
                }
                clock::pause(ATTEMPT).await;
            }
            Ok::<(), Error>(())
        });
        ready.await.map_err(|_| "etcd does not answer")??;
        Ok(server)
    }

    /// Where clients reach it, as `host:port`.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Writes every key once, so that each get finds one.
    ///
    /// # Errors
    /// The server refuses.
    pub async fn fill(&self, keys: usize, value_size: usize) -> Result<(), Error> {
        let workload = Workload::new(vec![self.endpoint.clone()], keys, value_size);
        let mut client = BareH2::<true, true>::connect(Arc::new(workload)).await?;
        for number in 0..keys {
            client.put(number).await?;
        }
        Ok(())
    }

    /// Kills the process and waits for its end.
    ///
    /// # Errors
    /// The operating system refuses.
    pub async fn stop(mut self) -> Result<(), Error> {
        self.child.kill().await?;
        drop(self.data.take());
        Ok(())
    }
}

/// An address that was free a moment ago.
fn free_address() -> Result<String, Error> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}
