//! Command lines as etcd's own tools read them.
//!
//! Commands and flags are data ([`Command`], [`Flag`]): the parser, the help, the completion of shells and the manual
//! pages all read the same tables. What is read follows the parser of the official tools to the letter, which is why it
//! is our own: flags may stand before, between and after arguments, `--flag=value` and `--flag value` are the same, `--`
//! ends flags, and every refusal has the official tools' words.
//!
//! Nothing here knows what a command does, nor touches a file or a socket: [`run`](crate::run) finds the command
//! ([`parse()`]), and calls it with what was read, a [`Call`].

mod call;
mod flag;
pub(crate) mod help;
mod model;
mod parse;
mod suggest;
mod value;

pub(crate) use call::Call;
pub(crate) use flag::{Flag, Kind};
pub(crate) use model::{Action, Arity, Command, Style};
pub(crate) use parse::{parse, spelled};
pub(crate) use value::Values;

#[cfg(test)]
mod tests;
