use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, BufReader, PipeReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::{self, JoinHandle};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use tokio::sync::watch;

/// What a member logs for each client URL once it serves it: in every version, with TLS and without, and only after
/// it has found its cluster's leader. ("ready to serve client requests" is new in 3.5.)
const SERVES: &[u8] = b"serving client traffic";
/// How much of a log a failure's message shows.
const LINES: usize = 30;

/// One running etcd process. Killed and reaped on drop.
///
/// A thread of its own starts the process, reads its log and waits for its end. It must live as long as the process:
/// Linux sends the parent-death signal when the *thread* that started a process ends.
#[derive(Debug)]
pub(super) struct Process {
    pid: Arc<Mutex<Option<Pid>>>,
    state: watch::Receiver<State>,
    log: PathBuf,
    /// Where this process's part of the log begins.
    log_start: u64,
    keeper: Option<JoinHandle<()>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// So many client URLs are not served yet.
    Starting {
        unserved: usize,
    },
    Serving,
    Exited(ExitStatus),
}

impl Process {
    /// Starts the binary in `folder` with its output appended to `log`.
    pub(super) fn start(
        binary: &Path,
        arguments: &[String],
        folder: &Path,
        log: &Path,
        client_urls: usize,
    ) -> io::Result<Self> {
        let (output, writer) = io::pipe()?;
        let log_file = File::options().create(true).append(true).open(log)?;
        let log_start = log_file.metadata()?.len();
        let mut command = mortal(binary);
        command
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(writer.try_clone()?)
            .stderr(writer);
        // A developer's own ETCD_* variables would configure the member.
        for name in own_variables() {
            command.env_remove(name);
        }

        let pid = Arc::new(Mutex::new(None));
        let (report, state) = watch::channel(State::Starting { unserved: client_urls });
        let (started, start) = mpsc::sync_channel(1);
        let keeper = thread::Builder::new().name("etcd-keeper".to_owned()).spawn({
            let pid = Arc::clone(&pid);
            move || {
                let child = command.spawn();
                // The command holds the pipe's other end, without which the log never ends.
                drop(command);
                let child = match child {
                    Ok(child) => child,
                    Err(error) => return started.send(Err(error)).expect("the starter waits"),
                };
                *lock(&pid) = Some(Pid::from_child(&child));
                started.send(Ok(())).expect("the starter waits");
                copy_log(output, log_file, &report);
                let status = reap(child, &pid);
                report.send_replace(State::Exited(status));
            }
        })?;
        start.recv().map_err(io::Error::other)??;
        Ok(Self { pid, state, log: log.to_owned(), log_start, keeper: Some(keeper) })
    }

    /// Its id, as long as it is not gone.
    pub(super) fn id(&self) -> Option<u32> {
        lock(&self.pid).map(|pid| pid.as_raw_nonzero().get().unsigned_abs())
    }

    pub(super) fn state(&self) -> State {
        *self.state.borrow()
    }

    /// Waits until the process serves its clients or has exited.
    pub(super) async fn started(&self) -> State {
        let mut state = self.state.clone();
        let settled = state.wait_for(|state| !matches!(state, State::Starting { .. })).await;
        *settled.expect("the keeper reports the end")
    }

    /// Waits until the process is gone and its ports are free.
    pub(super) async fn exited(&self) {
        let mut state = self.state.clone();
        let exited = state.wait_for(|state| matches!(state, State::Exited(_))).await;
        exited.expect("the keeper reports the end");
    }

    /// The end of what it logged, for a failure's message: from where it broke down, if it did, else the last lines.
    pub(super) fn log_tail(&self) -> String {
        let mut text = Vec::new();
        let read = File::open(&self.log).and_then(|mut log| {
            log.seek(SeekFrom::Start(self.log_start))?;
            log.read_to_end(&mut text)
        });
        if let Err(error) = read {
            return format!("cannot read {}: {error}", self.log.display());
        }
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let broke = |line: &&str| line.starts_with("panic:") || line.starts_with("fatal error:");
        let last = lines.len().saturating_sub(LINES);
        let from = lines.iter().position(broke).map_or(last, |at| at.saturating_sub(1).min(last));
        lines[from..].iter().take(LINES).copied().collect::<Vec<_>>().join("\n")
    }

    /// Sends a signal, unless the process is gone. While the lock is held it is not reaped, so that its id cannot
    /// have become another's.
    pub(super) fn signal(&self, signal: Signal) {
        if let Some(pid) = *lock(&self.pid) {
            kill_process(pid, signal).expect("a child can be signalled");
        }
    }

    /// Stops all of its threads, and returns when they have.
    pub(super) fn freeze(&self) {
        if let Some(pid) = *lock(&self.pid) {
            kill_process(pid, Signal::STOP).expect("a child can be signalled");
            let stopped = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            waitid(WaitId::Pid(pid), stopped).expect("a child can be waited for");
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        if let Some(keeper) = self.keeper.take() {
            let _ = keeper.join();
        }
    }
}

/// The command for a process that the kernel kills when this one dies, where there is a tool for it.
fn mortal(binary: &Path) -> Command {
    let path = env::var_os("PATH").unwrap_or_default();
    let Some(setpriv) =
        env::split_paths(&path).map(|folder| folder.join("setpriv")).find(|path| path.is_file())
    else {
        return Command::new(binary);
    };
    let mut command = Command::new(setpriv);
    command.args(["--pdeathsig", "KILL", "--"]).arg(binary);
    command
}

/// The environment variables by which etcd and etcdctl take their flags.
pub(super) fn own_variables() -> impl Iterator<Item = OsString> {
    env::vars_os().map(|(name, _)| name).filter(|name| {
        let name = name.to_string_lossy();
        name.starts_with("ETCD_") || name.starts_with("ETCDCTL_")
    })
}

/// Copies the process's output until it ends, and tells what it says about serving.
fn copy_log(output: PipeReader, mut log: File, report: &watch::Sender<State>) {
    let mut lines = BufReader::new(output);
    let mut line = Vec::new();
    while let Ok(1..) = lines.read_until(b'\n', &mut line) {
        // A full disk must not stop the process, which would block on a pipe that nobody reads.
        let _ = log.write_all(&line);
        if line.windows(SERVES.len()).any(|window| window == SERVES) {
            report.send_modify(|state| {
                *state = match *state {
                    State::Starting { unserved: more @ 2.. } => {
                        State::Starting { unserved: more - 1 }
                    }
                    State::Starting { .. } => State::Serving,
                    settled => settled,
                }
            });
        }
        line.clear();
    }
}

fn reap(mut child: Child, pid: &Mutex<Option<Pid>>) -> ExitStatus {
    // Waits without reaping, and so without the lock.
    let exited = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    let _ = waitid(WaitId::Pid(Pid::from_child(&child)), exited);
    let mut pid = lock(pid);
    *pid = None;
    child.wait().expect("a child can be waited for")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
