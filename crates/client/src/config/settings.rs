//! Settings out of a file or the environment, under the names of etcd's own client and tools.

use std::time::Duration;

use super::{ClientBuilder, Limits, RetryPolicy, Tls};
use crate::error::{Error, Result};

/// gRPC's Go client pings no oftener, whatever it is told.
const SHORTEST_KEEP_ALIVE: Duration = Duration::from_secs(10);

/// What was set; what is left out is as by default.
#[derive(Clone, Default, PartialEq)]
pub(super) struct Settings {
    pub(super) endpoints: Vec<String>,
    pub(super) connect_timeout: Option<Duration>,
    pub(super) timeout: Option<Duration>,
    pub(super) keep_alive: Option<Duration>,
    pub(super) keep_alive_timeout: Option<Duration>,
    pub(super) auto_sync: Option<Duration>,
    pub(super) max_send_message: Option<usize>,
    pub(super) max_receive_message: Option<usize>,
    pub(super) max_attempts: Option<u32>,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    pub(super) token: Option<String>,
    pub(super) reject_old_cluster: bool,
    /// Whether an endpoint without a scheme is TLS.
    pub(super) tls: bool,
    pub(super) skip_verification: bool,
    pub(super) ca_file: Option<String>,
    pub(super) certificate_file: Option<String>,
    pub(super) key_file: Option<String>,
}

impl Settings {
    /// The builder with these settings.
    pub(super) fn into_builder(self) -> Result<ClientBuilder> {
        let mut builder = ClientBuilder::new().endpoints(self.endpoints);
        if self.tls {
            let mut tls = Tls::new();
            if let Some(path) = self.ca_file {
                tls = tls.ca_file(path);
            }
            if let (Some(certificate), Some(key)) = (self.certificate_file, self.key_file) {
                tls = tls.client_certificate_files(certificate, key);
            }
            if self.skip_verification {
                tls = tls.danger_skip_verification();
            }
            tls.validate()?;
            builder = builder.tls(tls);
        }
        if let Some(timeout) = self.timeout {
            builder = builder.timeout(timeout);
        }
        if let Some(timeout) = self.connect_timeout {
            builder = builder.connect_timeout(timeout);
        }
        if let Some(interval) = self.keep_alive {
            builder = builder.keep_alive(interval.max(SHORTEST_KEEP_ALIVE));
            if let Some(timeout) = self.keep_alive_timeout {
                builder = builder.keep_alive_timeout(timeout);
            }
        }
        if let Some(interval) = self.auto_sync {
            builder = builder.auto_sync(interval);
        }
        if let (Some(send), Some(receive)) = (self.max_send_message, self.max_receive_message)
            && send > receive
        {
            return Err(Error::invalid(format!(
                "gRPC message recv limit ({receive} bytes) must be greater than send limit ({send} bytes)"
            )));
        }
        let mut limits = Limits::new();
        if let Some(bytes) = self.max_send_message {
            limits = limits.max_send_message(bytes);
        }
        if let Some(bytes) = self.max_receive_message {
            limits = limits.max_receive_message(bytes);
        }
        builder = builder.limits(limits);
        if let Some(attempts) = self.max_attempts {
            builder = builder.retry(RetryPolicy::new().max_attempts(attempts));
        }
        match (self.user, self.password) {
            (Some(user), Some(password)) => builder = builder.user(user, password),
            (None, None) => {}
            // etcd's own would connect as nobody.
            (Some(_), None) => {
                return Err(Error::invalid("a user name is given without a password"));
            }
            (None, Some(_)) => {
                return Err(Error::invalid("a password is given without a user name"));
            }
        }
        if let Some(token) = self.token {
            builder = builder.token(token);
        }
        if self.reject_old_cluster {
            builder = builder.reject_old_cluster();
        }
        Ok(builder)
    }
}

/// A duration as Go writes it: `1m30s`, `500ms`, `1.5h`, `0`.
pub(super) fn duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut sum = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(digits);
        let unit = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit);
        let seconds = match unit {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        let amount: f64 = number.parse().ok()?;
        sum = sum.checked_add(Duration::try_from_secs_f64(amount * seconds).ok()?)?;
        rest = after;
    }
    (!text.is_empty()).then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_go_writes_them() {
        let table = [
            ("0", Some(0)),
            ("5s", Some(5000)),
            ("1m30s", Some(90_000)),
            ("1.5h", Some(5_400_000)),
            ("250ms", Some(250)),
            ("2h0m0.5s", Some(7_200_500)),
            ("", None),
            ("5", None),
            ("s", None),
            ("5 s", None),
            ("-5s", None),
            ("1d", None),
            ("1.2.3s", None),
            ("99999999999999999999h", None),
        ];
        for (text, millis) in table {
            assert_eq!(duration(text), millis.map(Duration::from_millis), "{text}");
        }
    }
}
