//! `check`: whether a cluster is up to a load.

mod load;

use std::time::Duration;

use etcdkit::CallOptions;
use etcdkit::proto::etcdserverpb::{
    CompactionRequest, DefragmentRequest, DeleteRangeRequest, RangeRequest,
};
use etcdkit::proto::method;

use self::load::{Load, Outcome};
use super::kv::Keys;
use super::session::Session;
use super::{heading, refusal};
use crate::command::{Action, Call, Command, Flag, Values};
use crate::console::Console;
use crate::failure::{Failure, Result, exit};
use crate::notation::quote::quote;
use crate::progress::Progress;

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

/// How long each step of cleaning up may take; deleting what `datascale` wrote takes as long as it takes.
const CLEANING: Duration = Duration::from_secs(30);
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
    refuse_prefix_in_use(&session, &prefix, "'")?;
    let load = Load {
        clients,
        prefix: prefix.clone(),
        key_bytes: 256,
        value_bytes: 1024,
        rate: Some(rate),
        limit: None,
        duration: Some(DURATION),
    };
    let bar = Progress::new(call.console, "writing").counting("seconds");
    let outcome = session.block_on(load.run(&session.client, &bar));
    drop(bar);
    match clean(&session, &prefix, Some(CLEANING)) {
        Ok(revision) => tidy(&session, &call.flags, revision, call.console)?,
        Err(failure) => {
            let why = failure.message.unwrap_or_default();
            let line = format!("FAIL: Cleanup failed during key deletion: ERROR({why})");
            call.console.line(line)?;
        }
    }
    let verdict = judge(&outcome, rate);
    for line in &verdict.lines {
        call.console.line(line)?;
    }
    if verdict.passes {
        Ok(call.console.line("PASS")?)
    } else {
        call.console.line("FAIL")?;
        Err(Failure::silent(exit::ERROR))
    }
}

/// What is to be said of the writes that failed.
fn complaints(outcome: &Outcome) -> Vec<String> {
    if outcome.errors.is_empty() {
        return Vec::new();
    }
    let errors = outcome.errors.iter();
    let errors = errors.map(|(error, times)| format!("FAIL: ERROR({error}) -> {times}"));
    std::iter::once("FAIL: too many errors".to_owned()).chain(errors).collect()
}

struct Verdict {
    lines: Vec<String>,
    passes: bool,
}

fn judge(outcome: &Outcome, rate: u32) -> Verdict {
    let mut verdict = Verdict { lines: Vec::new(), passes: true };
    let mut say = |passes: bool, good: String, bad: String| {
        verdict.passes &= passes;
        verdict.lines.push(if passes { format!("PASS: {good}") } else { bad });
    };
    for line in complaints(outcome) {
        say(false, String::new(), line);
    }
    let (reached, slowest, deviation) = (outcome.rate(), outcome.slowest(), outcome.deviation());
    // The official tool says one more than was reached in full, and only here that it fails.
    let shown = reached as u64 + 1;
    say(
        reached > RATE * f64::from(rate),
        format!("Throughput is {shown} writes/s"),
        format!("FAIL: Throughput too low: {shown} writes/s"),
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
    refuse_prefix_in_use(&session, &prefix, "")?;
    let memory = |when: &str, console: &mut Console| {
        session.block_on(load::resident_bytes(&endpoint)).map_err(|why| {
            let line = format!(
                "FAIL: Could not read process_resident_memory_bytes {when} the put operations."
            );
            let said = console.line(line);
            said.map_or_else(Failure::from, |()| Failure::silent(exit::ERROR).with_hint(why))
        })
    };
    let before = memory("before", call.console)?;
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
    let bar = Progress::new(call.console, "writing").counting("keys");
    let outcome = session.block_on(load.run(&session.client, &bar));
    drop(bar);
    let after = memory("after", call.console);
    let revision = clean(&session, &prefix, None)?;
    tidy(&session, &call.flags, revision, call.console)?;
    if outcome.was_interrupted {
        return Err(Failure::new(exit::INTERRUPTED, "interrupted; what was written is deleted"));
    }
    let grown = (after? as f64 - before as f64) / f64::from(1 << 20);
    let complaints = complaints(&outcome);
    for line in &complaints {
        call.console.line(line)?;
    }
    if complaints.is_empty() {
        let line = format!("PASS: Approximate system memory used : {grown:.2} MB.");
        return Ok(call.console.line(line)?);
    }
    Err(Failure::silent(exit::ERROR))
}

fn unknown_load(load: &str) -> Failure {
    Failure::new(exit::BAD_FEATURE, format!("unknown load option {load}"))
}

/// Keys that are there already would be deleted in the end. The command that does it is named between two `mark`s.
fn refuse_prefix_in_use(session: &Session, prefix: &str, mark: &str) -> Result<()> {
    let Keys { key, range_end } = Keys::prefix(prefix.as_bytes());
    let request =
        RangeRequest { key, range_end, limit: 1, keys_only: true, ..RangeRequest::default() };
    if session.call(method::kv::RANGE, &request)?.kvs.is_empty() {
        return Ok(());
    }
    let quoted = quote(prefix.as_bytes());
    let remedy = format!("{mark}etcdctl del --prefix {prefix}{mark}");
    Err(Failure::new(
        exit::INVALID_INPUT,
        format!("prefix {quoted} has keys. Delete with {remedy} first"),
    ))
}

/// Deletes what was written and returns the revision then.
fn clean(session: &Session, prefix: &str, patience: Option<Duration>) -> Result<i64> {
    let Keys { key, range_end } = Keys::prefix(prefix.as_bytes());
    let request = DeleteRangeRequest { key, range_end, prev_kv: false };
    let options = CallOptions::new();
    let options = match patience {
        Some(patience) => options.timeout(patience),
        None => options.no_timeout(),
    };
    let client = session.client.with_options(options);
    let deleted = session.block_on(client.raw(method::kv::DELETE_RANGE, &request));
    let deleted = deleted.map_err(|error| refusal::failure(&error))?;
    Ok(deleted.header.map_or(0, |header| header.revision))
}

/// Compacts and defragments if that was asked for, and says so.
fn tidy(session: &Session, flags: &Values, revision: i64, console: &mut Console) -> Result<()> {
    let failed = |error| refusal::failure(&error);
    if flags.bool("auto-compact") {
        console.line(format!("Compacting with revision {revision}"))?;
        console.flush()?;
        let request = CompactionRequest { revision, physical: true };
        let client = session.client.with_options(CallOptions::new().timeout(CLEANING));
        session.block_on(client.raw(method::kv::COMPACT, &request)).map_err(failed)?;
        console.line(format!("Compacted with revision {revision}"))?;
    }
    if flags.bool("auto-defrag") {
        for endpoint in &session.endpoints {
            let shown = quote(endpoint.as_bytes());
            console.line(format!("Defragmenting {shown}"))?;
            console.flush()?;
            let client = session.alone_at(endpoint)?;
            let client = client.with_options(CallOptions::new().timeout(CLEANING));
            let request = DefragmentRequest {};
            session
                .block_on(client.raw(method::maintenance::DEFRAGMENT, &request))
                .map_err(failed)?;
            console.line(format!("Defragmented {shown}"))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::load::tests::outcome;
    use super::*;

    /// Each of them as etcdctl 3.7.1 prints it, which names some failures without saying that they are.
    #[test]
    fn verdicts_have_the_words_of_the_official_tool() {
        let verdict = judge(&outcome(8_900, 0.25, 0.0), 150);
        let expected = [
            "PASS: Throughput is 149 writes/s",
            "PASS: Slowest request took 0.250000s",
            "PASS: Stddev is 0.000000s",
        ];
        assert!(verdict.passes);
        assert_eq!(verdict.lines, expected);

        let mut slow = outcome(6_000, 0.877140, 240.0);
        slow.errors.insert("etcdserver: no leader".to_owned(), 2);
        let verdict = judge(&slow, 150);
        let expected = [
            "FAIL: too many errors",
            "FAIL: ERROR(etcdserver: no leader) -> 2",
            "FAIL: Throughput too low: 101 writes/s",
            "Slowest request took too long: 0.877140s",
            "Stddev too high: 0.200000s",
        ];
        assert!(!verdict.passes);
        assert_eq!(verdict.lines, expected);
    }
}
