//! A terminal that does not show what is typed.

#[cfg(unix)]
pub(super) use unix::Hidden;

#[cfg(unix)]
mod unix {
    use std::sync::{Mutex, PoisonError};

    use rustix::stdio::stdin;
    use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

    use crate::signals;

    /// How the terminal was, while it shows nothing.
    static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

    /// While it lives, the terminal on stdin shows nothing; a signal that ends the process has it show again. Does nothing
    /// where there is no terminal.
    pub(in crate::console) struct Hidden;

    impl Hidden {
        pub(in crate::console) fn begin() -> Self {
            if let Ok(modes) = tcgetattr(stdin()) {
                signals::before_the_end(show);
                let mut silent = modes.clone();
                silent.local_modes.remove(LocalModes::ECHO);
                let mut before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner);
                *before = Some(modes);
                // A password that shows is no reason not to ask for it.
                let _ = tcsetattr(stdin(), OptionalActions::Now, &silent);
            }
            Self
        }
    }

    impl Drop for Hidden {
        fn drop(&mut self) {
            show();
        }
    }

    /// Has the terminal show again what is typed.
    fn show() {
        let mut before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(modes) = before.take() {
            let _ = tcsetattr(stdin(), OptionalActions::Now, &modes);
        }
    }
}

/// Elsewhere a password shows while it is typed.
#[cfg(not(unix))]
pub(super) struct Hidden;

#[cfg(not(unix))]
impl Hidden {
    pub(super) fn begin() -> Self {
        Self
    }
}
