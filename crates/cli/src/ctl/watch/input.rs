//! Lines that are read while events come.

use std::io::BufRead;

use tokio::sync::mpsc;

use crate::failure::{Failure, Result};

/// Lines that were typed and not read yet; a program that writes faster waits.
const AHEAD: usize = 16;

/// The lines of `input`, up to its end.
///
/// Nothing can interrupt a read from a terminal, so it has a thread of its own, which ends with the input or with the
/// process.
pub(super) fn lines(mut input: Box<dyn BufRead + Send>) -> Result<mpsc::Receiver<Vec<u8>>> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    let read = move || {
        loop {
            let mut line = Vec::new();
            let is_whole = input.read_until(b'\n', &mut line).is_ok() && line.ends_with(b"\n");
            if !is_whole || sender.blocking_send(line).is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new()
        .name("watch input".to_owned())
        .spawn(read)
        .map_err(|error| Failure::error(format!("cannot read lines: {error}")))?;
    Ok(receiver)
}
