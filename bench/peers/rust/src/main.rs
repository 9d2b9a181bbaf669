//! Other authors' Rust clients under the closed loop of `etcdkit-bench`: the same flags as its `kv`, the
//! same line of JSON.

mod etcd_client_peer;
mod etcd_client_streams;
mod tonic_door;
mod tonic_peer;

use std::process::ExitCode;

use etcdkit_bench::args::Flags;
use etcdkit_bench::load::{Outcome, Plan, run};
use etcdkit_bench::{Error, report, streams};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).peekable();
    let measured = if arguments.next_if_eq("streams").is_some() {
        measure_streams(arguments).and_then(|outcome| report::outcome(&outcome))
    } else {
        measure(arguments).and_then(|outcome| report::outcome(&outcome))
    };
    match measured {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::note(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

fn measure_streams(arguments: impl Iterator<Item = String>) -> Result<streams::Outcome, Error> {
    let mut flags = Flags::parse(arguments)?;
    let plan = streams::Plan::from_flags(&mut flags)?;
    flags.finish()?;
    match plan.client.as_str() {
        "etcd-client" => streams::run::<etcd_client_streams::EtcdClientStreams>(&plan),
        name => Err(format!("there is no client `{name}` here, only etcd-client").into()),
    }
}

fn measure(arguments: impl Iterator<Item = String>) -> Result<Outcome, Error> {
    let mut flags = Flags::parse(arguments)?;
    let plan = Plan::from_flags(&mut flags)?;
    flags.finish()?;
    match plan.client.as_str() {
        "etcd-client" => run::<etcd_client_peer::EtcdClient>(&plan),
        "tonic" => run::<tonic_peer::Tonic>(&plan),
        "tonic-door" => run::<tonic_door::TonicDoor>(&plan),
        name => Err(format!("there is no client `{name}` here, only etcd-client, tonic, tonic-door").into()),
    }
}
