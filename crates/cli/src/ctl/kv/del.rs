//! `del`

use std::time::Duration;

use etcdkit::proto::etcdserverpb::{DeleteRangeRequest, DeleteRangeResponse, RangeRequest};
use etcdkit::proto::method;

use super::Keys;
use crate::command::{Action, Call, Command, Flag, Values};
use crate::console::Console;
use crate::ctl::heading;
use crate::ctl::print;
use crate::ctl::session::Session;
use crate::failure::Result;
use crate::notation::quote::quote;
use crate::pause::pause;
use crate::progress::Progress;

/// How long one can think better of deleting a range.
const SECOND_THOUGHTS: Duration = Duration::from_secs(2);

pub(in crate::ctl) static DEL: Command = Command {
    usage: "del [options] <key> [range_end]",
    short: "Removes the specified key or range of keys [key, range_end)",
    heading: heading::KEY_VALUE,
    flags: &[
        Flag::bool(
            "from-key",
            "delete keys that are greater than or equal to the given key using byte compare",
        ),
        Flag::bool("prefix", "delete keys with matching prefix"),
        Flag::bool("prev-kv", "return deleted key-value pairs"),
        Flag::bool("range", "delete range of keys"),
        Flag::bool("dry-run", "only show the keys that would be deleted").hidden(),
    ],
    action: Action::Run(del),
    ..Command::BASE
};

fn del(call: &mut Call<'_>) -> Result<()> {
    let dry_run = call.flags.bool("dry-run");
    let request = request(&call.flags, &call.arguments, call.console, dry_run)?;
    let session = Session::open(call)?;
    let hex = session.display.hex;
    if dry_run {
        let keys = RangeRequest {
            key: request.key,
            range_end: request.range_end,
            keys_only: true,
            ..RangeRequest::default()
        };
        let response = session.call(method::kv::RANGE, &keys)?;
        return session.display.show(call.console, &response, |text| {
            print::line(text, format!("{} would be deleted", response.kvs.len()));
            for kv in &response.kvs {
                print::bytes_line(text, hex, &kv.key);
            }
        });
    }
    let progress = Progress::new(call.console, label(&session, &request, call.console));
    let response = session.call_showing(&progress, method::kv::DELETE_RANGE, &request)?;
    drop(progress);
    session.display.show(call.console, &response, |text| simple(text, hex, &response))
}

/// What is shown while it lasts: for a range on a terminal, how many keys it has.
fn label(session: &Session, request: &DeleteRangeRequest, console: &Console) -> String {
    let is_counted = console.err_is_terminal() && !request.range_end.is_empty();
    let count = RangeRequest {
        key: request.key.clone(),
        range_end: request.range_end.clone(),
        count_only: true,
        ..RangeRequest::default()
    };
    // Who may write need not be allowed to read.
    let counted = is_counted.then(|| session.try_call(method::kv::RANGE, &count).ok()).flatten();
    counted.map_or_else(|| "deleting".to_owned(), |found| format!("deleting {} keys", found.count))
}

/// Appends the answer in the simple format.
pub(super) fn simple(text: &mut Vec<u8>, hex: bool, response: &DeleteRangeResponse) {
    print::line(text, response.deleted.to_string());
    for kv in &response.prev_kvs {
        print::key_value(text, hex, kv);
    }
}

/// The request that a command line means. Whoever names two keys without saying that a range is meant is warned, and has
/// time to think, unless nothing is at stake.
pub(super) fn request(
    flags: &Values,
    arguments: &[Vec<u8>],
    console: &mut Console,
    dry_run: bool,
) -> Result<DeleteRangeRequest> {
    let keys = Keys::read("del", flags, arguments)?;
    let is_guess = arguments.len() == 2 && keys.is_range() && !flags.bool("range");
    if is_guess && !dry_run {
        console.error_line(format_args!(
            "Warning: Keys between {} and {} will be deleted. Please interrupt the command within next 2 seconds to \
             cancel. You can provide `--range` flag to avoid the delay.",
            quote(&arguments[0]),
            quote(&arguments[1])
        ));
        pause(SECOND_THOUGHTS);
    }
    Ok(DeleteRangeRequest {
        key: keys.key,
        range_end: keys.range_end,
        prev_kv: flags.bool("prev-kv"),
    })
}
