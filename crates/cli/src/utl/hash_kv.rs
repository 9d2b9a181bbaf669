//! `hashkv`: the hash of the keys in a database.

use etcdkit_datadir::HashKv;
use etcdkit_datadir::schema::Backend;
use serde_json::Value as Json;

use super::output::{Entry, Format, Report};
use super::{lock, refusal};
use crate::command::{Action, Arity, Call, Command, Flag};
use crate::failure::{Failure, Result};

pub(crate) static HASH_KV: Command = Command {
    usage: "hashkv <filename>",
    short: "Prints the KV history hash of a given file",
    heading: "Commands for files",
    flags: &[Flag::int("rev", "0", "maximum revision to hash (default: latest revision)")],
    arity: Arity::Exactly(1),
    action: Action::Run(hash_kv),
    ..Command::BASE
};

fn hash_kv(call: &mut Call<'_>) -> Result<()> {
    let path = call.paths().swap_remove(0);
    let format = Format::of(call)?;
    if let Some(missing) = refusal::stat(&path) {
        return Err(Failure::error(missing));
    }
    let revision = call.flags.int("rev");
    let _held = lock::hold_shared(call, &path)?;
    let hash = Backend::open_path(&path)
        .and_then(|mut backend| HashKv::at(revision).compute(&mut backend))
        .map_err(|error| refusal::database(&error))?;
    let entry = |name, label, heading, value: i64| Entry {
        name,
        label,
        heading,
        value: Json::from(value),
        text: value.to_string(),
    };
    let report = Report {
        values: vec![
            entry("hash", "Hash", "HASH", hash.hash.into()),
            entry("hashRevision", "Hash revision", "HASH REVISION", hash.revision),
            entry("compactRevision", "Compact revision", "COMPACT REVISION", hash.compact_revision),
        ],
    };
    report.print(format, call)
}
