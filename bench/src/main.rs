//! The program `etcdkit-bench`: `kv` puts one client under load, `streams` has one hold watches or leases,
//! `null-server` is what they may talk to, `compare` and `compare-streams` run them in rounds. `recipes` has one client take
//! part in what is built on locks, `contend` has several do so at once, `compare-recipes` one after the other. See
//! `bench/README.md`.

use std::io::Read as _;
use std::net::TcpListener;
use std::process::ExitCode;

use etcdkit_bench::args::Flags;
use etcdkit_bench::compare::Comparison;
use etcdkit_bench::compare::streams::StreamComparison;
use etcdkit_bench::load::{Plan, Runtime};
use etcdkit_bench::recipes::{self, Figures, Referee};
use etcdkit_bench::{Error, clients, null_server, report, streams};

const USAGE: &str = "usage:
  etcdkit-bench kv --client NAME [--runtime mt|ct] [--op put|get] [--concurrency N] [--seconds S]
                   [--warmup S] [--endpoints HOST:PORT,..] [--value-size BYTES] [--keys N]
  etcdkit-bench null-server [--listen HOST:PORT] [--value-size BYTES] [--until stdin-closes|killed]
  etcdkit-bench compare [--against null|real] [--etcd PATH] [--rounds N] [--concurrency N,..]
                   [--op put,get] [--clients NAME,..] [--bases NAME,..] [--seconds S] [--warmup S]
                   [--value-size BYTES] [--keys N] [--out PATH] [--data-root PATH]
                   [--peers-rust PATH] [--peers-go PATH]
  etcdkit-bench streams --client NAME [--runtime mt|ct] [--kind watch|lease] [--count N] [--events N]
                   [--seconds S] [--warmup S] [--endpoints HOST:PORT]
  etcdkit-bench compare-streams [--rounds N] [--kind watch,lease] [--watchers N,..] [--leases N,..]
                   [--events N] [--seconds S] [--clients NAME,..] [--bases NAME,..] [--out PATH]
                   [--peers-rust PATH] [--peers-go PATH]
  etcdkit-bench recipes [--kind mutex|rwmutex|election|queue|bank|lock|mirror|cache] [--name NAME]
                   [--workers N] [--rounds N] [--ttl S] [--accounts N] [--endpoints HOST:PORT]
  etcdkit-bench contend --etcd PATH [--kind mutex,rwmutex,election,queue,bank] [--clients go,etcdkit]
                   [--processes N] [--workers N] [--rounds N] [--ttl S] [--data-root PATH] [--peers-go PATH]
  etcdkit-bench compare-recipes --etcd PATH [--rounds N] [--keys N] [--clients go,etcdkit]
                   [--data-root PATH] [--peers-go PATH]";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let command = args.next().unwrap_or_default();
    let result = Flags::parse(args).and_then(|flags| match command.as_str() {
        "kv" => kv(flags),
        "streams" => hold(flags),
        "null-server" => serve(flags),
        "compare" => compare(flags),
        "compare-streams" => compare_streams(flags),
        "recipes" => take_part(flags),
        "contend" => contend(flags),
        "compare-recipes" => compare_recipes(flags),
        _ => Err(USAGE.into()),
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::note(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

fn kv(mut flags: Flags) -> Result<(), Error> {
    let plan = Plan::from_flags(&mut flags)?;
    flags.finish()?;
    report::outcome(&clients::run_by_name(&plan)?)
}

fn hold(mut flags: Flags) -> Result<(), Error> {
    let plan = streams::Plan::from_flags(&mut flags)?;
    flags.finish()?;
    report::outcome(&clients::run_streams_by_name(&plan)?)
}

fn serve(mut flags: Flags) -> Result<(), Error> {
    let listener = TcpListener::bind(flags.value("listen", "127.0.0.1:23790".to_owned())?)?;
    let value_size = flags.value("value-size", 256)?;
    let until = flags.value("until", "killed".to_owned())?;
    flags.finish()?;
    report::line(&format!("listening on {}", listener.local_addr()?));
    match until.as_str() {
        "killed" => null_server::serve(&listener, value_size),
        "stdin-closes" => {
            // Returning from here ends the process, and the acceptor with it.
            std::thread::Builder::new().name("acceptor".to_owned()).spawn(move || {
                if let Err(error) = null_server::serve(&listener, value_size) {
                    report::note(&error.to_string());
                }
            })?;
            std::io::stdin().read_to_end(&mut Vec::new())?;
            Ok(())
        }
        _ => Err(format!("--until {until}: neither `killed` nor `stdin-closes`").into()),
    }
}

fn compare_streams(mut flags: Flags) -> Result<(), Error> {
    let comparison = StreamComparison::from_flags(&mut flags)?;
    flags.finish()?;
    Runtime::CurrentThread.build()?.block_on(comparison.run())
}

fn take_part(mut flags: Flags) -> Result<(), Error> {
    let plan = recipes::Plan::from_flags(&mut flags)?;
    flags.finish()?;
    let outcome = Runtime::MultiThread.build()?.block_on(recipes::take_part(&plan))?;
    report::outcome(&outcome)
}

fn contend(mut flags: Flags) -> Result<(), Error> {
    let referee = Referee::from_flags(&mut flags)?;
    flags.finish()?;
    Runtime::MultiThread.build()?.block_on(referee.run())
}

fn compare_recipes(mut flags: Flags) -> Result<(), Error> {
    let figures = Figures::from_flags(&mut flags)?;
    flags.finish()?;
    Runtime::MultiThread.build()?.block_on(figures.run())
}

fn compare(mut flags: Flags) -> Result<(), Error> {
    let comparison = Comparison::from_flags(&mut flags)?;
    flags.finish()?;
    Runtime::CurrentThread.build()?.block_on(comparison.run())
}
