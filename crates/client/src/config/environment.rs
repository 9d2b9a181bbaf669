//! Settings out of the environment.

use std::env;
use std::time::Duration;

use super::ClientBuilder;
use super::settings::{Settings, duration};
use crate::error::{Error, Result};

impl ClientBuilder {
    /// The settings in the environment: etcdctl's own variables, each also with `ETCDKIT_` in the place of `ETCDCTL_`,
    /// which wins.
    ///
    /// | variable | |
    /// |---|---|
    /// | `ETCDCTL_ENDPOINTS` | separated by commas; `127.0.0.1:2379` if it is not set |
    /// | `ETCDCTL_CACERT`, `ETCDCTL_CERT`, `ETCDCTL_KEY` | files for TLS |
    /// | `ETCDCTL_INSECURE_TRANSPORT` | `false` has endpoints without a scheme be TLS, and so does a file for it |
    /// | `ETCDCTL_INSECURE_SKIP_TLS_VERIFY` | `true` trusts any server |
    /// | `ETCDCTL_USER`, `ETCDCTL_PASSWORD` | name, or name and password with a colon between |
    /// | `ETCDCTL_AUTH_JWT_TOKEN` | a token made elsewhere |
    /// | `ETCDCTL_DIAL_TIMEOUT`, `ETCDCTL_COMMAND_TIMEOUT` | durations, such as `2s`; the latter for every call |
    /// | `ETCDCTL_KEEPALIVE_TIME`, `ETCDCTL_KEEPALIVE_TIMEOUT` | pings while streams rest, 10 s or more; `0` is off |
    /// | `ETCDCTL_MAX_REQUEST_BYTES`, `ETCDCTL_MAX_RECV_BYTES` | sizes of messages; `0` is the default |
    ///
    /// What is not set is as by default: of this crate, not of etcdctl.
    ///
    /// # Errors
    ///
    /// A variable can't be read as what it is to be, or a file for TLS is missing or holds something else: the message
    /// names it.
    pub fn from_env() -> Result<Self> {
        read(|name| env::var(name).ok())?.into_builder()
    }
}

fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Settings> {
    let value = |name: &str| {
        let named = |prefix: &str| variable(&format!("{prefix}_{name}"));
        named("ETCDKIT").or_else(|| named("ETCDCTL")).filter(|value| !value.is_empty())
    };
    let wrong = |name: &str, text: &str, wanted: &str| {
        Error::invalid(format!("ETCDCTL_{name} (or ETCDKIT_{name}) is {text:?}, and not {wanted}"))
    };
    let time = |name: &str| -> Result<Option<Duration>> {
        let Some(text) = value(name) else { return Ok(None) };
        let read = duration(&text).ok_or_else(|| wrong(name, &text, "a duration such as 2s"))?;
        Ok(Some(read).filter(|duration| !duration.is_zero()))
    };
    let size = |name: &str| -> Result<Option<usize>> {
        let Some(text) = value(name) else { return Ok(None) };
        let read: usize = text.parse().map_err(|_| wrong(name, &text, "a number of bytes"))?;
        Ok(Some(read).filter(|size| *size > 0))
    };
    let flag = |name: &str| -> Result<Option<bool>> {
        let Some(text) = value(name) else { return Ok(None) };
        match &*text {
            "1" | "t" | "T" | "true" | "True" | "TRUE" => Ok(Some(true)),
            "0" | "f" | "F" | "false" | "False" | "FALSE" => Ok(Some(false)),
            _ => Err(wrong(name, &text, "true or false")),
        }
    };
    let endpoints = value("ENDPOINTS").unwrap_or_else(|| "127.0.0.1:2379".to_owned());
    let (user, password) = match value("USER") {
        Some(user) => match user.split_once(':') {
            Some((user, password)) => (Some(user.to_owned()), Some(password.to_owned())),
            None => {
                let password = value("PASSWORD").ok_or_else(|| {
                    Error::invalid("ETCDCTL_USER is set, and ETCDCTL_PASSWORD is not: set both")
                })?;
                (Some(user), Some(password))
            }
        },
        None => (None, None),
    };
    let (ca_file, certificate_file, key_file) = (value("CACERT"), value("CERT"), value("KEY"));
    if certificate_file.is_some() != key_file.is_some() {
        return Err(Error::invalid(
            "ETCDCTL_CERT and ETCDCTL_KEY belong together: set both or neither",
        ));
    }
    let skip_verification = flag("INSECURE_SKIP_TLS_VERIFY")?.unwrap_or(false);
    let wants_tls = ca_file.is_some() || certificate_file.is_some() || skip_verification;
    Ok(Settings {
        endpoints: endpoints.split(',').map(|endpoint| endpoint.trim().to_owned()).collect(),
        connect_timeout: time("DIAL_TIMEOUT")?,
        timeout: time("COMMAND_TIMEOUT")?,
        keep_alive: time("KEEPALIVE_TIME")?,
        keep_alive_timeout: time("KEEPALIVE_TIMEOUT")?,
        max_send_message: size("MAX_REQUEST_BYTES")?,
        max_receive_message: size("MAX_RECV_BYTES")?,
        user,
        password,
        token: value("AUTH_JWT_TOKEN"),
        tls: wants_tls || flag("INSECURE_TRANSPORT")? == Some(false),
        skip_verification,
        ca_file,
        certificate_file,
        key_file,
        ..Settings::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(variables: &[(&str, &str)]) -> Result<Settings> {
        let find = |name: &str| variables.iter().find(|(key, _)| *key == name);
        read(|name| find(name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn variables_are_read_under_both_names() {
        let read = settings(&[
            ("ETCDCTL_ENDPOINTS", "a:1, b:2"),
            ("ETCDKIT_DIAL_TIMEOUT", "3s"),
            ("ETCDCTL_DIAL_TIMEOUT", "9s"),
            ("ETCDCTL_COMMAND_TIMEOUT", "1m"),
            ("ETCDCTL_KEEPALIVE_TIME", "0"),
            ("ETCDCTL_USER", "root:se:cret"),
            ("ETCDCTL_PASSWORD", "ignored"),
            ("ETCDCTL_MAX_RECV_BYTES", "0"),
            ("ETCDCTL_MAX_REQUEST_BYTES", "1024"),
            ("ETCDCTL_INSECURE_TRANSPORT", "false"),
        ]);
        let read = read.unwrap();
        assert_eq!(read.endpoints, ["a:1", "b:2"]);
        assert_eq!(read.connect_timeout, Some(Duration::from_secs(3)));
        assert_eq!(read.timeout, Some(Duration::from_secs(60)));
        assert_eq!((read.keep_alive, read.max_receive_message), (None, None));
        assert_eq!(read.max_send_message, Some(1024));
        assert_eq!(read.user.as_deref().zip(read.password.as_deref()), Some(("root", "se:cret")));
        assert!(read.tls);
        let nothing = settings(&[]).unwrap();
        assert_eq!(nothing.endpoints, ["127.0.0.1:2379"]);
        assert!(!nothing.tls);
        assert!(nothing.into_builder().unwrap().build().is_ok());
    }

    #[test]
    fn nonsense_is_named() {
        for (name, value) in [
            ("ETCDCTL_DIAL_TIMEOUT", "soon"),
            ("ETCDCTL_MAX_RECV_BYTES", "-1"),
            ("ETCDCTL_INSECURE_TRANSPORT", "maybe"),
            ("ETCDCTL_CERT", "only.pem"),
            ("ETCDCTL_USER", "root"),
        ] {
            let Err(error) = settings(&[(name, value)]) else { panic!("{name} was taken") };
            assert!(error.to_string().contains(name), "{error}");
        }
        let missing = settings(&[("ETCDCTL_CACERT", "/no/such/file")]).unwrap();
        let error = missing.into_builder().err().unwrap();
        assert!(error.to_string().contains("/no/such/file"), "{error}");
    }
}
