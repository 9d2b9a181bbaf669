//! `txn`: compares and operations, read line by line.

mod compare;
mod words;

pub(in crate::ctl) use words::split as split_words;

use std::io::BufRead;

use etcdkit::proto::etcdserverpb::request_op::Request;
use etcdkit::proto::etcdserverpb::response_op::Response;
use etcdkit::proto::etcdserverpb::{RequestOp, TxnRequest, TxnResponse};
use etcdkit::proto::method;

use super::{DEL, GET, PUT, del, get, put};
use crate::command::{Action, Call, Command, Flag, help, parse};
use crate::console::Console;
use crate::ctl::heading;
use crate::ctl::print;
use crate::ctl::session::Session;
use crate::failure::{Failure, Result, exit};

pub(in crate::ctl) static TXN: Command = Command {
    usage: "txn [options]",
    short: "Txn processes all the requests in one transaction",
    heading: heading::KEY_VALUE,
    long: r#"Txn reads multiple etcd requests from standard input and applies them as a single atomic transaction.

A transaction consists of three components:
1) a list of conditions,
2) a list of requests to apply if all the conditions are true,
3) a list of requests to apply if any condition is false.

Example interactive stdin usage:

---
etcdctl txn -i
# compares:
mod("key1") > "0"

# success requests (get, put, delete):
put key1 "overwrote-key1"

# failure requests (get, put, delete):
put key1 "created-key1"
put key2 "some extra key"
---

Refer to https://github.com/etcd-io/etcd/blob/main/etcdctl/README.md#txn-options."#,
    flags: &[Flag::bool("interactive", "Input transaction in interactive mode").short(b'i')],
    action: Action::Run(txn),
    ..Command::BASE
};

/// A tool without a name: what a line in a transaction is read as.
static LINES: Command = Command { commands: &[&GET, &PUT, &DEL], ..Command::BASE };

fn txn(call: &mut Call<'_>) -> Result<()> {
    if !call.arguments.is_empty() {
        return Err(Failure::bad_arguments("txn command does not accept argument"));
    }
    let mut input = call.console.take_input();
    let session = Session::open(call)?;
    let interactive = call.flags.bool("interactive");
    let prompt = |console: &mut Console, prompt: &str| -> Result<()> {
        if interactive {
            console.line(prompt)?;
            console.flush()?;
        }
        Ok(())
    };
    prompt(call.console, "compares:")?;
    let compare = read_section(&mut input, compare::read)?;
    prompt(call.console, "success requests (get, put, del):")?;
    let success = read_section(&mut input, |line| read_operation(line, call.console))?;
    prompt(call.console, "failure requests (get, put, del):")?;
    let failure = read_section(&mut input, |line| read_operation(line, call.console))?;
    let request = TxnRequest { compare, success, failure };
    let response = session.call_forever(method::kv::TXN, &request)?;
    let hex = session.display.hex;
    session.display.show(call.console, &response, |text| simple(text, hex, &response))
}

fn simple(text: &mut Vec<u8>, hex: bool, response: &TxnResponse) {
    print::line(text, if response.succeeded { "SUCCESS" } else { "FAILURE" });
    for operation in &response.responses {
        print::line(text, "");
        match &operation.response {
            Some(Response::Put(response)) => put::simple(text, hex, response),
            Some(Response::DeleteRange(response)) => del::simple(text, hex, response),
            Some(Response::Range(response)) => {
                for kv in &response.kvs {
                    print::key_value(text, hex, kv);
                }
            }
            Some(Response::Txn(_)) | None => {}
        }
    }
}

/// What the lines up to an empty one say. The first that says nothing is the last that is read.
fn read_section<T>(
    input: &mut dyn BufRead,
    mut read: impl FnMut(&[u8]) -> Result<T>,
) -> Result<Vec<T>> {
    let mut section = Vec::new();
    loop {
        let mut line = Vec::new();
        input
            .read_until(b'\n', &mut line)
            .map_err(|error| Failure::new(exit::INVALID_INPUT, error.to_string()))?;
        if line.last() != Some(&b'\n') {
            return Err(Failure::new(exit::INVALID_INPUT, "EOF"));
        }
        let line = line.trim_ascii();
        if line.is_empty() {
            return Ok(section);
        }
        section.push(read(line)?);
    }
}

/// Reads one operation: a command line of `get`, `put` or `del`.
fn read_operation(line: &[u8], console: &mut Console) -> Result<RequestOp> {
    let refused = |what: &str| {
        let line = String::from_utf8_lossy(line);
        Failure::new(exit::INVALID_INPUT, format!("invalid txn {what}: {line}"))
    };
    let words = words::split(line);
    if words.len() < 2 {
        return Err(refused("compare request"));
    }
    let parsed = match parse(&LINES, &words) {
        Ok(parsed) if parsed.path.len() == 2 => parsed,
        Ok(_) => return Err(refused("request")),
        Err(refusal) => {
            if refusal.path.len() == 2 {
                console.error_line(help::usage(&refusal.path));
            }
            return Err(refused("request"));
        }
    };
    let (flags, arguments) = (&parsed.flags, &parsed.arguments);
    let request = match parsed.path[1].name() {
        "get" => Request::Range(get::request(flags, arguments)?),
        "put" => Request::Put(put::request(flags, arguments, console)?),
        _ => Request::DeleteRange(del::request(flags, arguments, console, false)?),
    };
    Ok(RequestOp { request: Some(request) })
}
