//! `downgrade`: prepares a cluster for the minor version before its own.

use etcdkit::proto::etcdserverpb::DowngradeRequest;
use etcdkit::proto::etcdserverpb::downgrade_request::DowngradeAction;
use etcdkit::proto::method;

use super::session::Session;
use super::{heading, print};
use crate::command::{Action, Call, Command};
use crate::failure::{Failure, Result};

pub(super) static DOWNGRADE: Command = Command {
    usage: "downgrade",
    short: "Downgrade related commands. Use `etcdctl downgrade --help` to see subcommands",
    heading: heading::CLUSTER,
    long: "Downgrade related commands",
    commands: &[&DOWNGRADE_CANCEL, &DOWNGRADE_ENABLE, &DOWNGRADE_VALIDATE],
    ..Command::BASE
};

static DOWNGRADE_CANCEL: Command = Command {
    usage: "cancel",
    short: "Cancel the ongoing downgrade action to cluster",
    action: Action::Run(downgrade_cancel),
    ..Command::BASE
};

static DOWNGRADE_ENABLE: Command = Command {
    usage: "enable <TARGET_VERSION>",
    short: "Start a downgrade action to cluster",
    action: Action::Run(downgrade_enable),
    ..Command::BASE
};

static DOWNGRADE_VALIDATE: Command = Command {
    usage: "validate <TARGET_VERSION>",
    short: "Validate downgrade capability before starting downgrade",
    action: Action::Run(downgrade_validate),
    ..Command::BASE
};

fn downgrade_validate(call: &mut Call<'_>) -> Result<()> {
    let version = target_version(call)?;
    downgrade(call, DowngradeAction::Validate, version, "validate")
}

fn downgrade_enable(call: &mut Call<'_>) -> Result<()> {
    let version = target_version(call)?;
    downgrade(call, DowngradeAction::Enable, version, "enable")
}

fn downgrade_cancel(call: &mut Call<'_>) -> Result<()> {
    downgrade(call, DowngradeAction::Cancel, String::new(), "cancel")
}

fn target_version(call: &Call<'_>) -> Result<String> {
    match call.texts().as_slice() {
        [] => Err(Failure::bad_arguments("TARGET_VERSION not provided")),
        [version] => Ok(version.clone()),
        [..] => Err(Failure::bad_arguments("too many arguments")),
    }
}

fn downgrade(
    call: &mut Call<'_>,
    action: DowngradeAction,
    version: String,
    name: &str,
) -> Result<()> {
    let session = Session::open(call)?;
    let mut request = DowngradeRequest { version, ..DowngradeRequest::default() };
    request.set_action(action);
    let response = session.call(method::maintenance::DOWNGRADE, &request)?;
    session.display.show(call.console, &response, |text| {
        let version = &response.version;
        print::line(text, format!("Downgrade {name} success, cluster version {version}"));
    })
}
