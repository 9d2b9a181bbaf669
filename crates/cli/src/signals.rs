//! The signals that end a command: waiting for them, and putting things right before one ends the process.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether interrupts and requests to end are waited for. Once they are, they end nothing by themselves any more.
static AWAITED: AtomicBool = AtomicBool::new(false);

/// Waits for interrupts and requests to end.
#[derive(Debug)]
pub(crate) struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

/// One that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    Interrupt,
    Terminate,
}

impl Signal {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Interrupt => "interrupt",
            Self::Terminate => "terminated",
        }
    }

    /// Ends the process as the signal would have, and as etcd ends: whoever started it sees what ended it. It returns for
    /// the first process of a container, which signals without a handler don't end.
    #[cfg(unix)]
    pub(crate) fn end_process(self) {
        end_process_by(match self {
            Self::Interrupt => signal_hook::consts::SIGINT,
            Self::Terminate => signal_hook::consts::SIGTERM,
        });
    }

    #[cfg(not(unix))]
    pub(crate) const fn end_process(self) {}

    /// What a shell reports of a program that the signal ended.
    pub(crate) const fn exit_code(self) -> u8 {
        match self {
            Self::Interrupt => 128 + 2,
            Self::Terminate => 128 + 15,
        }
    }
}

impl Signals {
    #[cfg(unix)]
    pub(crate) fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let signals = Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        };
        AWAITED.store(true, Ordering::Release);
        Ok(signals)
    }

    #[cfg(not(unix))]
    pub(crate) fn listen() -> io::Result<Self> {
        AWAITED.store(true, Ordering::Release);
        Ok(Self {})
    }

    /// Waits for the next one.
    #[cfg(unix)]
    pub(crate) async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.terminate.recv() => Signal::Terminate,
        }
    }

    #[cfg(not(unix))]
    pub(crate) async fn next(&mut self) -> Signal {
        match tokio::signal::ctrl_c().await {
            Ok(()) => Signal::Interrupt,
            // Without a console there is nobody to send one.
            Err(_) => std::future::pending().await,
        }
    }
}

/// Waits until the user has had enough, from now on.
pub(crate) async fn interrupted() -> Signal {
    match Signals::listen() {
        Ok(mut signals) => signals.next().await,
        // Without handlers the signals end the process by themselves.
        Err(_) => std::future::pending().await,
    }
}

/// Has `restore` called before a signal ends the process: a hang-up, what a terminal sends, or a request to end.
///
/// What is waited for meanwhile does not end it.
#[cfg(unix)]
pub(crate) fn before_the_end(restore: fn()) {
    use std::sync::{Once, mpsc};

    use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
    use signal_hook::iterator;

    static BEGUN: Once = Once::new();
    BEGUN.call_once(|| {
        let (hand_over, handed) = mpsc::channel::<iterator::Signals>();
        let watch = move || {
            let Ok(mut signals) = handed.recv() else { return };
            for signal in signals.forever() {
                restore();
                let is_awaited = AWAITED.load(Ordering::Acquire);
                if !(is_awaited && matches!(signal, SIGINT | SIGTERM)) {
                    end_process_by(signal);
                    exit_in_place_of(signal);
                }
            }
        };
        // Handlers without the thread would only swallow the signals.
        if std::thread::Builder::new().name("signals".to_owned()).spawn(watch).is_ok()
            && let Ok(signals) = iterator::Signals::new([SIGHUP, SIGINT, SIGQUIT, SIGTERM])
        {
            let _ = hand_over.send(signals);
        }
    });
}

#[cfg(unix)]
fn end_process_by(number: i32) {
    if std::process::id() != 1 {
        // It returns only where the signal has no such effect.
        let _ = signal_hook::low_level::emulate_default_handler(number);
    }
}

#[cfg(unix)]
#[expect(clippy::exit, reason = "the thread that reads from the terminal can't be told to end")]
fn exit_in_place_of(number: i32) {
    std::process::exit(128 + number);
}
