//! Metrics: RPC counters through the `metrics` facade, served to Prometheus over HTTP.
//!
//! A real program installs a ready-made exporter; the recorder here knows counters only, to show that any will do.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use etcdkit::Client;
use etcdkit_examples::{Result, Target};
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Counters by the text that Prometheus reads: name and labels.
#[derive(Clone, Default)]
struct Counters(Arc<Mutex<BTreeMap<String, Arc<AtomicU64>>>>);

impl Recorder for Counters {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let labels = key.labels().map(|label| format!("{}={:?}", label.key(), label.value()));
        let mut labels: Vec<String> = labels.collect();
        labels.sort();
        let line = format!("{}{{{}}}", key.name(), labels.join(","));
        let mut counters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Counter::from_arc(Arc::clone(counters.entry(line).or_default()))
    }
    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }
    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

impl Counters {
    /// Answers one request, whatever it asks for.
    async fn serve(&self, listener: &TcpListener) -> Result {
        let (mut stream, _) = listener.accept().await?;
        let _ = stream.read(&mut [0; 1024]).await?;
        let mut page = String::from("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n");
        for (line, count) in &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            writeln!(page, "{line} {}", count.load(Ordering::Relaxed))?;
        }
        Ok(stream.write_all(page.as_bytes()).await?)
    }
}

#[tokio::main]
async fn main() -> Result {
    let counters = Counters::default();
    metrics::set_global_recorder(counters.clone())?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;

    let etcd = Target::find().await?;
    let client = Client::connect(etcd.endpoints()).await?;
    client.get("test_key").await?;

    // Prometheus would ask; here, the example asks itself.
    let mut scrape = TcpStream::connect(listener.local_addr()?).await?;
    scrape.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await?;
    counters.serve(&listener).await?;
    let mut page = String::new();
    scrape.read_to_string(&mut page).await?;
    for line in page.lines().filter(|line| line.starts_with("grpc_client_started_total")) {
        println!("{line}");
    }
    client.close().await;
    etcd.stop().await;
    Ok(())
}
