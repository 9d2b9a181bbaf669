//! Commands that ours run: after an event, while a lock is held.

use std::process::ExitStatus;

use crate::notation::quote::quote;

/// Runs a command with its output going where ours goes, and more variables than ours.
///
/// # Errors
///
/// The exit code and the words for a command that can't be run or fails.
pub(crate) async fn run(
    words: &[Vec<u8>],
    variables: &[(&str, String)],
) -> Result<(), (u8, String)> {
    let Some((program, arguments)) = words.split_first() else { return Ok(()) };
    let mut command = tokio::process::Command::new(text(program));
    command.args(arguments.iter().map(|word| text(word)));
    command.envs(variables.iter().map(|(name, value)| (name, value)));
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

#[cfg(unix)]
fn text(word: &[u8]) -> std::ffi::OsString {
    std::os::unix::ffi::OsStringExt::from_vec(word.to_vec())
}

#[cfg(not(unix))]
fn text(word: &[u8]) -> std::ffi::OsString {
    String::from_utf8_lossy(word).into_owned().into()
}

/// Waits until the user has had enough: an interrupt, or a request to end.
#[cfg(unix)]
pub(crate) async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let signals = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    let (Ok(mut interrupt), Ok(mut terminate)) = signals else {
        // Without handlers the signals end the process by themselves.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

/// Waits until the user has had enough.
#[cfg(not(unix))]
pub(crate) async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending().await
    }
}
