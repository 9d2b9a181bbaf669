//! Arguments as Go's flag package reads them, and the environment as etcd does.
//!
//! `-name` and `--name` are the same; a value follows a `=` or comes as the next argument; a switch takes one after `=`
//! alone. What the command line leaves out, `ETCD_NAME` may say. With a configuration file, neither counts.

use std::path::Path;

use super::file;
use super::kind::Kind;
use super::table;
use super::values::{Source, Values};

/// The variable and the flag that name a configuration file.
const CONFIG_FILE: &str = "config-file";
const CONFIG_FILE_VARIABLE: &str = "ETCD_CONFIG_FILE";

/// What a command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Help,
    Version,
    Serve {
        values: Values,
        /// What to warn of: what was said and means nothing.
        warnings: Vec<String>,
    },
}

/// Why a command line makes no sense.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Misuse {
    /// It is no list of flags: the usage is shown.
    Syntax(String),
    /// What it says can't be.
    Meaning(String),
}

/// Reads arguments and environment.
///
/// `variables` are those that begin with `ETCD_`.
pub(crate) fn read(arguments: &[String], variables: &[(String, String)]) -> Result<Asked, Misuse> {
    let line = match Line::parse(arguments)? {
        Parsed::Help => return Ok(Asked::Help),
        Parsed::Line(line) if line.version => return Ok(Asked::Version),
        Parsed::Line(line) => line,
    };
    if let Some(extra) = &line.extra {
        return Err(Misuse::Meaning(format!("{extra:?} is not a valid flag")));
    }
    let from_environment = || {
        let variable = variables.iter().find(|(name, _)| name == CONFIG_FILE_VARIABLE);
        variable.map(|(_, path)| path.clone()).filter(|path| !path.is_empty())
    };
    if let Some(path) = line.config_file.clone().or_else(from_environment) {
        let (values, warnings) = file::read(Path::new(&path)).map_err(Misuse::Meaning)?;
        return Ok(Asked::Serve { values, warnings });
    }
    let mut values = line.values;
    let warnings = environment(&mut values, variables)?;
    Ok(Asked::Serve { values, warnings })
}

enum Parsed {
    Help,
    Line(Line),
}

/// What is on the command line alone.
#[derive(Default)]
struct Line {
    values: Values,
    version: bool,
    config_file: Option<String>,
    /// The first argument that is no flag, where reading ends.
    extra: Option<String>,
}

impl Line {
    fn parse(arguments: &[String]) -> Result<Parsed, Misuse> {
        let mut line = Self::default();
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let dashes = argument.len() - argument.trim_start_matches('-').len();
            if dashes == 0 || argument == "-" {
                line.extra = Some(argument.clone());
                break;
            }
            if argument == "--" {
                line.extra = arguments.next().cloned();
                break;
            }
            let named = &argument[dashes.min(2)..];
            if named.starts_with(['-', '=']) {
                return Err(Misuse::Syntax(format!("bad flag syntax: {argument}")));
            }
            let (name, value) = match named.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (named, None),
            };
            if !line.take(name, value, &mut || arguments.next())? {
                return Ok(Parsed::Help);
            }
        }
        Ok(Parsed::Line(line))
    }

    /// Takes a flag. Returns whether reading goes on: help ends it.
    fn take<'a>(
        &mut self,
        name: &str,
        value: Option<&'a str>,
        next: &mut dyn FnMut() -> Option<&'a String>,
    ) -> Result<bool, Misuse> {
        let missing = || Misuse::Syntax(format!("flag needs an argument: -{name}"));
        match name {
            "version" => {
                let on = Kind::Switch.parse(value.unwrap_or("true"));
                on.map_err(|why| not_a_switch(value.unwrap_or_default(), name, &why))?;
                self.version = value.is_none_or(|value| {
                    !matches!(value, "0" | "f" | "F" | "false" | "FALSE" | "False")
                });
            }
            CONFIG_FILE => {
                let path = match value {
                    Some(path) => path,
                    None => next().ok_or_else(missing)?,
                };
                self.config_file = Some(path.to_owned()).filter(|path| !path.is_empty());
            }
            _ => {
                let Some(flag) = table::find(name) else {
                    if matches!(name, "help" | "h") {
                        return Ok(false);
                    }
                    let text = format!("flag provided but not defined: -{name}");
                    return Err(Misuse::Syntax(text));
                };
                let switch = flag.kind == Kind::Switch;
                let text = match value {
                    Some(value) => value,
                    None if switch => "true",
                    None => next().ok_or_else(missing)?,
                };
                self.values.set(flag, text, Source::CommandLine).map_err(|why| {
                    if switch {
                        return not_a_switch(text, name, &why);
                    }
                    Misuse::Syntax(format!("invalid value {text:?} for flag -{name}: {why}"))
                })?;
            }
        }
        Ok(true)
    }
}

fn not_a_switch(text: &str, name: &str, why: &str) -> Misuse {
    Misuse::Syntax(format!("invalid boolean value {text:?} for -{name}: {why}"))
}

/// Takes what the environment says. What is said twice is an error, since one of both is not what was meant.
fn environment(values: &mut Values, variables: &[(String, String)]) -> Result<Vec<String>, Misuse> {
    let mut warnings = Vec::new();
    for (variable, text) in variables {
        let Some(name) = variable.strip_prefix("ETCD_") else { continue };
        let name = name.to_ascii_lowercase().replace('_', "-");
        // Set by the hand of etcd's own start scripts, and read before there are flags.
        if name == CONFIG_FILE || text.is_empty() {
            continue;
        }
        let Some(flag) = table::find(&name) else {
            warnings.push(format!("unrecognized environment variable: {variable}={text}"));
            continue;
        };
        if values.source(flag.name) == Some(Source::CommandLine) {
            return Err(Misuse::Meaning(format!(
                "conflicting environment variable {variable} is shadowed by corresponding command-line flag \
                 (either unset environment variable or disable flag)"
            )));
        }
        let taken = values.set(flag, text, Source::Environment);
        taken.map_err(|why| {
            Misuse::Meaning(format!("invalid value {text:?} for {variable}: {why}"))
        })?;
    }
    Ok(warnings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(arguments: &[&str], variables: &[(&str, &str)]) -> Result<Asked, Misuse> {
        let owned = |text: &&str| (*text).to_owned();
        let arguments: Vec<String> = arguments.iter().map(owned).collect();
        let variables: Vec<_> =
            variables.iter().map(|(name, value)| (owned(name), owned(value))).collect();
        read(&arguments, &variables)
    }

    fn values(arguments: &[&str], variables: &[(&str, &str)]) -> Values {
        match asked(arguments, variables) {
            Ok(Asked::Serve { values, .. }) => values,
            other => panic!("{arguments:?}: {other:?}"),
        }
    }

    #[test]
    fn flags_are_read_as_go_reads_them() {
        for arguments in [
            &["-name=a", "-pre-vote=false"][..],
            &["--name=a", "--pre-vote=F"],
            &["--name", "a", "--pre-vote=0"],
            &["-name", "b", "--name=a", "-pre-vote=true", "--pre-vote=false", "--"],
        ] {
            let values = values(arguments, &[]);
            assert_eq!(values.text("name"), "a", "{arguments:?}");
            assert!(!values.switch("pre-vote"), "{arguments:?}");
            assert!(values.switch("strict-reconfig-check"));
        }
        assert_eq!(values(&["--name="], &[]).text("name"), "");
        assert_eq!(values(&["--name", "--auto-tls"], &[]).text("name"), "--auto-tls");
        assert!(values(&["--auto-tls", "--name=x"], &[]).switch("auto-tls"));
    }

    #[test]
    fn what_is_no_flag_is_named_in_gos_words() {
        for (arguments, expected) in [
            (&["--foo"][..], "flag provided but not defined: -foo"),
            (&["-foo=1"], "flag provided but not defined: -foo"),
            (&["--name"], "flag needs an argument: -name"),
            (&["--config-file"], "flag needs an argument: -config-file"),
            (&["---x"], "bad flag syntax: ---x"),
            (&["--=x"], "bad flag syntax: --=x"),
            (&["-=x"], "bad flag syntax: -=x"),
            (&["-pre-vote=maybe"], "invalid boolean value \"maybe\" for -pre-vote: parse error"),
            (&["--version=maybe"], "invalid boolean value \"maybe\" for -version: parse error"),
            (&["--snapshot-count=x"], "invalid value \"x\" for flag -snapshot-count: parse error"),
            (
                &["--listen-client-urls", "foo"],
                "invalid value \"foo\" for flag -listen-client-urls: URL scheme must be http, https, unix, or unixs: foo",
            ),
        ] {
            let error = asked(arguments, &[]).unwrap_err();
            assert_eq!(error, Misuse::Syntax(expected.to_owned()), "{arguments:?}");
        }
        for arguments in [&["--pre-vote", "false"][..], &["--", "false"], &["false", "--name=a"]] {
            let expected = Misuse::Meaning("\"false\" is not a valid flag".to_owned());
            assert_eq!(asked(arguments, &[]).unwrap_err(), expected, "{arguments:?}");
        }
    }

    #[test]
    fn help_and_version_win_over_what_follows() {
        assert_eq!(asked(&["--help", "--foo"], &[]), Ok(Asked::Help));
        assert_eq!(asked(&["-h"], &[]), Ok(Asked::Help));
        assert_eq!(asked(&["--version", "--name=a"], &[]), Ok(Asked::Version));
        assert!(matches!(asked(&["--version=false"], &[]), Ok(Asked::Serve { .. })));
    }

    #[test]
    fn the_environment_says_what_the_command_line_leaves_out() {
        let variables = [("ETCD_NAME", "a"), ("ETCD_AUTO_TLS", "true"), ("ETCD_DATA_DIR", "")];
        let read = values(&["--max-txn-ops=5"], &variables);
        assert_eq!((read.text("name"), read.switch("auto-tls")), ("a".to_owned(), true));
        assert_eq!(read.source("data-dir"), None);
        assert_eq!(read.source("name"), Some(Source::Environment));

        let Ok(Asked::Serve { warnings, .. }) = asked(&[], &[("ETCD_FOO", "1")]) else { panic!() };
        assert_eq!(warnings, ["unrecognized environment variable: ETCD_FOO=1"]);

        let meaning = |arguments: &[&str], variable| match asked(arguments, &[variable]) {
            Err(Misuse::Meaning(text)) => text,
            other => panic!("{other:?}"),
        };
        let twice = meaning(&["--name=b"], ("ETCD_NAME", "a"));
        assert!(twice.contains("ETCD_NAME is shadowed"), "{twice}");
        assert_eq!(
            meaning(&[], ("ETCD_SNAPSHOT_COUNT", "x")),
            "invalid value \"x\" for ETCD_SNAPSHOT_COUNT: parse error"
        );
    }
}
