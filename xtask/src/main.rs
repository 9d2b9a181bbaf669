//! The project's own commands, run as `cargo xtask <command>`.
//!
//! One file per command. Each is also a step of `cargo xtask ci`, or can be called by one; none does what the tools
//! of the toolchain already do.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "these are command-line programs")]

mod ci;
mod codegen;
mod embedded;
mod etcd;
mod run;
mod soak;
mod suites;
mod test;

use std::env;
use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask <command>

  ci [<step>]            every check there is, in the order of the pipeline, or one by its name
  test [-- <arguments>]  all tests and examples; with arguments, those of `cargo test` with them
  soak [-- <arguments>]  the long tests
  embedded [-- <names>]  the client's tests with the embedded server in the place of etcd
  suites [-- <names>]    what others wrote for their clients, on the embedded server
  etcd <version> | all   puts the etcd servers that tests run into the cache and prints where
  etcd --list            the versions there are, and why one cannot be had
  codegen [--check]      the code of etcdkit-proto, made anew or compared with what is committed";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments.as_slice() {
        ["ci"] => ci::run(None),
        ["ci", step] => ci::run(Some(step)),
        ["test", rest @ ..] => test::run(passed_on(rest)),
        ["soak", rest @ ..] => soak::run(passed_on(rest)),
        ["embedded", rest @ ..] => embedded::run(passed_on(rest)),
        ["suites", rest @ ..] => suites::run(passed_on(rest)),
        ["etcd", "--list"] => etcd::list(),
        ["etcd", "all"] => etcd::all(),
        ["etcd", version] => etcd::one(version),
        ["codegen"] => codegen::run(false),
        ["codegen", "--check"] => codegen::run(true),
        _ => Err(USAGE.to_owned()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

/// What stands behind `--`, which itself may be left out.
fn passed_on<'a>(arguments: &'a [&'a str]) -> &'a [&'a str] {
    arguments.strip_prefix(&["--"]).unwrap_or(arguments)
}
