//! Moves the bytes of one direction of one connection, and applies the faults to them.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;
use tokio::time::Instant;

use super::handle::{AfterCut, Counts, Cut, Direction, Ending, Faults};

/// How much one read takes at most.
const READ: usize = 16 * 1024;
/// How much one direction may hold back while it delays; beyond it, the sender feels backpressure.
const HELD: usize = 4 * 1024 * 1024;
/// A throttled direction writes this often, in pieces to match.
const WRITES_PER_SECOND: u64 = 20;

/// Bytes that were read and are not yet forwarded.
#[derive(Debug)]
struct Held {
    /// Not before this time; `None` is at once.
    due: Option<Instant>,
    bytes: Bytes,
}

/// One direction of one connection.
#[derive(Debug)]
pub(super) struct Pump<'a> {
    direction: Direction,
    faults: watch::Receiver<Faults>,
    counts: &'a watch::Sender<Counts>,
    cut: Option<Cut>,
    held: VecDeque<Held>,
    held_bytes: usize,
    /// The sender has sent FIN.
    finished: bool,
    /// Bytes were discarded, so nothing may follow them.
    lost: bool,
    /// When a throttled direction may write again.
    free_at: Option<Instant>,
}

impl<'a> Pump<'a> {
    pub(super) fn new(
        direction: Direction,
        faults: watch::Receiver<Faults>,
        counts: &'a watch::Sender<Counts>,
        cut: Option<Cut>,
    ) -> Self {
        Self {
            direction,
            faults,
            counts,
            cut: cut.filter(|cut| cut.direction == direction),
            held: VecDeque::new(),
            held_bytes: 0,
            finished: false,
            lost: false,
            free_at: None,
        }
    }

    /// Copies until FIN is forwarded; an error says how to end the whole connection.
    pub(super) async fn run(
        mut self,
        mut reader: ReadHalf<'_>,
        mut writer: WriteHalf<'_>,
    ) -> Result<(), Ending> {
        let mut buffer = BytesMut::new();
        loop {
            // Bytes sent after a fault was set are read after it was set, so this look at the faults sees it.
            let faults = *self.faults.borrow_and_update();
            if faults.frozen {
                self.faults.changed().await.map_err(|_| Ending::Close)?;
                continue;
            }
            self.apply_cut()?;
            let dropping = self.lost || faults.dropped[self.direction.index()];
            if dropping {
                self.discard_held();
            } else if self.finished && self.held.is_empty() {
                return writer.shutdown().await.map_err(|_| Ending::Reset);
            }
            let next = self.next_piece(faults);
            let may_write = next.is_some();
            buffer.reserve(READ);
            tokio::select! {
                biased;
                changed = self.faults.changed() => changed.map_err(|_| Ending::Close)?,
                written = write_when_due(&mut writer, next), if may_write => {
                    self.forwarded(written.map_err(|_| Ending::Reset)?, faults);
                }
                read = reader.read_buf(&mut buffer), if !self.finished && self.held_bytes < HELD => {
                    match read.map_err(|_| Ending::Reset)? {
                        0 => self.finished = true,
                        n => self.hold(n, buffer.split().freeze(), faults),
                    }
                }
            }
        }
    }

    /// Ends or silences a connection that has forwarded all that its cut allows.
    fn apply_cut(&mut self) -> Result<(), Ending> {
        match self.cut {
            Some(Cut { remaining: 0, then: AfterCut::Reset, .. }) => return Err(Ending::Reset),
            Some(Cut { remaining: 0, then: AfterCut::Silence, .. }) => self.lost = true,
            _ => {}
        }
        Ok(())
    }

    fn discard_held(&mut self) {
        if self.held_bytes > 0 {
            self.lost = true;
            let discarded = self.held_bytes as u64;
            self.held.clear();
            self.held_bytes = 0;
            self.counts.send_modify(|counts| {
                counts.discarded[self.direction.index()] += discarded;
            });
        }
    }

    fn hold(&mut self, n: usize, bytes: Bytes, faults: Faults) {
        let due = (faults.delay > Duration::ZERO).then(|| now() + faults.delay);
        self.held_bytes += n;
        self.held.push_back(Held { due, bytes });
    }

    /// What to write next, and when.
    fn next_piece(&self, faults: Faults) -> Option<Held> {
        let front = self.held.front()?;
        let mut limit = self.cut.map_or(u64::MAX, |cut| cut.remaining);
        let mut due = front.due;
        if let Some(rate) = faults.rate {
            limit = limit.min((rate.get() / WRITES_PER_SECOND).max(1));
            due = due.max(self.free_at);
        }
        let len = usize::try_from(limit).unwrap_or(usize::MAX).min(front.bytes.len());
        Some(Held { due, bytes: front.bytes.slice(..len) })
    }

    fn forwarded(&mut self, n: usize, faults: Faults) {
        let written = n as u64;
        if let Some(front) = self.held.front_mut() {
            front.bytes.advance(n);
            if front.bytes.is_empty() {
                self.held.pop_front();
            }
        }
        self.held_bytes -= n;
        if let Some(cut) = &mut self.cut {
            cut.remaining -= written;
        }
        if let Some(rate) = faults.rate {
            let pause = Duration::from_secs_f64(written as f64 / rate.get() as f64);
            self.free_at = Some(now() + pause);
        }
        self.counts.send_modify(|counts| {
            counts.forwarded[self.direction.index()] += written;
        });
    }
}

/// Makes one write, so that dropping the future never loses count of what was written.
async fn write_when_due(writer: &mut WriteHalf<'_>, piece: Option<Held>) -> std::io::Result<usize> {
    let Some(Held { due, bytes }) = piece else { return Ok(0) };
    if let Some(due) = due {
        tokio::time::sleep_until(due).await;
    }
    writer.write(&bytes).await
}

#[expect(clippy::disallowed_methods, reason = "delays and rates are measured in real time")]
fn now() -> Instant {
    Instant::now()
}
