//! `cargo xtask soak`: the tests that take long. Their names begin with `soak_` and plain test runs ignore them.

use crate::etcd;
use crate::test::cargo_test;

/// Runs the long tests; with arguments, those of the packages or test programs that they name to `cargo test`.
pub(crate) fn run(arguments: &[&str]) -> Result<(), String> {
    let servers = etcd::gather()?;
    let everything = ["--workspace", "--lib", "--bins", "--tests", "--no-fail-fast"];
    let mut all = if arguments.is_empty() { everything.to_vec() } else { arguments.to_vec() };
    all.extend(["--", "--ignored", "soak_"]);
    let (result, counts) = cargo_test(&all)?;
    println!("\nlong tests: {counts}");
    println!("etcd servers: {}", servers.present.join(", "));
    result?;
    if counts.passed == 0 { Err("there is no such long test".to_owned()) } else { Ok(()) }
}
