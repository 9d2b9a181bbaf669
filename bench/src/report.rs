//! The only writer to the terminal.

use std::io::Write as _;

use serde::Serialize;

use crate::Error;

/// Prints one outcome as one line of JSON.
///
/// # Errors
/// The outcome cannot be written as JSON.
pub fn outcome(outcome: &impl Serialize) -> Result<(), Error> {
    line(&serde_json::to_string(outcome)?);
    Ok(())
}

/// Prints one line on standard output, at once.
#[expect(clippy::print_stdout, reason = "this room is where the bench prints its results")]
pub fn line(text: &str) {
    println!("{text}");
    // Someone may be waiting for this line at the other end of a pipe; a closed pipe is their choice.
    drop(std::io::stdout().flush());
}

/// Prints what is going on, apart from the results.
#[expect(clippy::print_stderr, reason = "this room is where the bench says what it is doing")]
pub fn note(text: &str) {
    eprintln!("{text}");
}
