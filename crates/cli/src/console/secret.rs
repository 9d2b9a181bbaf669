//! A terminal that does not show what is typed.

use rustix::stdio::stdin;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

/// While it lives, the terminal on stdin shows nothing. Does nothing where there is no terminal.
pub(super) struct Hidden(Option<Termios>);

impl Hidden {
    pub(super) fn begin() -> Self {
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
