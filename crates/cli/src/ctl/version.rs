//! `version`: which etcdctl this is equal to.

use super::heading;
use crate::command::{Action, Call, Command};
use crate::failure::Result;
use crate::tool;

pub(super) static VERSION: Command = Command {
    usage: "version",
    short: "Prints the version of etcdctl",
    heading: heading::UTILITY,
    action: Action::Run(version),
    ..Command::BASE
};

fn version(call: &mut Call<'_>) -> Result<()> {
    if call.tool().name() == "etcdkit" {
        call.console.line(concat!("etcdkit version: ", env!("CARGO_PKG_VERSION")))?;
    }
    call.console.line(format!("etcdctl version: {}", tool::ETCD_VERSION))?;
    Ok(call.console.line(format!("API version: {}", tool::API_VERSION))?)
}
