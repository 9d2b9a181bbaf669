//! A terminal that does not show what is typed.

#[cfg(unix)]
pub(super) use unix::Hidden;

#[cfg(unix)]
mod unix {
    use rustix::stdio::stdin;
    use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

    /// While it lives, the terminal on stdin shows nothing. Does nothing where there is no terminal.
    pub(in crate::console) struct Hidden(Option<Termios>);

    impl Hidden {
        pub(in crate::console) fn begin() -> Self {
            let Ok(before) = tcgetattr(stdin()) else { return Self(None) };
            let mut silent = before.clone();
            silent.local_modes.remove(LocalModes::ECHO);
            // A password that shows is no reason not to ask for it.
            let _ = tcsetattr(stdin(), OptionalActions::Now, &silent);
            Self(Some(before))
        }
    }

    impl Drop for Hidden {
        fn drop(&mut self) {
            if let Some(before) = &self.0 {
                let _ = tcsetattr(stdin(), OptionalActions::Now, before);
            }
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
