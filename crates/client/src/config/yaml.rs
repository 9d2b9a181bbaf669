//! Settings out of a YAML file, as etcd's Go client reads it (its package `yaml`).

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde_saphyr::NonFiniteFloatPolicy;

use super::ClientBuilder;
use super::settings::Settings;
use crate::error::{Error, Result};

impl ClientBuilder {
    /// The settings of a YAML file, as etcd's Go client reads it.
    ///
    /// | name | |
    /// |---|---|
    /// | `endpoints` | a list |
    /// | `auto-sync-interval`, `dial-timeout` | in **nanoseconds**; 0 is the default |
    /// | `dial-keep-alive-time`, `dial-keep-alive-timeout` | likewise; pings at intervals of 10 s or more |
    /// | `MaxCallSendMsgSize`, `MaxCallRecvMsgSize` | in bytes; 0 is the default |
    /// | `username`, `password`, `token` | |
    /// | `max-unary-retries` | attempts of a call; 0 is the default |
    /// | `reject-old-cluster` | |
    /// | `insecure-transport` | `true` for plain text; else endpoints without a scheme are TLS |
    /// | `insecure-skip-tls-verify` | trusts any server |
    /// | `trusted-ca-file`, `cert-file`, `key-file` | files for TLS; a certificate counts only with its key |
    ///
    /// The case of names does not matter. A number where a text is wanted is that number as Go writes it: `007` is the
    /// password `7`, and with quotes it is `007`. What has no counterpart here (`permit-without-stream`, `backoff-wait-between`,
    /// `backoff-jitter-fraction`, `ca-file`) is ignored, and so is what nobody knows.
    ///
    /// ```
    /// use etcdkit::ClientBuilder;
    ///
    /// let builder = ClientBuilder::from_yaml("endpoints: [10.0.0.4:2379]\ninsecure-transport: true\n")?;
    /// assert!(builder.build().is_ok());
    /// # Ok::<(), etcdkit::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// It is no YAML, a setting is not what it is to be, or a file for TLS is missing or holds something else.
    #[cfg_attr(docsrs, doc(cfg(feature = "yaml")))]
    pub fn from_yaml(text: &str) -> Result<Self> {
        read(text)?.into_builder()
    }

    /// The same, of the file at `path`.
    ///
    /// # Errors
    ///
    /// The file can't be read; as [`from_yaml`](Self::from_yaml).
    #[cfg_attr(docsrs, doc(cfg(feature = "yaml")))]
    pub fn from_yaml_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map_err(|error| {
            Error::invalid(format!("{} can't be read: {error}", path.display())).with_source(error)
        })?;
        Self::from_yaml(&text)
    }
}

/// What can stand in the file, as far as anything here can be made of it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Value {
    Flag(bool),
    Number(i64),
    Large(u64),
    Fraction(f64),
    Text(String),
    List(Vec<Self>),
    Map(#[expect(dead_code, reason = "only that it is one")] HashMap<String, Self>),
    Nothing(()),
}

impl Value {
    /// As a text, where one is wanted: Go's reader knows that from the field, and writes a number as it understood it, not as
    /// it stands there. `None` if it is neither text, number nor flag.
    fn text(&self) -> Option<String> {
        match self {
            Self::Flag(flag) => Some(flag.to_string()),
            Self::Number(number) => Some(number.to_string()),
            Self::Large(number) => Some(number.to_string()),
            Self::Fraction(number) => Some(short(*number)),
            Self::Text(text) => Some(text.clone()),
            Self::Nothing(()) => Some(String::new()),
            Self::List(_) | Self::Map(_) => None,
        }
    }
}

/// A fraction as `strconv.FormatFloat(number, 'g', -1, 32)` writes it.
fn short(number: f64) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "as Go does")]
    let number = number as f32;
    if number.is_nan() {
        return "NaN".into();
    }
    if number.is_infinite() {
        return if number > 0.0 { "+Inf" } else { "-Inf" }.into();
    }
    let scientific = format!("{number:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    match exponent.parse() {
        Ok(-4..6) | Err(_) => number.to_string(),
        Ok(exponent) => format!("{digits}e{exponent:+03}"),
    }
}

/// The settings of a file, by name in lower case.
struct File(HashMap<String, Value>);

impl File {
    fn wrong<T>(name: &str, wanted: &str) -> Result<T> {
        Err(Error::invalid(format!("the configuration's {name:?} is not {wanted}")))
    }

    fn text(&self, name: &str) -> Result<Option<String>> {
        match self.0.get(name).map(Value::text) {
            None => Ok(None),
            Some(Some(text)) => Ok(Some(text).filter(|text| !text.is_empty())),
            Some(None) => Self::wrong(name, "a text"),
        }
    }

    fn flag(&self, name: &str) -> Result<bool> {
        match self.0.get(name) {
            None | Some(Value::Nothing(())) => Ok(false),
            Some(Value::Flag(flag)) => Ok(*flag),
            Some(_) => Self::wrong(name, "true or false"),
        }
    }

    /// A number; 0 is as if there were none.
    fn number(&self, name: &str, wanted: &str) -> Result<Option<u64>> {
        let number = match self.0.get(name) {
            None | Some(Value::Nothing(())) => return Ok(None),
            Some(Value::Number(number)) => u64::try_from(*number).ok(),
            Some(Value::Large(number)) => Some(*number),
            // `5e9` is whole as well.
            Some(Value::Fraction(number)) => number.to_string().parse().ok(),
            Some(_) => None,
        };
        match number {
            Some(number) => Ok(Some(number).filter(|number| *number > 0)),
            None => Self::wrong(name, wanted),
        }
    }

    fn duration(&self, name: &str) -> Result<Option<Duration>> {
        Ok(self.number(name, "a number of nanoseconds")?.map(Duration::from_nanos))
    }

    fn size(&self, name: &str) -> Result<Option<usize>> {
        let number = self.number(name, "a number of bytes")?;
        Ok(number.map(|number| usize::try_from(number).unwrap_or(usize::MAX)))
    }

    fn list(&self, name: &str) -> Result<Vec<String>> {
        let wanted = "a list of texts";
        match self.0.get(name) {
            None | Some(Value::Nothing(())) => Ok(Vec::new()),
            Some(Value::List(list)) => list
                .iter()
                .map(|value| value.text().map_or_else(|| Self::wrong(name, wanted), Ok))
                .collect(),
            Some(_) => Self::wrong(name, wanted),
        }
    }
}

fn read(text: &str) -> Result<Settings> {
    // Numbers are those of YAML 1.1, as in Go.
    let options = serde_saphyr::options! {
        legacy_octal_numbers: true,
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
    };
    let parsed: Option<HashMap<String, Value>> = serde_saphyr::from_str_with_options(text, options)
        .map_err(|error| {
            Error::invalid(format!("the configuration is no YAML of names and values: {error}"))
        })?;
    let parsed = parsed.unwrap_or_default();
    let file = File(parsed.into_iter().map(|(name, value)| (name.to_lowercase(), value)).collect());
    Ok(Settings {
        endpoints: file.list("endpoints")?,
        connect_timeout: file.duration("dial-timeout")?,
        keep_alive: file.duration("dial-keep-alive-time")?,
        keep_alive_timeout: file.duration("dial-keep-alive-timeout")?,
        auto_sync: file.duration("auto-sync-interval")?,
        max_send_message: file.size("maxcallsendmsgsize")?,
        max_receive_message: file.size("maxcallrecvmsgsize")?,
        max_attempts: file
            .number("max-unary-retries", "a number of attempts")?
            .map(|number| u32::try_from(number).unwrap_or(u32::MAX)),
        user: file.text("username")?,
        password: file.text("password")?,
        token: file.text("token")?,
        reject_old_cluster: file.flag("reject-old-cluster")?,
        tls: !file.flag("insecure-transport")?,
        skip_verification: file.flag("insecure-skip-tls-verify")?,
        ca_file: file.text("trusted-ca-file")?,
        certificate_file: file.text("cert-file")?,
        key_file: file.text("key-file")?,
        timeout: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_units_are_those_of_go() {
        let read = read(
            "endpoints:\n- a:1\n- b:2\ndial-timeout: 5000000000\nDial-Keep-Alive-Time: 10000000000\n\
             MaxCallSendMsgSize: 1000\nusername: root\npassword: secret\nmax-unary-retries: 7\n\
             insecure-transport: true\nca-file: ignored\nbackoff-jitter-fraction: 0.5\nTLS: {Min: 1}\ntoken:\n",
        );
        let read = read.unwrap();
        assert_eq!(read.endpoints, ["a:1", "b:2"]);
        assert_eq!(read.connect_timeout, Some(Duration::from_secs(5)));
        assert_eq!(read.keep_alive, Some(Duration::from_secs(10)));
        assert_eq!((read.max_send_message, read.max_attempts), (Some(1000), Some(7)));
        assert_eq!(read.user.as_deref().zip(read.password.as_deref()), Some(("root", "secret")));
        assert!(!read.tls && read.ca_file.is_none() && read.token.is_none());
    }

    /// A password of digits alone was refused. What Go's reader (sigs.k8s.io/yaml 1.6.0) makes of each was asked of it.
    #[test]
    fn a_password_may_look_like_a_number() {
        let table = [
            ("123456", "123456"),
            ("0x10", "16"),
            ("-0x10", "-16"),
            ("0o17", "15"),
            ("0b11", "3"),
            ("007", "7"),
            ("010", "8"),
            ("0777", "511"),
            ("08", "8"),
            ("00", "0"),
            ("-007", "-7"),
            ("+12", "12"),
            ("-5", "-5"),
            ("1_000", "1000"),
            ("18446744073709551615", "18446744073709551615"),
            ("-9223372036854775809", "-9.223372e+18"),
            ("1e3", "1000"),
            ("1E3", "1000"),
            ("21e6", "2.1e+07"),
            ("1e21", "1e+21"),
            ("1e-7", "1e-07"),
            ("0.0001", "0.0001"),
            ("0.00001", "1e-05"),
            ("100000.5", "100000.5"),
            ("1234567.0", "1.234567e+06"),
            ("123456789.123456789", "1.2345679e+08"),
            ("1.0", "1"),
            ("1.5", "1.5"),
            ("-.5", "-0.5"),
            (".inf", "+Inf"),
            ("-.inf", "-Inf"),
            (".nan", "NaN"),
            ("true", "true"),
            ("True", "true"),
            ("yes", "true"),
            ("off", "false"),
            ("12:30", "12:30"),
            ("2001-01-01", "2001-01-01"),
            ("0x", "0x"),
            ("'0x10'", "0x10"),
            ("\"true\"", "true"),
            ("!!str 5", "5"),
        ];
        for (text, expected) in table {
            let read = read(&format!("password: {text}\ntoken: {text}\nendpoints: [{text}]\n"));
            let read = read.unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(read.password.as_deref(), Some(expected), "{text}");
            assert_eq!(read.token.as_deref(), Some(expected), "{text}");
            assert_eq!(read.endpoints, [expected], "{text}");
        }
        for nothing in ["~", "null", "''", ""] {
            let read = read(&format!("password: {nothing}\n")).unwrap();
            assert_eq!(read.password, None, "{nothing}");
        }
        let read = read("dial-timeout: 5e9\nauto-sync-interval: 0x10\n").unwrap();
        assert_eq!(read.connect_timeout, Some(Duration::from_secs(5)));
        assert_eq!(read.auto_sync, Some(Duration::from_nanos(16)));
    }

    /// Upstream's TestConfigFromFile, with the files in the tests of TLS.
    #[test]
    fn config_from_file() {
        let missing = "trusted-ca-file: /no/such/ca\n";
        let pair = "cert-file: /no/such/cert\nkey-file: /no/such/key\n";
        // Whether TLS is configured, and whether the files are found.
        let table = [
            ("", true, true),
            ("insecure-transport: true\n", false, true),
            ("insecure-skip-tls-verify: true\n", true, true),
            (missing, true, false),
            (pair, true, false),
            // A certificate without its key does not count.
            ("cert-file: /no/such/cert\n", true, true),
            // Nor does anything without TLS.
            (&*format!("insecure-transport: true\n{missing}"), false, true),
        ];
        for (text, tls, found) in table {
            let text = format!("endpoints: [a]\n{text}");
            let settings = read(&text).unwrap();
            assert_eq!(settings.tls, tls, "{text}");
            assert_eq!(settings.into_builder().is_ok(), found, "{text}");
        }
    }

    #[test]
    fn nonsense_is_named() {
        let table = [
            ("dial-timeout: 5s", "dial-timeout"),
            ("dial-timeout: -1", "dial-timeout"),
            ("dial-timeout: 1.5", "dial-timeout"),
            ("endpoints: a:1", "endpoints"),
            ("insecure-transport: 1", "insecure-transport"),
            ("username: [a]", "username"),
            ("- a", "no YAML"),
            ("a: [", "no YAML"),
        ];
        for (text, named) in table {
            let Err(error) = read(text) else { panic!("{text} was taken") };
            assert!(error.to_string().contains(named), "{error}");
        }
        let both = "endpoints: [a]\nMaxCallSendMsgSize: 2000\nMaxCallRecvMsgSize: 1000\n";
        let error = read(both).unwrap().into_builder().err().unwrap();
        assert!(error.to_string().contains("recv limit (1000 bytes)"), "{error}");
        for (text, named) in [
            ("endpoints: [a]\nusername: u\n", "without a password"),
            ("endpoints: [a]\npassword: p\n", "without a user name"),
        ] {
            let error = read(text).unwrap().into_builder().err().unwrap();
            assert!(error.to_string().contains(named), "{error}");
        }
        let error = ClientBuilder::from_yaml_file("/no/such/file").err().unwrap();
        assert!(error.to_string().contains("/no/such/file"), "{error}");
    }
}
