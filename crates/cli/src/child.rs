//! Commands that ours run: after an event, while a lock is held.

use std::ffi::OsString;
use std::process::{ExitStatus, Stdio};

use crate::notation::os_string;
use crate::notation::quote::quote;

/// Runs a command with nothing to read, its output going where ours goes, and more variables than ours.
///
/// # Errors
///
/// The exit code and the words for a command that can't be run or fails.
pub(crate) async fn run(
    words: &[Vec<u8>],
    variables: &[(&str, OsString)],
) -> Result<(), (u8, String)> {
    let Some((program, arguments)) = words.split_first() else { return Ok(()) };
    let mut command = tokio::process::Command::new(os_string::from_bytes(program));
    command.args(arguments.iter().map(|word| os_string::from_bytes(word)));
    command.envs(variables.iter().map(|(name, value)| (name, value)));
    // What we read is ours: the lines of an interactive watch, the rest of the input of a script.
    command.stdin(Stdio::null());
    match command.kill_on_drop(true).status().await {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(ended(status)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let program = quote(program);
            Err((1, format!("exec: {program}: executable file not found in $PATH")))
        }
        Err(error) => Err((1, format!("exec: {}: {error}", quote(program)))),
    }
}

fn ended(status: ExitStatus) -> (u8, String) {
    match status.code() {
        Some(code) => (u8::try_from(code).unwrap_or(1), format!("exit status {code}")),
        None => (u8::MAX, format!("signal: {}", signal_name(status))),
    }
}

#[cfg(unix)]
fn signal_name(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match status.signal() {
        Some(2) => "interrupt".to_owned(),
        Some(6) => "aborted".to_owned(),
        Some(9) => "killed".to_owned(),
        Some(11) => "segmentation fault".to_owned(),
        Some(15) => "terminated".to_owned(),
        Some(other) => format!("signal {other}"),
        None => "unknown".to_owned(),
    }
}

#[cfg(not(unix))]
fn signal_name(_: ExitStatus) -> String {
    "unknown".to_owned()
}
