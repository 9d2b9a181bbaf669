//! `cargo xtask test`: every test, every doctest and every example, against every etcd that can be had.

use std::env;
use std::fmt;
use std::io::{self, BufRead, BufReader, Write};
use std::ops::AddAssign;
use std::process::Stdio;

use crate::etcd;
use crate::run::{cargo, line, root, run as run_command};

/// With arguments, runs `cargo test` with them; without, everything.
pub(crate) fn run(arguments: &[&str]) -> Result<(), String> {
    let servers = etcd::gather()?;
    let runs = if arguments.is_empty() { RUNS } else { &[arguments] };
    let mut counts = Counts::default();
    let mut failures = Vec::new();
    for run in runs {
        let (tests, counted) = cargo_test(run)?;
        counts += counted;
        failures.extend(tests.err());
    }

    let examples = if arguments.is_empty() { examples()? } else { Vec::new() };
    for example in &examples {
        let package = ["run", "--quiet", "--package", "etcdkit-examples", "--example", example];
        failures.extend(run_command(&mut cargo(package)).err());
    }

    println!("\ntests: {counts}");
    if !examples.is_empty() {
        println!("examples: {}", examples.join(", "));
    }
    println!("etcd servers: {}", servers.present.join(", "));
    for skipped in servers.skipped {
        println!("skipped: {skipped}");
    }
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n")) }
}

/// Everything with all features, then what is different without some: no TLS at all, and TLS by ring alone.
///
/// The examples, which are run afterwards, are built apart: they make tonic a server, and then its client, to which ours is
/// compared, names errors differently.
const RUNS: &[&[&str]] = &[
    &["--workspace", "--exclude", "etcdkit-examples", "--all-features", "--no-fail-fast"],
    &["--package", "etcdkit-examples"],
    &["--package", "etcdkit", "--package", "etcdkit-v2", "--no-default-features", "--lib"],
    &[
        "--package",
        "etcdkit",
        "--no-default-features",
        "--features",
        "ring",
        "--lib",
        "--test",
        "it",
        "--",
        "config::",
        "conformance::listeners",
    ],
];

/// What the test programs read how many tests they run at once from.
const THREADS: &str = "RUST_TEST_THREADS";
/// Most tests wait, for servers and for faults to be found out: twice as many as the smallest machine has cores.
const WAITING_TESTS: &str = "4";

/// How the tests of all test programs ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) ignored: usize,
}

impl Counts {
    /// Reads a line such as `test result: ok. 10 passed; 0 failed; 1 ignored; …`.
    fn parse(line: &str) -> Option<Self> {
        let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
        let mut numbers = counts.split("; ").map(|part| part.split(' ').next()?.parse().ok());
        let mut next = || numbers.next().flatten();
        Some(Self { passed: next()?, failed: next()?, ignored: next()? })
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { passed, failed, ignored } = self;
        write!(formatter, "{passed} passed, {failed} failed, {ignored} ignored")
    }
}

/// Runs `cargo test`, passes its output on and counts.
pub(crate) fn cargo_test(arguments: &[&str]) -> Result<(Result<(), String>, Counts), String> {
    let mut command = cargo(["test"].iter().chain(arguments));
    if env::var_os(THREADS).is_none() {
        command.env(THREADS, WAITING_TESTS);
    }
    let line = line(&command);
    println!("$ {line}");
    let failed = |error: io::Error| format!("`{line}`: {error}");
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(failed)?;
    let mut counts = Counts::default();
    let mut output = BufReader::new(child.stdout.take().expect("it is piped"));
    let mut bytes = Vec::new();
    // By bytes, since a failing test may print anything.
    while output.read_until(b'\n', &mut bytes).map_err(failed)? > 0 {
        io::stdout().write_all(&bytes).map_err(failed)?;
        if let Some(more) = Counts::parse(&String::from_utf8_lossy(&bytes)) {
            counts += more;
        }
        bytes.clear();
    }
    let status = child.wait().map_err(failed)?;
    let result = if status.success() { Ok(()) } else { Err(format!("`{line}`: {status}")) };
    Ok((result, counts))
}

/// The names of the example programs: each is a file in `examples/`.
fn examples() -> Result<Vec<String>, String> {
    let folder = root().join("examples");
    let entries = folder.read_dir().map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut names: Vec<String> = entries
        .flatten()
        .filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".rs")?.to_owned()))
        .collect();
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_lines_are_counted() {
        let check = |line, expected: Option<[usize; 3]>| {
            let counts =
                expected.map(|[passed, failed, ignored]| Counts { passed, failed, ignored });
            assert_eq!(Counts::parse(line), counts, "{line:?}");
        };
        check(
            "test result: ok. 10 passed; 0 failed; 2 ignored; 0 measured; 3 filtered out; finished in 1.5s\n",
            Some([10, 0, 2]),
        );
        check(
            "test result: FAILED. 1 passed; 12 failed; 0 ignored; 0 measured; 0 filtered out\n",
            Some([1, 12, 0]),
        );
        check("test result_lines_are_counted ... ok\n", None);
        check("test result: gibberish\n", None);
    }

    #[test]
    fn examples_are_found() {
        assert!(examples().unwrap().contains(&"tour".to_owned()));
    }
}
