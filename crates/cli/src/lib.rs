//! The command line `etcdkit`: a drop-in etcdctl and etcdutl, an embedded server, and what operators lack.
//!
//! [`run`] is the whole program. By the name that it is called by it picks a tool, a tree of commands (`command`); finds
//! in it what the command line means; and calls that. What `etcdctl` does is in `ctl`; `notation` reads and writes
//! values as the official tools do; `serve` is the embedded server, `utl` works on etcd's files. Everything that a command
//! reads or writes goes through its [`Console`], so that tests can run commands in their own process.

mod bench;
mod bootstrap;
mod child;
mod command;
mod completion;
mod console;
mod ctl;
mod failure;
mod manual;
mod notation;
mod pause;
mod progress;
mod serve;
mod signals;
mod tool;
mod utl;

pub use console::Console;

use std::ffi::{OsStr, OsString};

use command::{Action, Call, Command, help, parse};
use failure::Failure;
use notation::os_string;

/// Runs a command line and returns its exit code.
///
/// `name` is what the program was called by, with or without a path: `etcdctl`, `etcdutl` and `etcd` mean etcd's own tools of
/// that name, everything else means `etcdkit`. `words` are what follows the name.
///
/// ```
/// use etcdkit_cli::Console;
///
/// let mut console = Console::new([], std::io::empty(), std::io::sink(), std::io::sink());
/// assert_eq!(etcdkit_cli::run("etcdctl".as_ref(), ["version".into()], &mut console), 0);
/// assert_eq!(etcdkit_cli::run("etcdctl".as_ref(), ["no-such-command".into()], &mut console), 1);
/// ```
pub fn run(name: &OsStr, words: impl IntoIterator<Item = OsString>, console: &mut Console) -> u8 {
    let words: Vec<Vec<u8>> = words.into_iter().map(os_string::into_bytes).collect();
    let mut result = dispatch(tool::called(name), &words, console);
    if result.is_ok() {
        result = console.flush().map_err(Failure::from);
    }
    match result {
        Ok(()) => 0,
        Err(failure) => {
            if let Some(message) = failure.message {
                console.error(&message);
            }
            if let Some(hint) = failure.hint {
                console.hint(&hint);
            }
            failure.code
        }
    }
}

fn dispatch(
    tool: &'static Command,
    words: &[Vec<u8>],
    console: &mut Console,
) -> failure::Result<()> {
    match parse(tool, words) {
        Ok(parsed) => {
            for note in &parsed.notes {
                console.error_line(note);
            }
            let command = parsed.path[parsed.path.len() - 1];
            match command.action {
                Action::Run(action) | Action::Words(action) if !parsed.wants_help => {
                    action(&mut Call {
                        path: parsed.path,
                        flags: parsed.flags,
                        arguments: parsed.arguments,
                        before_dashes: parsed.before_dashes,
                        console,
                    })
                }
                Action::Help if !parsed.wants_help => {
                    match help::of_topic(tool, &parsed.arguments) {
                        Ok(text) => console.print(text)?,
                        Err(text) => console.print_error(text),
                    }
                    Ok(())
                }
                _ => Ok(console.print(help::text(&parsed.path))?),
            }
        }
        Err(refusal) => {
            for note in &refusal.notes {
                console.error_line(note);
            }
            console.error(&refusal.message);
            if refusal.usage {
                console.error_line(help::usage(&refusal.path));
            } else {
                let path = command::spelled(&refusal.path);
                console.error_line(format_args!("Run '{path} --help' for usage."));
            }
            if tool.style.repeats_errors {
                console.error_line(format_args!("Error: {}", refusal.message));
            }
            Err(Failure::silent(failure::exit::ERROR))
        }
    }
}
