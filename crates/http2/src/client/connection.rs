//! One connection: opening streams, sending on them, and how they end.

use std::collections::VecDeque;

use bytes::Bytes;

use super::block::Gathered;
use super::error::{Error, Gone, Refused};
use super::events::{End, Events, Part, Sent};
use super::options::Options;
use super::output::Output;
use super::receive::{Budget, Replies};
use super::stream::{Stream, Streams, Unsent};
use super::window::{ReceiveWindow, SendWindow};
use crate::frame::{
    self, DEFAULT_MAX_FRAME, DEFAULT_WINDOW, ErrorCode, PREFACE, Setting, StreamId,
};
use crate::hpack::{DEFAULT_TABLE, Decoder, Encoder, Field, Prepared};

/// The client's end of one connection. `S` is what the owner keeps for each stream, such as who waits for it.
///
/// What the peer sent goes into [`receive`](Self::receive); what [`output`](Self::output) holds after that, or after any
/// other call, goes to the peer.
///
/// ```
/// use bytes::{Bytes, BytesMut};
/// use etcdkit_http2::client::{Connection, Options, Sent};
/// use etcdkit_http2::frame::{ErrorCode, PREFACE};
/// use etcdkit_http2::hpack::Prepared;
///
/// let mut connection = Connection::new(Options::default());
/// let mut slices = [std::io::IoSlice::new(&[]); 1];
/// assert_eq!(connection.output().slices(&mut slices), 1);
/// assert!(slices[0].starts_with(PREFACE));
///
/// let mut head = Prepared::new([]);
/// let id = connection.open(&mut head, [], "who waits for it").expect("there is room");
/// connection.send(id, Bytes::from_static(b"request"), true)?;
/// assert_eq!((connection.open_streams(), connection.room()), (1, 99));
/// assert_eq!(connection.reset(id, ErrorCode::CANCEL), Some(("who waits for it", Sent::All)));
/// # Ok::<(), etcdkit_http2::client::Gone>(())
/// ```
#[derive(Debug)]
pub struct Connection<S> {
    pub(super) options: Options,
    pub(super) encoder: Encoder,
    pub(super) decoder: Decoder,
    pub(super) streams: Streams<S>,
    /// The number of the next stream.
    pub(super) next: u32,
    pub(super) peer: Peer,
    /// The connection's own windows.
    pub(super) send: SendWindow,
    pub(super) receive: ReceiveWindow,
    /// Those who have something to send and a window of their own for it. Each frame is one turn. Some may be over.
    line: VecDeque<StreamId>,
    /// Those whose unsent bytes fell below the mark. Some may be over.
    writable: VecDeque<StreamId>,
    pub(super) gathered: Option<Gathered>,
    pub(super) replies: Replies,
    pub(super) budget: Budget,
    pub(super) output: Output,
    /// The last stream that the peer will look at, once it said that there is one.
    pub(super) last: Option<StreamId>,
    pub(super) error: Option<Error>,
}

/// What the peer has said of itself.
#[derive(Debug)]
pub(super) struct Peer {
    /// Something came from it.
    pub(super) has_spoken: bool,
    /// Its settings came.
    pub(super) is_known: bool,
    pub(super) max_streams: usize,
    pub(super) stream_window: u32,
    pub(super) max_frame: u32,
}

/// The output that is filled with payloads before the socket takes some: enough for one write, and little enough that
/// small requests don't wait long behind large ones.
const FILLED: usize = 256 << 10;
/// The longest frame that is sent, if the peer takes it: between two of them others have their turn.
const LONGEST_SENT: u32 = 64 << 10;

impl<S> Connection<S> {
    /// A connection on which nothing was said yet. What a client says first stands in the output.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let options = options.within_bounds();
        let (receive, more) = ReceiveWindow::of_connection(options.connection_window);
        let mut output = Output::default();
        output.write(|out| {
            out.extend_from_slice(PREFACE);
            frame::write_settings(
                out,
                &[
                    Setting::EnablePush(false),
                    Setting::InitialWindow(options.stream_window),
                    Setting::MaxFrame(options.max_frame),
                    Setting::MaxHeaderList(options.max_header_list),
                ],
            );
            if let Some(more) = more {
                frame::write_window_update(out, StreamId::CONNECTION, more);
            }
        });
        Self {
            options,
            encoder: Encoder::new(),
            decoder: Decoder::new(DEFAULT_TABLE, options.max_header_list as usize),
            streams: Streams::default(),
            next: 1,
            peer: Peer {
                has_spoken: false,
                is_known: false,
                max_streams: options.streams_at_first.min(options.max_streams),
                stream_window: DEFAULT_WINDOW,
                max_frame: DEFAULT_MAX_FRAME,
            },
            send: SendWindow::new(DEFAULT_WINDOW),
            receive,
            line: VecDeque::new(),
            writable: VecDeque::new(),
            gathered: None,
            replies: Replies::default(),
            budget: Budget::default(),
            output,
            last: None,
            error: None,
        }
    }

    /// Opens a stream whose head is `head`, followed by `fields`. The request goes on with [`send`](Self::send).
    ///
    /// # Errors
    ///
    /// There is no room, now or for good. The state comes back.
    pub fn open<'f>(
        &mut self,
        head: &mut Prepared,
        fields: impl IntoIterator<Item = Field<'f>>,
        state: S,
    ) -> Result<StreamId, (Refused, S)> {
        if let Some(refused) = self.refused() {
            return Err((refused, state));
        }
        let id = StreamId::new(self.next);
        self.next += 2;
        let (encoder, max_frame) = (&mut self.encoder, self.peer.max_frame);
        self.output.write(|out| {
            frame::write_headers(out, id, false, max_frame, |out| {
                encoder.encode_prepared(head, out);
                for field in fields {
                    encoder.encode(field, out);
                }
            });
        });
        let stream = Stream {
            state,
            next: Part::Head,
            receive: ReceiveWindow::new(self.options.stream_window),
            send: SendWindow::new(self.peer.stream_window),
            unsent: Unsent::default(),
            head_at: self.output.end(),
            end_at: None,
        };
        self.streams.insert(id, stream);
        Ok(id)
    }

    fn refused(&self) -> Option<Refused> {
        if self.error.is_some() {
            Some(Refused::Over)
        } else if self.is_going_away() {
            Some(Refused::GoingAway)
        } else if self.room() == 0 {
            Some(Refused::Full)
        } else {
            None
        }
    }

    /// Sends `payload`, as far as the windows allow at once, and the rest when they do; with `end`, the request is whole
    /// after that. Nothing is refused for being too much: [`unsent`](Self::unsent) tells what waits.
    ///
    /// # Errors
    ///
    /// The stream is over, or its request was whole already.
    pub fn send(&mut self, id: StreamId, payload: Bytes, end: bool) -> Result<(), Gone> {
        let stream = self.streams.get_mut(&id).filter(|stream| !stream.unsent.finished);
        let stream = stream.ok_or(Gone)?;
        stream.unsent.finished = end;
        if stream.unsent.payloads.is_empty() {
            let room = self.send.available().min(stream.send.available());
            let at_once = payload.is_empty()
                || self.line.is_empty()
                    && payload.len() <= room.min(longest_sent(&self.peer))
                    && self.output.len() < FILLED;
            if at_once {
                if end || !payload.is_empty() {
                    write_data(id, stream, &mut self.send, &mut self.output, payload, end);
                }
                return Ok(());
            }
        }
        if !payload.is_empty() {
            stream.unsent.bytes += payload.len();
            stream.unsent.payloads.push_back(payload);
        }
        stream.unsent.above_mark = stream.unsent.bytes > self.options.unsent_mark;
        self.line_up(id);
        self.fill();
        Ok(())
    }

    /// Bytes given to [`send`](Self::send) that did not get as far as the output: they wait for a window, or for their
    /// turn. Those of a stream that is over are none.
    #[must_use]
    pub fn unsent(&self, id: StreamId) -> usize {
        self.streams.get(&id).map_or(0, |stream| stream.unsent.bytes)
    }

    /// One of the streams that had more unsent than [`Options::unsent_mark`] and have not any more. Each is told once, and
    /// should be asked for after every [`receive`](Self::receive) and every write to the socket, until there is none.
    pub fn next_writable(&mut self) -> Option<(StreamId, &mut S)> {
        self.fill();
        let mut writable = std::iter::from_fn(|| self.writable.pop_front());
        let id = writable.find(|id| self.streams.contains_key(id))?;
        self.streams.get_mut(&id).map(|stream| (id, &mut stream.state))
    }

    /// What the owner keeps for a stream, unless it is over.
    pub fn stream(&mut self, id: StreamId) -> Option<&mut S> {
        self.streams.get_mut(&id).map(|stream| &mut stream.state)
    }

    /// Gives a stream up, unless it is over: what is [unsent](Self::unsent) never will be sent, and nothing more is told of
    /// it. Its state comes back, with how much of the request the socket has taken or will yet: what stands in the output
    /// can't be taken back, so that the peer may well see all of a request that was given up.
    pub fn reset(&mut self, id: StreamId, code: ErrorCode) -> Option<(S, Sent)> {
        let stream = self.remove(id)?;
        self.output.write(|out| frame::write_reset_stream(out, id, code));
        self.budget.allow_answer();
        let sent = if stream.end_at.is_some() { Sent::All } else { Sent::Part };
        Some((stream.state, sent))
    }

    /// Says that `bytes` of a stream's content were dealt with, so that the peer may send as many more. At the end of a
    /// stream the rest is released by itself.
    pub fn release(&mut self, id: StreamId, bytes: usize) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(stream.receive.held());
        let update = stream.receive.release(bytes);
        self.give_back(id, update, bytes);
    }

    /// Tells the peer of a stream's room, and releases the same bytes of the connection.
    pub(super) fn give_back(&mut self, id: StreamId, update: Option<u32>, bytes: u32) {
        let of_connection = self.receive.release(bytes);
        for (id, update) in [(id, update), (StreamId::CONNECTION, of_connection)] {
            if let Some(update) = update {
                self.output.write(|out| frame::write_window_update(out, id, update));
            }
        }
    }

    /// Asks the peer to answer with [`Events::pong`].
    pub fn ping(&mut self, payload: [u8; 8]) {
        self.output.write(|out| frame::write_ping(out, payload));
        self.budget.allow_pong();
    }

    /// How many streams could be opened now.
    #[must_use]
    pub fn room(&self) -> usize {
        if self.error.is_some()
            || self.is_going_away()
            || self.output.len() >= self.options.max_output
        {
            return 0;
        }
        self.limit().saturating_sub(self.streams.len())
    }

    /// How many streams may be open at once.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.peer.max_streams
    }

    /// How many streams are open.
    #[must_use]
    pub fn open_streams(&self) -> usize {
        self.streams.len()
    }

    /// Whether no stream can be opened any more: the peer said so, or the numbers are used up. Those that are open go on.
    #[must_use]
    pub fn is_going_away(&self) -> bool {
        self.last.is_some() || self.next > StreamId::MAX.get()
    }

    /// Whether there is nothing left to do but to write the output: no stream is open, and none will be.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.streams.is_empty() && (self.error.is_some() || self.is_going_away())
    }

    /// What is to be written now. To be asked for again after each write, as that makes room for more.
    pub fn output(&mut self) -> &mut Output {
        self.fill();
        &mut self.output
    }

    /// Ends all streams that are open with [`End::Lost`], as the connection below is over.
    pub fn lose(&mut self, events: &mut impl Events<Stream = S>) {
        self.error.get_or_insert(Error::new(ErrorCode::NO_ERROR, "the connection was given up"));
        let mut streams: Vec<_> = self.streams.drain().collect();
        streams.sort_unstable_by_key(|(id, _)| *id);
        for (id, stream) in streams {
            let sent = stream.sent(&self.output);
            events.ended(id, stream.state, End::Lost, sent);
        }
    }

    /// Gives back the memory that is kept for streams to come: for a connection that has been idle for a while.
    pub fn shrink(&mut self) {
        self.streams.shrink_to_fit();
        self.line.retain(|id| self.streams.contains_key(id));
        self.line.shrink_to_fit();
        self.writable.shrink_to_fit();
        self.output.shrink();
    }

    /// Takes a stream out, and what belongs to it. What came of its content and was not released is now.
    pub(super) fn remove(&mut self, id: StreamId) -> Option<Stream<S>> {
        let stream = self.streams.remove(&id)?;
        // To look for it in the line each time would take long if many go.
        if stream.unsent.in_line && self.line.len() > 2 * self.streams.len() + 64 {
            self.line.retain(|other| self.streams.contains_key(other));
        }
        self.give_back(id, None, stream.receive.held());
        Some(stream)
    }

    /// Puts a stream at the end of the line if it has something to send and a window for it.
    pub(super) fn line_up(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let unsent = &mut stream.unsent;
        if !unsent.in_line && !unsent.payloads.is_empty() && stream.send.available() > 0 {
            unsent.in_line = true;
            self.line.push_back(id);
        }
    }

    /// How many bytes it takes, by what its parts have room for.
    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        let per_stream = size_of::<(StreamId, Stream<S>)>() + 1;
        size_of::<Self>()
            + self.streams.capacity() * 8 / 7 * per_stream
            + (self.line.capacity() + self.writable.capacity()) * size_of::<StreamId>()
            + self.output.capacity()
            + self.encoder.capacity()
            + self.decoder.capacity()
    }

    /// How many streams wait for their turn.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.line.len()
    }

    /// Moves what is unsent to the output, one frame of each stream after the other, until the output holds enough or the
    /// connection's window is used up.
    fn fill(&mut self) {
        while self.output.len() < FILLED && self.send.available() > 0 {
            let Some(id) = self.line.pop_front() else { return };
            let Some(stream) = self.streams.get_mut(&id) else { continue };
            stream.unsent.in_line = false;
            let Some(payload) = stream.unsent.payloads.front_mut() else { continue };
            let room = self.send.available().min(stream.send.available());
            let length = payload.len().min(room).min(longest_sent(&self.peer));
            if length == 0 {
                // The peer made its window smaller meanwhile; the stream lines up again when it is larger.
                continue;
            }
            let part = payload.split_to(length);
            if payload.is_empty() {
                stream.unsent.payloads.pop_front();
            }
            stream.unsent.bytes -= length;
            if stream.unsent.above_mark && stream.unsent.bytes <= self.options.unsent_mark {
                stream.unsent.above_mark = false;
                self.writable.push_back(id);
            }
            let end = stream.unsent.finished && stream.unsent.payloads.is_empty();
            write_data(id, stream, &mut self.send, &mut self.output, part, end);
            self.line_up(id);
        }
    }
}

fn longest_sent(peer: &Peer) -> usize {
    peer.max_frame.min(LONGEST_SENT) as usize
}

/// Writes one DATA frame, for which there is room.
fn write_data<S>(
    id: StreamId,
    stream: &mut Stream<S>,
    connection: &mut SendWindow,
    output: &mut Output,
    payload: Bytes,
    end: bool,
) {
    connection.spend(payload.len());
    stream.send.spend(payload.len());
    output.write(|out| frame::write_data_head(out, id, payload.len(), end));
    output.payload(payload);
    if end {
        stream.end_at = Some(output.end());
    }
}
