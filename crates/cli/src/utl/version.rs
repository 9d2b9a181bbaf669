//! `version`: which etcdutl this is equal to.

use crate::command::{Action, Call, Command};
use crate::failure::Result;
use crate::tool;

pub(super) static VERSION: Command = Command {
    usage: "version",
    short: "Prints the version of etcdutl",
    action: Action::Run(version),
    ..Command::BASE
};

fn version(call: &mut Call<'_>) -> Result<()> {
    call.console.line(format!("etcdutl version: {}", tool::ETCD_VERSION))?;
    Ok(call.console.line(format!("API version: {}", tool::API_VERSION))?)
}
