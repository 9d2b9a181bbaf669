//! What can be observed: the names of events and metrics, in one place.
//!
//! Events and spans go through `tracing`, under the target `etcdkit`: `warn` and `info` for endpoints that fail and come
//! back, `debug` for retries. Each call with one answer is a span `etcd.call` at level `debug`, each stream a span
//! `etcd.stream` from the moment in which it is asked for to its end, with the fields `rpc`, `endpoint` (the one
//! that answered, or the last that was tried), `attempts` (those that failed), `kind` and `code` (of the failure). A
//! client that nobody listens to pays one comparison per call for it. The stream that watches share, or the renewals of
//! leases, is a span of its own, below none of those that use it.
//!
//! With the feature `metrics`, RPCs are counted through the `metrics` facade under the names that gRPC's own exporters
//! use, so that existing dashboards work:
//!
//! | name | labels |
//! |---|---|
//! | `grpc_client_started_total` | `grpc_type`, `grpc_service`, `grpc_method` |
//! | `grpc_client_handled_total` | the same, and `grpc_code` |
//! | `grpc_client_msg_sent_total` | `grpc_type`, `grpc_service`, `grpc_method` |
//! | `grpc_client_msg_received_total` | `grpc_type`, `grpc_service`, `grpc_method` |
//!
//! `grpc_type` is `unary`, `server_stream` or `bidi_stream`. Watches share streams, and so do renewals of leases: what is
//! counted is streams and their messages. One that is no longer needed ends as `Canceled`.
//!
//! What watches hold for readers that are slower than the server is gauged for all watches together; of one watch,
//! [`WatchControl::state`](crate::WatchControl::state) tells.
//!
//! | name | |
//! |---|---|
//! | `etcd_client_watches` | watches whose stream has not been dropped |
//! | `etcd_client_watch_backlog_responses` | responses that have yet to be read |
//! | `etcd_client_watch_backlog_bytes` | the memory that they take, about |

mod rpc;

pub(crate) use rpc::Rpc;

/// How verbose etcd's clients are asked to be by the environment variable `ETCD_CLIENT_DEBUG`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum LogLevel {
    /// Failures that the caller is told of.
    Error,
    /// Endpoints that fail.
    Warn,
    /// Endpoints that become ready. What an empty value, `true` and anything unknown mean.
    Info,
    /// Every retry.
    Debug,
}

impl LogLevel {
    /// The level that `ETCD_CLIENT_DEBUG` names; `None` if it is not set.
    ///
    /// A library does not install a subscriber; a program passes this on to its own, as a filter for the target
    /// `etcdkit`:
    ///
    /// ```
    /// use etcdkit::telemetry::LogLevel;
    ///
    /// let level = LogLevel::from_env().unwrap_or(LogLevel::Warn);
    /// let filter = format!("etcdkit={}", level.as_str());
    /// assert!(filter.starts_with("etcdkit="));
    /// ```
    #[must_use]
    pub fn from_env() -> Option<Self> {
        std::env::var("ETCD_CLIENT_DEBUG").ok().map(|value| Self::of(&value))
    }

    fn of(value: &str) -> Self {
        match value.to_ascii_lowercase().as_str() {
            "debug" | "-1" => Self::Debug,
            "warn" => Self::Warn,
            "error" | "dpanic" | "panic" | "fatal" => Self::Error,
            _ => Self::Info,
        }
    }

    /// The name as filters spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

/// What one watch holds for its reader, on the gauges of all.
#[derive(Debug)]
pub(crate) struct Backlog {
    #[cfg(feature = "metrics")]
    gauges: gauged::Gauges,
}

#[cfg(not(feature = "metrics"))]
impl Backlog {
    pub(crate) fn new() -> Self {
        Self {}
    }

    #[inline]
    pub(crate) fn added(&self, _bytes: usize) {}

    #[inline]
    pub(crate) fn removed(&self, _responses: usize, _bytes: usize) {}
}

#[cfg(feature = "metrics")]
mod gauged {
    use std::fmt;

    use metrics::{Gauge, gauge};

    use super::Backlog;

    /// Handles, so that the recorder is asked for them once per watch.
    pub(super) struct Gauges {
        watches: Gauge,
        responses: Gauge,
        bytes: Gauge,
    }

    impl fmt::Debug for Gauges {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Gauges")
        }
    }

    impl Backlog {
        pub(crate) fn new() -> Self {
            let gauges = Gauges {
                watches: gauge!("etcd_client_watches"),
                responses: gauge!("etcd_client_watch_backlog_responses"),
                bytes: gauge!("etcd_client_watch_backlog_bytes"),
            };
            gauges.watches.increment(1.0);
            Self { gauges }
        }

        pub(crate) fn added(&self, bytes: usize) {
            self.gauges.responses.increment(1.0);
            self.gauges.bytes.increment(bytes as f64);
        }

        pub(crate) fn removed(&self, responses: usize, bytes: usize) {
            self.gauges.responses.decrement(responses as f64);
            self.gauges.bytes.decrement(bytes as f64);
        }
    }

    impl Drop for Backlog {
        fn drop(&mut self) {
            self.gauges.watches.decrement(1.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::LogLevel;

    #[test]
    fn debug_levels_are_read_as_etcd_reads_them() {
        for (value, level) in [
            ("", LogLevel::Info),
            ("true", LogLevel::Info),
            ("nonsense", LogLevel::Info),
            ("DEBUG", LogLevel::Debug),
            ("warn", LogLevel::Warn),
            ("error", LogLevel::Error),
        ] {
            assert_eq!(LogLevel::of(value), level, "{value:?}");
        }
    }
}
