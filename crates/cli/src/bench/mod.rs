//! `bench`: how fast a cluster answers, and how evenly.
//!
//! With `--rate` requests are due at fixed times, whether earlier ones were answered or not, and a request that had to wait
//! for its turn has waited in what is reported: a server that stalls for a second spoils the thousand requests that were
//! due in it, and not just the one that met it (that is coordinated omission). Without a rate each client asks again as
//! soon as it was answered, which finds the most that a cluster does and says little about how long users wait.
//!
//! `schedule.rs` says when a request is due, `load.rs` runs the clients, `work.rs` makes the requests, `histogram.rs` counts
//! times, `report.rs` and `svg.rs` show them.

mod histogram;
mod load;
mod report;
mod schedule;
mod svg;
mod work;

use std::fs;
use std::num::NonZeroU64;
use std::time::Duration;

use crate::command::{Action, Call, Command, Flag};
use crate::ctl::session::Session;
use crate::failure::{Failure, Result, exit};
use crate::notation::os_error;
use crate::pause;

use load::Load;
use schedule::Schedule;
use work::{Kind, Size};

/// The command.
pub(crate) static BENCH: Command = Command {
    usage: "bench",
    short: "Measures how fast a cluster answers, and how evenly",
    long: "Measures how fast a cluster answers, and how evenly.

With --rate, requests are due at fixed times and waiting for their turn counts: what users of that many requests a second
would see. Without, each client asks again as soon as it was answered: what the cluster does at most. Keys are written below
--prefix, and deleted at the end.",
    heading: "Utility commands",
    persistent: &[
        Flag::text("rate", "0", "requests that are due in a second; 0 for as many as are answered"),
        Flag::uint("clients", "16", "clients that ask at the same time"),
        Flag::duration("duration", "10s", "how long to go on"),
        Flag::uint("total", "0", "end after so many requests; 0 for no such end"),
        Flag::uint("key-space", "10000", "how many keys there are"),
        Flag::uint("value-size", "256", "bytes of a value"),
        Flag::uint("ops", "8", "puts in a transaction of txn-put"),
        Flag::text("prefix", "/etcdkit-bench/", "what keys begin with"),
        Flag::uint("seed", "1", "which keys are asked for in which order"),
        Flag::text("svg", "", "draw the result into this file"),
    ],
    commands: &[
        &command("put", "Puts single keys", put),
        &command("range", "Gets single keys", range),
        &command("txn-put", "Puts several keys in one transaction", txn_put),
        &command("watch", "Puts keys, and waits until their watchers know", watch),
        &command("lease-keepalive", "Renews leases", lease_keep_alive),
    ],
    ..Command::BASE
};

const fn command(
    usage: &'static str,
    short: &'static str,
    run: fn(&mut Call<'_>) -> Result<()>,
) -> Command {
    Command { usage, short, action: Action::Run(run), ..Command::BASE }
}

fn put(call: &mut Call<'_>) -> Result<()> {
    run(call, Kind::Put)
}

fn range(call: &mut Call<'_>) -> Result<()> {
    run(call, Kind::Range)
}

fn txn_put(call: &mut Call<'_>) -> Result<()> {
    run(call, Kind::TxnPut)
}

fn watch(call: &mut Call<'_>) -> Result<()> {
    run(call, Kind::Watch)
}

fn lease_keep_alive(call: &mut Call<'_>) -> Result<()> {
    run(call, Kind::KeepAlive)
}

/// Clients that fit on one machine; each waits for one request at a time.
const MAX_CLIENTS: u64 = 100_000;
/// Keys that are there before they are read.
const MAX_KEYS: u64 = 10_000_000;
/// etcd takes no request of more than this by default, and a value is part of one.
const MAX_VALUE: u64 = 10 << 20;

fn run(call: &mut Call<'_>, kind: Kind) -> Result<()> {
    let load = read(call, kind)?;
    let svg = call.flags.text("svg");
    let session = Session::open(call)?;
    call.console.error_line(format_args!("{load}"));
    let result = session.block_on(load.run(&session.client));
    let result = result.map_err(|error| Failure::error(error.to_string()))?;
    call.console.print(report::text(&load, &result))?;
    if !svg.is_empty() {
        fs::write(&svg, svg::draw(&load, &result)).map_err(|error| {
            Failure::new(exit::IO, format!("cannot write {svg}: {}", os_error::text(&error)))
        })?;
        call.console.error_line(format_args!("drawn into {svg}"));
    }
    match result.tally.first_error {
        Some(error) => Err(Failure::error(format!(
            "{} of {} requests failed, the first with: {error}",
            result.tally.errors,
            result.tally.errors + result.tally.times.count()
        ))),
        None => Ok(()),
    }
}

fn read(call: &Call<'_>, kind: Kind) -> Result<Load> {
    let flags = &call.flags;
    let within = |name: &str, least: u64, most: u64| {
        let number = flags.uint(name);
        if (least..=most).contains(&number) {
            return Ok(number);
        }
        Err(Failure::bad_arguments(format!(
            "--{name} is {number}: it must be from {least} to {most}"
        )))
    };
    let rate = flags.text("rate");
    let per_second = rate.parse::<f64>().ok().filter(|rate| (0.0..=1e7).contains(rate));
    let Some(per_second) = per_second else {
        return Err(Failure::bad_arguments(format!(
            "--rate is {rate}: it must be a number of requests in a second, up to 10000000"
        )));
    };
    let duration = flags.duration("duration");
    if duration.is_zero() {
        return Err(Failure::bad_arguments("--duration must be above 0, such as 10s"));
    }
    let prefix = flags.bytes("prefix");
    if prefix.is_empty() {
        return Err(Failure::bad_arguments(
            "--prefix is empty: all keys of the cluster would be deleted at the end",
        ));
    }
    let between = (per_second > 0.0).then(|| Duration::from_secs_f64(1.0 / per_second));
    Ok(Load {
        kind,
        schedule: Schedule {
            clients: within("clients", 1, MAX_CLIENTS)?,
            between,
            duration,
            total: NonZeroU64::new(flags.uint("total")),
        },
        size: Size {
            prefix,
            keys: within("key-space", 1, MAX_KEYS)?,
            value: usize::try_from(within("value-size", 0, MAX_VALUE)?).unwrap_or_default(),
            operations: within("ops", 1, 10_000)?,
        },
        seed: flags.uint("seed"),
        now: pause::now,
    })
}
