//! `check`: whether a cluster is up to a load.

mod load;

use std::time::Duration;

use etcdkit::proto::etcdserverpb::{
    CompactionRequest, DefragmentRequest, DeleteRangeRequest, RangeRequest,
};
use etcdkit::proto::method;
use etcdkit::{Client, prefix_end};

use self::load::{Load, Outcome};
use super::session::Session;
use super::{endpoint, heading, refusal};
use crate::command::{Action, Call, Command, Flag, Values};
use crate::failure::{Failure, Result, exit};

pub(super) static CHECK: Command = Command {
    usage: "check",
    short: "commands for checking properties of the etcd cluster. Use `etcdctl check --help` to see subcommands",
    heading: heading::UTILITY,
    long: "commands for checking properties of the etcd cluster",
    commands: &[&CHECK_DATASCALE, &CHECK_PERF],
    ..Command::BASE
};

static CHECK_DATASCALE: Command = Command {
    usage: "datascale [options]",
    short: "Check the memory usage of holding data for different workloads on a given server endpoint.",
    long: "If no endpoint is provided, localhost will be used. If multiple endpoints are provided, first endpoint will be used.",
    flags: &[
        Flag::bool("auto-compact", "Compact storage with last revision after test is finished."),
        Flag::bool("auto-defrag", "Defragment storage after test is finished."),
        Flag::text(
            "load",
            "s",
            "The datascale check's workload model. Accepted workloads: s(small), m(medium), l(large), xl(xLarge)",
        ),
        Flag::text(
            "prefix",
            "/etcdctl-check-datascale/",
            "The prefix for writing the datascale check's keys.",
        ),
    ],
    action: Action::Run(check_datascale),
    ..Command::BASE
};

static CHECK_PERF: Command = Command {
    usage: "perf [options]",
    short: "Check the performance of the etcd cluster",
    flags: &[
        Flag::bool("auto-compact", "Compact storage with last revision after test is finished."),
        Flag::bool("auto-defrag", "Defragment storage after test is finished."),
        Flag::text(
            "load",
            "s",
            "The performance check's workload model. Accepted workloads: s(small), m(medium), l(large), xl(xLarge). Different workload models use different configurations in terms of number of clients and expected throughput.",
        ),
        Flag::text(
            "prefix",
            "/etcdctl-check-perf/",
            "The prefix for writing the performance check's keys.",
        ),
    ],
    action: Action::Run(check_perf),
    ..Command::BASE
};

/// How long the performance is measured.
const DURATION: Duration = Duration::from_secs(60);
/// The least share of the wanted rate.
const RATE: f64 = 0.9;
/// The slowest request, and the standard deviation, in seconds.
const SLOWEST: f64 = 0.5;
const DEVIATION: f64 = 0.1;

fn check_perf(call: &mut Call<'_>) -> Result<()> {
    let (clients, rate) = match call.flags.text("load").to_lowercase().as_str() {
        "s" | "small" => (50, 150),
        "m" | "medium" => (200, 1_000),
        "l" | "large" => (500, 8_000),
        "xl" | "xlarge" => (1_000, 15_000),
        other => return Err(unknown_load(other)),
    };
    let prefix = call.flags.text("prefix");
    let session = Session::open(call)?;
    refuse_prefix_in_use(&session, &prefix)?;
    let load = Load {
        clients,
        prefix: prefix.clone(),
        key_bytes: 256,
        value_bytes: 1024,
        rate: Some(rate),
        limit: None,
        duration: Some(DURATION),
    };
    let outcome = session.block_on(load.run(&session.client));
    let revision = clean(&session, &prefix)?;
    let verdict = judge(&outcome, rate);
    for line in &verdict.lines {
        call.console.line(line)?;
    }
    tidy(&session, &call.flags, revision)?;
    if verdict.passes {
        Ok(call.console.line("PASS")?)
    } else {
        call.console.line("FAIL")?;
        Err(Failure::silent(exit::ERROR))
    }
}

struct Verdict {
    lines: Vec<String>,
    passes: bool,
}

fn judge(outcome: &Outcome, rate: u32) -> Verdict {
    let mut verdict = Verdict { lines: Vec::new(), passes: true };
    let mut say = |passes: bool, good: String, bad: String| {
        verdict.passes &= passes;
        verdict.lines.push(if passes { format!("PASS: {good}") } else { format!("FAIL: {bad}") });
    };
    if !outcome.errors.is_empty() {
        say(false, String::new(), "too many errors".to_owned());
        for (error, times) in &outcome.errors {
            say(false, String::new(), format!("ERROR({error}) -> {times}"));
        }
    }
    let (reached, slowest, deviation) = (outcome.rate(), outcome.slowest(), outcome.deviation());
    say(
        reached > RATE * f64::from(rate),
        format!("Throughput is {reached:.0} writes/s"),
        format!("Throughput too low: {reached:.0} writes/s"),
    );
    say(
        slowest <= SLOWEST,
        format!("Slowest request took {slowest:.6}s"),
        format!("Slowest request took too long: {slowest:.6}s"),
    );
    say(
        deviation <= DEVIATION,
        format!("Stddev is {deviation:.6}s"),
        format!("Stddev too high: {deviation:.6}s"),
    );
    verdict
}

fn check_datascale(call: &mut Call<'_>) -> Result<()> {
    let (clients, keys) = match call.flags.text("load").to_lowercase().as_str() {
        "s" | "small" => (50, 10_000),
        "m" | "medium" => (200, 100_000),
        "l" | "large" => (500, 1_000_000),
        "xl" | "xlarge" => (1_000, 3_000_000),
        other => return Err(unknown_load(other)),
    };
    let prefix = call.flags.text("prefix");
    let session = Session::open(call)?;
    let endpoint = session.endpoints[0].clone();
    refuse_prefix_in_use(&session, &prefix)?;
    let memory = || session.block_on(load::resident_bytes(&endpoint));
    let before = memory()?;
    call.console.line(format!(
        "Start data scale check for work load [{keys} key-value pairs, 1024 bytes per key-value, \
         {clients} concurrent clients]."
    ))?;
    call.console.flush()?;
    let load = Load {
        clients,
        prefix: prefix.clone(),
        key_bytes: 512,
        value_bytes: 512,
        rate: None,
        limit: Some(keys),
        duration: None,
    };
    let outcome = session.block_on(load.run(&session.client));
    let after = memory()?;
    let revision = clean(&session, &prefix)?;
    tidy(&session, &call.flags, revision)?;
    if outcome.errors.is_empty() {
        let grown = after.saturating_sub(before) as f64 / f64::from(1 << 20);
        return Ok(call
            .console
            .line(format!("PASS: Approximate system memory used : {grown:.2} MB."))?);
    }
    call.console.line("FAIL: too many errors")?;
    for (error, times) in &outcome.errors {
        call.console.line(format!("FAIL: ERROR({error}) -> {times}"))?;
    }
    Err(Failure::silent(exit::ERROR))
}

fn unknown_load(load: &str) -> Failure {
    Failure::new(exit::BAD_FEATURE, format!("unknown load option {load}"))
}

/// Keys that are there already would be deleted in the end.
fn refuse_prefix_in_use(session: &Session, prefix: &str) -> Result<()> {
    let request = RangeRequest {
        key: prefix.to_owned().into(),
        range_end: prefix_end(prefix.as_bytes()),
        limit: 1,
        keys_only: true,
        ..RangeRequest::default()
    };
    if session.call(method::kv::RANGE, &request)?.kvs.is_empty() {
        return Ok(());
    }
    let end = prefix_end(prefix.as_bytes());
    let end = String::from_utf8_lossy(&end);
    Err(Failure::new(
        exit::INVALID_INPUT,
        format!(
            "prefix {prefix:?} has keys. Delete with 'etcdctl del --prefix {prefix}' first ({prefix:?} to {end:?})"
        ),
    ))
}

/// Deletes what was written and returns the revision then.
fn clean(session: &Session, prefix: &str) -> Result<i64> {
    let request = DeleteRangeRequest {
        key: prefix.to_owned().into(),
        range_end: prefix_end(prefix.as_bytes()),
        prev_kv: false,
    };
    let response = session.call_forever(method::kv::DELETE_RANGE, &request)?;
    Ok(response.header.map_or(0, |header| header.revision))
}

/// Compacts and defragments if that was asked for.
fn tidy(session: &Session, flags: &Values, revision: i64) -> Result<()> {
    if flags.bool("auto-compact") {
        let request = CompactionRequest { revision, physical: true };
        session.call_forever(method::kv::COMPACT, &request)?;
    }
    if flags.bool("auto-defrag") {
        for endpoint in &session.endpoints {
            let client: Client = endpoint::at(session, endpoint)?;
            session
                .block_on(client.raw(method::maintenance::DEFRAGMENT, &DefragmentRequest {}))
                .map_err(|error| refusal::failure(&error))?;
        }
    }
    Ok(())
}
