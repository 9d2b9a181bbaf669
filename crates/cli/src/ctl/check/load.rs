//! Writers that put keys as fast as they may.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use etcdkit::Client;
use etcdkit::proto::etcdserverpb::PutRequest;
use etcdkit::proto::method;
use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::ctl::refusal;
use crate::pause::now;
use crate::progress::Progress;
use crate::signals;

/// What is written, by how many at a time, and until when.
pub(super) struct Load {
    pub(super) clients: usize,
    pub(super) prefix: String,
    pub(super) key_bytes: usize,
    pub(super) value_bytes: usize,
    /// So many a second, where that is bounded.
    pub(super) rate: Option<u32>,
    pub(super) limit: Option<u64>,
    pub(super) duration: Option<Duration>,
}

/// What came of it. Durations are summed up, so that memory does not grow with their number.
#[derive(Default)]
pub(super) struct Outcome {
    done: u64,
    sum: f64,
    squares: f64,
    slowest: f64,
    seconds: f64,
    /// Errors with how often each came.
    pub(super) errors: BTreeMap<String, u64>,
    /// Whether somebody had enough before it was over.
    pub(super) was_interrupted: bool,
}

impl Outcome {
    pub(super) fn rate(&self) -> f64 {
        if self.seconds > 0.0 { self.done as f64 / self.seconds } else { 0.0 }
    }

    pub(super) fn slowest(&self) -> f64 {
        self.slowest
    }

    pub(super) fn deviation(&self) -> f64 {
        if self.done == 0 {
            return 0.0;
        }
        let mean = self.sum / self.done as f64;
        (self.squares / self.done as f64 - mean * mean).max(0.0).sqrt()
    }

    fn note(&mut self, seconds: f64) {
        self.done += 1;
        self.sum += seconds;
        self.squares += seconds * seconds;
        self.slowest = self.slowest.max(seconds);
    }
}

impl Load {
    /// Writes until all is written, the time is up or an interrupt comes. What is under way then is waited for, so that
    /// nothing is written after that.
    pub(super) async fn run(&self, client: &Client, bar: &Progress) -> Outcome {
        let outcome = RefCell::new(Outcome::default());
        let next = Cell::new(0_u64);
        let is_over = Cell::new(false);
        let start = now();
        let writers = (0..self.clients).map(|_| async {
            loop {
                let number = next.get();
                next.set(number + 1);
                if self.limit.is_some_and(|limit| number >= limit) {
                    return;
                }
                // Each write has its moment, whoever makes it.
                if let Some(rate) = self.rate {
                    let due = start + Duration::from_secs_f64(number as f64 / f64::from(rate));
                    tokio::time::sleep_until(due.into()).await;
                }
                let is_late = self.duration.is_some_and(|duration| start.elapsed() >= duration);
                if is_late || is_over.get() {
                    return;
                }
                let sent = now();
                let answer = client.raw(method::kv::PUT, &self.request(number)).await;
                let mut outcome = outcome.borrow_mut();
                match answer {
                    Ok(_) => outcome.note(sent.elapsed().as_secs_f64()),
                    Err(error) => *outcome.errors.entry(refusal::words(&error)).or_default() += 1,
                }
                match (self.limit, self.duration) {
                    (Some(limit), _) => bar.show(outcome.done, limit),
                    (None, Some(duration)) => {
                        bar.show(start.elapsed().as_secs(), duration.as_secs())
                    }
                    (None, None) => {}
                }
            }
        });
        let mut writing = pin!(join_all(writers));
        let was_interrupted = tokio::select! {
            _ = &mut writing => false,
            _ = signals::interrupted() => {
                is_over.set(true);
                writing.await;
                true
            }
        };
        let seconds = start.elapsed().as_secs_f64();
        Outcome { seconds, was_interrupted, ..outcome.take() }
    }

    fn request(&self, number: u64) -> PutRequest {
        let digits = self.key_bytes.saturating_sub(self.prefix.len());
        let key = format!("{}{number:0digits$}", self.prefix);
        PutRequest {
            key: Bytes::from(key),
            value: Bytes::from(vec![b'v'; self.value_bytes]),
            ..PutRequest::default()
        }
    }
}

/// How long a member has for its metrics.
const PATIENCE: Duration = Duration::from_secs(10);

/// The memory that a member has, by its metrics; or why nobody knows.
pub(super) async fn resident_bytes(endpoint: &str) -> Result<u64, String> {
    const METRIC: &str = "process_resident_memory_bytes ";
    let address = endpoint.trim_start_matches("http://").trim_end_matches('/');
    let failed = |why: &str| format!("the metrics of {endpoint} cannot be read: {why}");
    if address.starts_with("https://") {
        return Err(failed("only plain HTTP can be read; --listen-metrics-urls of etcd opens it"));
    }
    let read = async {
        let mut stream = TcpStream::connect(address).await?;
        let request = format!("GET /metrics HTTP/1.0\r\nHost: {address}\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut text = Vec::new();
        // Metrics of a member have less than a MiB.
        stream.take(16 << 20).read_to_end(&mut text).await?;
        std::io::Result::Ok(String::from_utf8_lossy(&text).into_owned())
    };
    let text = tokio::time::timeout(PATIENCE, read).await;
    let text = text.map_err(|_| failed("no answer in time"))?;
    let text = text.map_err(|error| failed(&error.to_string()))?;
    text.lines()
        .find_map(|line| line.strip_prefix(METRIC)?.trim().parse::<f64>().ok())
        .map(|bytes| bytes as u64)
        .ok_or_else(|| failed("there is no process_resident_memory_bytes"))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// What somebody measured.
    pub(in super::super) fn outcome(done: u64, slowest: f64, squares: f64) -> Outcome {
        Outcome { done, slowest, squares, seconds: 60.0, ..Outcome::default() }
    }

    #[test]
    fn an_outcome_tells_rate_and_deviation() {
        let mut outcome = Outcome { seconds: 2.0, ..Outcome::default() };
        for seconds in [1.0, 3.0] {
            outcome.note(seconds);
        }
        assert!((outcome.rate() - 1.0).abs() < 1e-9);
        assert!((outcome.deviation() - 1.0).abs() < 1e-9);
        assert!((outcome.slowest() - 3.0).abs() < 1e-9);
        assert!(Outcome::default().deviation().abs() < 1e-9);
    }
}
