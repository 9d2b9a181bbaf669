//! `put`

use std::io::Read;

use etcdkit::proto::etcdserverpb::{PutRequest, PutResponse};
use etcdkit::proto::method;

use crate::command::{Action, Call, Command, Flag, Values};
use crate::console::Console;
use crate::ctl::heading;
use crate::ctl::print;
use crate::ctl::session::Session;
use crate::failure::{Failure, Result};
use crate::notation::number;

pub(in crate::ctl) static PUT: Command = Command {
    usage: "put [options] <key> <value> (<value> can also be given from stdin)",
    short: "Puts the given key into the store",
    heading: heading::KEY_VALUE,
    long: "
Puts the given key into the store.

When <value> begins with '-', <value> is interpreted as a flag.
Insert '--' for workaround:

$ put <key> -- <value>
$ put -- <key> <value>

If <value> isn't given as a command line argument and '--ignore-value' is not specified,
this command tries to read the value from standard input.

If <lease> isn't given as a command line argument and '--ignore-lease' is not specified,
this command tries to read the value from standard input.

For example,
$ cat file | put <key>
will store the content of the file to <key>.",
    flags: &[
        Flag::bool("ignore-lease", "updates the key using its current lease"),
        Flag::bool("ignore-value", "updates the key using its current value"),
        Flag::text("lease", "0", "lease ID (in hexadecimal) to attach to the key"),
        Flag::bool("prev-kv", "return the previous key-value pair before modification"),
    ],
    action: Action::Run(put),
    ..Command::BASE
};

fn put(call: &mut Call<'_>) -> Result<()> {
    let request = request(&call.flags, &call.arguments, call.console)?;
    let session = Session::open(call)?;
    let response = session.call(method::kv::PUT, &request)?;
    let hex = session.display.hex;
    session.display.show(call.console, &response, |text| simple(text, hex, &response))
}

/// Appends the answer in the simple format.
pub(super) fn simple(text: &mut Vec<u8>, hex: bool, response: &PutResponse) {
    print::line(text, "OK");
    if let Some(kv) = &response.prev_kv {
        print::key_value(text, hex, kv);
    }
}

/// The request that a command line means; without a value in it the value is read.
pub(super) fn request(
    flags: &Values,
    arguments: &[Vec<u8>],
    console: &mut Console,
) -> Result<PutRequest> {
    let missing = || {
        Failure::bad_arguments("put command needs 1 argument and input from stdin or 2 arguments")
    };
    let ignore_value = flags.bool("ignore-value");
    let (key, value) = match arguments {
        [] => return Err(missing()),
        [key] if ignore_value => (key, Vec::new()),
        [_, _, ..] if ignore_value => {
            return Err(Failure::bad_arguments(
                "put command needs only 1 argument when 'ignore-value' is set",
            ));
        }
        [key] => {
            let mut value = Vec::new();
            console.take_input().read_to_end(&mut value).map_err(|_| missing())?;
            if value.is_empty() {
                return Err(missing());
            }
            (key, value)
        }
        [key, value, ..] => (key, value.clone()),
    };
    let lease = number::read_in_base(&flags.bytes("lease"), 16).map_err(|why| {
        Failure::bad_arguments(format!("bad lease ID ({why}), expecting ID in Hex"))
    })?;
    Ok(PutRequest {
        key: key.clone().into(),
        value: value.into(),
        lease,
        prev_kv: flags.bool("prev-kv"),
        ignore_value,
        ignore_lease: flags.bool("ignore-lease"),
    })
}
