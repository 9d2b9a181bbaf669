//! `compaction`

use etcdkit::proto::etcdserverpb::CompactionRequest;
use etcdkit::proto::method;

use crate::command::{Action, Call, Command, Flag};
use crate::ctl::heading;
use crate::ctl::session::Session;
use crate::failure::{Failure, Result};
use crate::notation::number;

pub(in crate::ctl) static COMPACTION: Command = Command {
    usage: "compaction [options] <revision>",
    short: "Compacts the event history in etcd",
    heading: heading::KEY_VALUE,
    flags: &[Flag::bool(
        "physical",
        "'true' to wait for compaction to physically remove all old revisions",
    )],
    action: Action::Run(compaction),
    ..Command::BASE
};

fn compaction(call: &mut Call<'_>) -> Result<()> {
    let [revision] = call.arguments.as_slice() else {
        return Err(Failure::bad_arguments("compaction command needs 1 argument"));
    };
    let revision = number::read_in_base(revision, 10).map_err(Failure::error)?;
    let physical = call.flags.bool("physical");
    let session = Session::open(call)?;
    let request = CompactionRequest { revision, physical };
    if physical {
        // It ends when the last old revision is off the disk.
        session.call_forever(method::kv::COMPACT, &request)?;
    } else {
        session.call(method::kv::COMPACT, &request)?;
    }
    Ok(call.console.line(format!("compacted revision {revision}"))?)
}
