//! `cargo xtask ci`: the pipeline, a list of named steps that stops at the first failure.
//!
//! Cheap steps come first and the tests last. A step that needs a tool which is not there is skipped by name.

mod budget;
mod features;
mod outside;

use std::time::{Duration, Instant};

use crate::run::{cargo, is_installed, run as run_command};
use crate::{codegen, embedded, test};

/// What a step that did not fail has to say.
enum Outcome {
    Passed,
    Skipped(&'static str),
}

type Step = fn() -> Result<Outcome, String>;

const STEPS: &[(&str, Step)] = &[
    ("format", || passed(["fmt", "--all", "--check"])),
    ("codegen", || codegen::run(true).map(|()| Outcome::Passed)),
    ("clippy", || clippy(&["--workspace", "--all-targets"])),
    ("clippy, all features", || clippy(&["--workspace", "--all-targets", "--all-features"])),
    ("clippy, no features", || clippy(&["--package", "etcdkit", "--no-default-features"])),
    ("each feature alone", || features::run().map(|()| Outcome::Passed)),
    ("published crates alone", alone),
    ("docs", docs),
    ("dependency budget", || budget::run().map(|()| Outcome::Passed)),
    ("layering", || passed(["test", "--package", "xtask", "--test", "layering"])),
    ("public API", || passed(["test", "--package", "xtask", "--test", "public_api"])),
    ("licences and sources", licences),
    ("advisories", advisories),
    ("vendored and offline", || outside::run().map(|()| Outcome::Passed)),
    ("embedded server", || embedded::run(&[]).map(|()| Outcome::Passed)),
    ("test", || test::run(&[]).map(|()| Outcome::Passed)),
];

/// Runs every step, or only the one of that name.
pub(crate) fn run(only: Option<&str>) -> Result<(), String> {
    if only.is_some_and(|only| STEPS.iter().all(|(name, _)| *name != only)) {
        let names: Vec<&str> = STEPS.iter().map(|(name, _)| *name).collect();
        return Err(format!("no such step; there are:\n{}", names.join("\n")));
    }
    let mut report = Vec::new();
    let mut total = Duration::ZERO;
    for (name, step) in STEPS.iter().filter(|(name, _)| only.is_none_or(|only| only == *name)) {
        println!("\n== {name}");
        let start = now();
        let outcome = step().map_err(|error| format!("{error}\n\nci: failed at: {name}"))?;
        let time = start.elapsed();
        total += time;
        report.push(match outcome {
            Outcome::Passed => format!("{:7.1} s  {name}", time.as_secs_f32()),
            Outcome::Skipped(why) => format!("  skipped  {name}: {why}"),
        });
    }
    println!("\n{}", report.join("\n"));
    println!("ci: passed in {:.1} min", total.as_secs_f32() / 60.0);
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "steps are timed by the clock on the wall")]
fn now() -> Instant {
    Instant::now()
}

fn passed<const N: usize>(arguments: [&str; N]) -> Result<Outcome, String> {
    run_command(&mut cargo(arguments)).map(|()| Outcome::Passed)
}

fn clippy(arguments: &[&str]) -> Result<Outcome, String> {
    let mut command = cargo(["clippy", "--quiet"]);
    run_command(command.args(arguments).args(["--", "-D", "warnings"])).map(|()| Outcome::Passed)
}

/// In the workspace, another member may turn on the feature of a dependency that a crate forgot to ask for.
fn alone() -> Result<Outcome, String> {
    for package in [
        "etcdkit-proto",
        "etcdkit-http2",
        "etcdkit-srv",
        "etcdkit-datadir",
        "etcdkit",
        "etcdkit-v2",
        "etcdkit-server",
    ] {
        run_command(&mut cargo(["check", "--quiet", "--package", package]))?;
    }
    Ok(Outcome::Passed)
}

fn docs() -> Result<Outcome, String> {
    let mut command =
        cargo(["doc", "--quiet", "--no-deps", "--workspace", "--document-private-items"]);
    command.arg("--all-features");
    run_command(command.env("RUSTDOCFLAGS", "-D warnings")).map(|()| Outcome::Passed)
}

fn licences() -> Result<Outcome, String> {
    deny(&["check", "licenses", "bans", "sources"])
}

/// They are in a database on the network, which not every machine reaches.
fn advisories() -> Result<Outcome, String> {
    match deny(&["fetch", "db"]) {
        Ok(Outcome::Passed) => deny(&["check", "--disable-fetch", "advisories"]),
        Ok(skipped) => Ok(skipped),
        Err(_) => Ok(Outcome::Skipped("their database can't be reached")),
    }
}

fn deny(arguments: &[&str]) -> Result<Outcome, String> {
    if !is_installed("cargo-deny") {
        return Ok(Outcome::Skipped("cargo-deny is not installed"));
    }
    run_command(cargo(["deny", "--all-features"]).args(arguments)).map(|()| Outcome::Passed)
}
