//! Flow control: what may be sent, and what the peer may send.

use crate::frame::{DEFAULT_WINDOW, MAX_WINDOW};

/// More than a window allows, or a window above what HTTP/2 allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Overflow;

/// How much the peer lets us send.
#[derive(Clone, Copy, Debug)]
pub(super) struct SendWindow(
    /// Below zero after the peer made the initial window smaller than what was sent already.
    i64,
);

impl SendWindow {
    pub(super) fn new(size: u32) -> Self {
        Self(i64::from(size))
    }

    pub(super) fn available(self) -> usize {
        usize::try_from(self.0).unwrap_or(0)
    }

    /// Takes the room of what is sent.
    pub(super) fn spend(&mut self, bytes: usize) {
        debug_assert!(bytes <= self.available(), "no more is sent than there is room for");
        self.0 -= i64::try_from(bytes).unwrap_or(i64::MAX);
    }

    /// Makes it larger, or smaller if `by` is negative.
    pub(super) fn change(&mut self, by: i64) -> Result<(), Overflow> {
        let changed = self.0.saturating_add(by);
        if changed > i64::from(MAX_WINDOW) {
            return Err(Overflow);
        }
        self.0 = changed;
        Ok(())
    }
}

/// How much we let the peer send. Bytes that were dealt with are given back when they are half of the window, so that a
/// WINDOW_UPDATE is rare.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReceiveWindow {
    size: u32,
    /// What the peer may still send.
    open: u32,
    /// What was dealt with and is not given back yet.
    released: u32,
}

impl ReceiveWindow {
    /// A window of `size` bytes of which the peer knows.
    pub(super) fn new(size: u32) -> Self {
        Self { size, open: size, released: 0 }
    }

    /// The connection's window, of which the peer knows once it is told the second value, if there is one.
    pub(super) fn of_connection(size: u32) -> (Self, Option<u32>) {
        let size = size.max(DEFAULT_WINDOW);
        (Self::new(size), Some(size - DEFAULT_WINDOW).filter(|more| *more > 0))
    }

    /// Takes the room of what came.
    pub(super) fn receive(&mut self, bytes: u32) -> Result<(), Overflow> {
        self.open = self.open.checked_sub(bytes).ok_or(Overflow)?;
        Ok(())
    }

    /// Says that bytes were dealt with; no more than came. Returns how many the peer is to be given back now.
    #[must_use]
    pub(super) fn release(&mut self, bytes: u32) -> Option<u32> {
        self.released += bytes.min(self.held());
        if self.released < self.size / 2 {
            return None;
        }
        let update = std::mem::take(&mut self.released);
        self.open += update;
        Some(update)
    }

    /// What came and was not dealt with yet.
    pub(super) fn held(&self) -> u32 {
        self.size - self.open - self.released
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_window_is_given_back_at_once() {
        let mut window = ReceiveWindow::new(100);
        window.receive(80).unwrap();
        assert_eq!(window.release(49), None);
        assert_eq!(window.held(), 31);
        assert_eq!(window.release(1), Some(50));
        assert_eq!(window.held(), 30);
        window.receive(70).unwrap();
        assert_eq!(window.receive(1), Err(Overflow), "the peer was told of 150 bytes");
    }

    #[test]
    fn no_more_is_given_back_than_came() {
        let mut window = ReceiveWindow::new(100);
        window.receive(60).unwrap();
        assert_eq!(window.release(u32::MAX), Some(60));
        assert_eq!(window.release(u32::MAX), None);
        window.receive(100).unwrap();
    }

    #[test]
    fn a_window_below_zero_has_no_room_until_it_is_above_again() {
        let mut window = SendWindow::new(100);
        window.spend(80);
        window.change(-60).unwrap();
        assert_eq!(window.available(), 0);
        window.change(41).unwrap();
        assert_eq!(window.available(), 1);
    }

    #[test]
    fn a_window_ends_at_what_http2_allows() {
        let mut window = SendWindow::new(MAX_WINDOW);
        assert_eq!(window.change(1), Err(Overflow));
        window.spend(1);
        assert_eq!(window.change(1), Ok(()));
    }
}
