//! A command line tool as a process of its own, which prints while it runs.

use std::process::{self, Stdio};
use std::sync::{Once, mpsc};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

/// No command, and no line of one, takes as long.
const PATIENCE: Duration = Duration::from_secs(100);

/// How a command went.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ran<T = String> {
    pub(crate) code: Option<i32>,
    pub(crate) out: T,
    pub(crate) err: T,
}

/// Has commands heed interrupts. In the background of a script this process may be one that ignores them, which its
/// commands would inherit; what it catches they do not.
#[expect(
    clippy::exit,
    reason = "an interrupt ends this process, as it does where nobody catches it"
)]
fn heed_interrupts() {
    static CAUGHT: Once = Once::new();
    CAUGHT.call_once(|| {
        let (ready, is_ready) = mpsc::channel();
        thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime can be made").block_on(async {
                let caught = signal(SignalKind::interrupt());
                ready.send(()).expect("it is waited for");
                caught.expect("interrupts can be caught").recv().await;
                process::exit(130);
            });
        });
        is_ready.recv().expect("interrupts are caught");
    });
}

/// A command that runs. It is killed when it is dropped.
pub(crate) struct Live {
    words: String,
    child: Child,
    input: Option<ChildStdin>,
    out: BufReader<ChildStdout>,
}

impl Live {
    pub(crate) fn start(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        heed_interrupts();
        let words = format!("{:?}", command.as_std());
        let mut child = command.kill_on_drop(true).spawn().expect("the tool can be run");
        let input = child.stdin.take();
        let out = BufReader::new(child.stdout.take().expect("it is piped"));
        Self { words, child, input, out }
    }

    /// The next line that it prints.
    pub(crate) async fn line(&mut self) -> String {
        let mut line = String::new();
        let read = timeout(PATIENCE, self.out.read_line(&mut line)).await;
        let read = read.unwrap_or_else(|_| panic!("{}: nothing more is printed", self.words));
        if read.expect("it is text") == 0 {
            let mut err = String::new();
            let stderr = self.child.stderr.as_mut().expect("it is piped");
            stderr.read_to_string(&mut err).await.expect("it is text");
            panic!("{}: it ended: {err}", self.words);
        }
        line.trim_end_matches('\n').to_owned()
    }

    /// The next lines that it prints.
    pub(crate) async fn lines(&mut self, count: usize) -> Vec<String> {
        let mut lines = Vec::new();
        while lines.len() < count {
            lines.push(self.line().await);
        }
        lines
    }

    /// Gives it something to read. One that does not read it may be gone.
    pub(crate) async fn feed(&mut self, text: impl AsRef<[u8]>) {
        if let Some(input) = &mut self.input {
            let _ = input.write_all(text.as_ref()).await;
        }
    }

    /// Interrupts it as Ctrl-C does, and waits for its end.
    pub(crate) async fn interrupt(self) -> Ran {
        self.end_by(Signal::INT).await
    }

    /// Sends it a signal, and waits for its end.
    pub(crate) async fn end_by(mut self, signal: Signal) -> Ran {
        // Else it might end because there is nothing more to read.
        let _input = self.input.take();
        self.send(signal);
        self.ended().await
    }

    /// Sends it a signal.
    pub(crate) fn send(&self, signal: Signal) {
        let id = self.child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        kill_process(id.expect("it runs"), signal).expect("it runs");
    }

    /// Ends its input and waits for its end. What it printed is without the lines that were read before.
    pub(crate) async fn ended(self) -> Ran {
        let Ran { code, out, err } = self.ended_in_bytes().await;
        let text = |bytes| String::from_utf8(bytes).expect("it is text");
        Ran { code, out: text(out), err: text(err) }
    }

    /// The same for what need not be text.
    pub(crate) async fn ended_in_bytes(mut self) -> Ran<Vec<u8>> {
        drop(self.input.take());
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut stderr = self.child.stderr.take().expect("it is piped");
        let ending = async {
            let (read_out, read_err) =
                tokio::join!(self.out.read_to_end(&mut out), stderr.read_to_end(&mut err));
            read_out.and(read_err).expect("it can be read");
            self.child.wait().await.expect("it is ours")
        };
        let status = timeout(PATIENCE, ending).await;
        let status = status.unwrap_or_else(|_| panic!("{} does not end", self.words));
        Ran { code: status.code(), out, err }
    }
}
