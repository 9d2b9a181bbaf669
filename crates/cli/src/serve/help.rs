//! What `--help` and `--version` print, in the form of etcd's own.

use std::fmt::Write;

use super::flags::{Fate, SECTIONS};

/// The version of etcd that is shown.
pub(super) const ETCD: &str = "3.7.1";

/// How the server is started, in a few lines. `program` is what it was called as.
pub(super) fn usage(program: &str) -> String {
    format!(
        "Usage:

  {program} [flags]
    Start a server with one member.

  {program} --version
    Show the version.

  {program} -h | --help
    Show what the flags do.

  {program} --config-file FILE
    Take all settings from a YAML or JSON file, and none from other flags or the environment.
    Durations in it are nanoseconds, or texts such as \"10m\".
"
    )
}

/// Every flag, with its default.
pub(super) fn flags() -> String {
    let mut out = String::new();
    for section in SECTIONS {
        let _ = write!(out, "\n{}:\n", section.title);
        for flag in section.flags {
            let _ = writeln!(out, "  --{} '{}'\n    {}", flag.name, flag.default, flag.about);
            match flag.fate {
                Fate::Served => {}
                Fate::Recorded => out.push_str("    Checked and logged, without effect here.\n"),
                Fate::Refused(why) => {
                    let _ = writeln!(out, "    Only with this default: {why}.");
                }
            }
        }
    }
    out
}

/// The lines of `etcd --version`, which scripts cut apart.
pub(super) fn version() -> String {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    };
    let system = match std::env::consts::OS {
        "macos" => "darwin",
        other => other,
    };
    format!(
        "etcd Version: {ETCD}\nGit SHA: etcdkit {}\nGo Version: none, it is Rust\nGo OS/Arch: {system}/{architecture}\n",
        env!("CARGO_PKG_VERSION")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_names_each_flag_with_its_default_and_what_is_not_served() {
        let help = flags();
        assert!(help.contains("  --name 'default'\n    The member's name.\n"), "{help}");
        assert!(help.contains("  --wal-dir ''\n"), "{help}");
        assert!(help.contains("Only with this default: there is no Go runtime to profile."));
        let flags: usize = SECTIONS.iter().map(|section| section.flags.len()).sum();
        assert_eq!(help.matches("\n  --").count(), flags);
    }

    #[test]
    fn the_version_has_the_lines_of_etcds() {
        let version = version();
        let names: Vec<&str> =
            version.lines().filter_map(|line| Some(line.split_once(": ")?.0)).collect();
        assert_eq!(names, ["etcd Version", "Git SHA", "Go Version", "Go OS/Arch"]);
        assert!(version.starts_with("etcd Version: 3.7.1\n"), "{version}");
    }
}
