//! `snapshot status`: a snapshot in a few numbers.

use etcdkit_datadir::Status;
use etcdkit_datadir::schema::{Backend, Version};
use serde_json::Value as Json;

use super::output::{Entry, Format, Report};
use super::{lock, refusal};
use crate::command::{Action, Call, Command};
use crate::ctl::endpoint::size;
use crate::failure::{Failure, Result};

pub(crate) static STATUS: Command = COMMAND;

/// As etcdctl had it until 3.6: it works there, and is not listed.
pub(crate) static KEPT_STATUS: Command = Command { hidden: true, ..COMMAND };

const COMMAND: Command = Command {
    usage: "status <filename>",
    short: "Gets backend snapshot status of a given file",
    long: LONG,
    action: Action::Run(status),
    ..Command::BASE
};

const LONG: &str = "When --write-out is set to simple, this command prints out comma-separated status lists for each endpoint.
The items in the lists are hash, revision, total keys, total size.
";

/// The etcd whose way to count keys is followed.
const TOOL: Version = Version::new(3, 7);

fn status(call: &mut Call<'_>) -> Result<()> {
    let [path] = &call.paths()[..] else {
        return Err(Failure::bad_arguments("snapshot status requires exactly one argument"));
    };
    let format = Format::of(call)?;
    if let Some(missing) = refusal::stat(path) {
        return Err(Failure::error(missing));
    }
    if path.is_dir() {
        return Err(Failure::error("invalid database").with_hint(format!(
            "{} is a folder: the database is member/snap/db in it",
            path.display()
        )));
    }
    let _held = lock::hold_shared(call, path)?;
    let status = Backend::open_path(path).and_then(|mut backend| Status::of(&mut backend));
    report(&status.map_err(|error| refusal::database(&error))?).print(format, call)
}

fn report(status: &Status) -> Report {
    let version = status.version.map_or_else(String::new, |version| version.to_string());
    let entry =
        |name, label, heading, value: Json, text| Entry { name, label, heading, value, text };
    let keys = status.total_keys(TOOL);
    Report {
        values: vec![
            entry("hash", "Hash", "HASH", status.hash.into(), format!("{:x}", status.hash)),
            entry(
                "revision",
                "Revision",
                "REVISION",
                status.revision.into(),
                status.revision.to_string(),
            ),
            entry("totalKey", "Keys", "TOTAL KEYS", keys.into(), keys.to_string()),
            entry(
                "totalSize",
                "Size",
                "TOTAL SIZE",
                status.size.into(),
                size::shown(status.size.cast_signed()),
            ),
            entry("version", "Version", "VERSION", version.clone().into(), version),
        ],
    }
}
