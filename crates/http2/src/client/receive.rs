//! What the peer says, frame after frame (RFC 9113, section 6).

use bytes::{Buf, BytesMut};

use super::block::{Check, Complete, Gathered};
use super::connection::Connection;
use super::error::Error;
use super::events::{End, Events, Part, Payload};
use super::output::Output;
use super::window::Overflow;
use crate::frame::{self, ErrorCode, Head, Kind, Malformed, Scope, Setting, StreamId, flag};
use crate::hpack::DecodeError;

impl<S> Connection<S> {
    /// Reads what the peer sent, as far as frames are whole, and takes it off `input`. Returns how many bytes are missing
    /// of the next frame at least.
    ///
    /// # Errors
    ///
    /// The peer broke HTTP/2. It is told so by what stands in the output; the connection is over, and
    /// [`lose`](Self::lose) ends its streams.
    pub fn receive(
        &mut self,
        input: &mut BytesMut,
        events: &mut impl Events<Stream = S>,
    ) -> Result<usize, Error> {
        if let Some(error) = self.error {
            return Err(error);
        }
        self.frames(input, events).inspect_err(|error| {
            self.error = Some(*error);
            self.output.write(|out| {
                let nothing = StreamId::CONNECTION;
                frame::write_go_away(out, nothing, error.code(), error.what().as_bytes());
            });
        })
    }

    fn frames(
        &mut self,
        input: &mut BytesMut,
        events: &mut impl Events<Stream = S>,
    ) -> Result<usize, Error> {
        while let Some(head) = Head::peek(input) {
            self.check(head)?;
            let whole = Head::LENGTH + head.length;
            if input.len() < whole {
                return Ok(whole - input.len());
            }
            input.advance(Head::LENGTH);
            if head.kind == Kind::Data {
                self.data(head, input, events)?;
                continue;
            }
            self.frame(head, &input[..head.length], events)?;
            input.advance(head.length);
        }
        Ok(Head::LENGTH - input.len())
    }

    /// What a head alone tells to be wrong, before its payload is waited for.
    fn check(&mut self, head: Head) -> Result<(), Error> {
        if !std::mem::replace(&mut self.peer.has_spoken, true) {
            // SETTINGS have to come first. A server that answers before them does no harm; what is not HTTP/2 at all would
            // have us wait for the megabytes that its text stands for.
            if let Kind::Other(_) = head.kind {
                return Err(Error::protocol("it does not begin with a frame of HTTP/2"));
            }
        }
        head.check(self.options.max_frame)?;
        if matches!(head.kind, Kind::Data | Kind::Headers | Kind::ResetStream | Kind::WindowUpdate)
        {
            self.check_opened(head.stream)?;
        }
        match &self.gathered {
            Some(gathered) if head.kind != Kind::Continuation || head.stream != gathered.id => {
                Err(Error::protocol("another frame stands between the pieces of a block of fields"))
            }
            None if head.kind == Kind::Continuation => {
                Err(Error::protocol("CONTINUATION without HEADERS"))
            }
            _ => Ok(()),
        }
    }

    /// Any frame but DATA.
    fn frame(
        &mut self,
        head: Head,
        payload: &[u8],
        events: &mut impl Events<Stream = S>,
    ) -> Result<(), Error> {
        match head.kind {
            Kind::Headers => self.headers(head, payload, events),
            Kind::Continuation => self.continuation(head, payload, events),
            Kind::Settings => self.settings(head, payload, events),
            Kind::WindowUpdate => self.window_update(head, payload, events),
            Kind::ResetStream => {
                let code = frame::reset_stream(payload)?;
                let Some(stream) = self.streams.get(&head.stream) else {
                    return self.budget.spend();
                };
                let end = match code {
                    ErrorCode::REFUSED_STREAM if stream.next == Part::Head => End::Refused,
                    code => End::Reset(code),
                };
                self.end(head.stream, end, events);
                Ok(())
            }
            Kind::Ping => {
                let payload = frame::ping(payload)?;
                if head.has(flag::ACK) {
                    events.pong(payload);
                    return self.budget.spend();
                }
                self.replies.write(&mut self.output, |out| frame::write_pong(out, payload))
            }
            Kind::GoAway => self.go_away(payload, events),
            Kind::PushPromise => Err(Error::protocol("PUSH_PROMISE, though SETTINGS forbid it")),
            Kind::Priority if head.length != 5 => {
                let what = "a PRIORITY's payload is not of 5 bytes";
                self.offence(head.stream, ErrorCode::FRAME_SIZE_ERROR, what, events)
            }
            Kind::Priority | Kind::Other(_) => self.budget.spend(),
            Kind::Data => Ok(()),
        }
    }

    /// Takes the payload off `input` itself, as the owner may keep it.
    fn data(
        &mut self,
        head: Head,
        input: &mut BytesMut,
        events: &mut impl Events<Stream = S>,
    ) -> Result<(), Error> {
        let id = head.stream;
        let content = frame::content(head, &input[..head.length])?;
        let length = u32::try_from(head.length).unwrap_or(u32::MAX);
        self.receive.receive(length).map_err(|Overflow| {
            Error::new(ErrorCode::FLOW_CONTROL_ERROR, "DATA beyond the connection's window")
        })?;
        let Some(stream) = self.streams.get_mut(&id) else {
            input.advance(head.length);
            self.give_back(id, None, length);
            // Content may have been on its way, as much as the window allowed.
            return if content.is_empty() { self.budget.spend() } else { Ok(()) };
        };
        stream.receive.receive(length).map_err(|Overflow| {
            Error::new(ErrorCode::FLOW_CONTROL_ERROR, "DATA beyond a stream's window")
        })?;
        if stream.next == Part::Head {
            input.advance(head.length);
            let what = "content comes before the head";
            return self.offence(id, ErrorCode::PROTOCOL_ERROR, what, events);
        }
        let end = head.has(flag::END_STREAM);
        if !content.is_empty() {
            self.budget.earn();
        } else if !end {
            self.budget.spend()?;
        }
        input.advance(content.start);
        let padding = head.length - content.len();
        let mut released = padding;
        if !content.is_empty() {
            let payload = Payload::new(input, content.len());
            released += events.data(id, &mut stream.state, payload).min(content.len());
        }
        input.advance(head.length - content.end);
        if end {
            self.end(id, End::Clean, events);
        } else {
            self.release(id, released);
        }
        Ok(())
    }

    fn headers(
        &mut self,
        head: Head,
        payload: &[u8],
        events: &mut impl Events<Stream = S>,
    ) -> Result<(), Error> {
        let content = frame::content(head, payload)?;
        let (block, end) = (&payload[content], head.has(flag::END_STREAM));
        if head.has(flag::END_HEADERS) {
            return self.block(head.stream, end, block, events);
        }
        let mut gathered = Gathered::new(head.stream, end);
        gathered.push(block, &self.options)?;
        self.gathered = Some(gathered);
        Ok(())
    }

    fn continuation(
        &mut self,
        head: Head,
        payload: &[u8],
        events: &mut impl Events<Stream = S>,
    ) -> Result<(), Error> {
        let Some(mut gathered) = self.gathered.take() else { return Ok(()) };
        gathered.push(payload, &self.options)?;
        if head.has(flag::END_HEADERS) {
            return self.block(gathered.id, gathered.end, &gathered.block, events);
        }
        self.gathered = Some(gathered);
        Ok(())
    }

    /// A whole block of fields. It is read whatever becomes of its stream, as the blocks after it refer to it.
    fn block(
        &mut self,
        id: StreamId,
        end: bool,
        block: &[u8],
        events: &mut impl Events<Stream = S>,
    ) -> Result<(), Error> {
        let Some(stream) = self.streams.get_mut(&id) else {
            let _ = self.decoder.decode(block, |_, _| {})?;
            return self.budget.spend();
        };
        let mut check = Check::new(stream.next);
        let decoded = self.decoder.decode(block, |name, value| {
            if check.field(name, value) {
                events.field(id, &mut stream.state, name, value);
            }
        })?;
        match check.complete(decoded, end) {
            Ok(Complete::Interim) => return self.budget.spend(),
            Ok(Complete::Part(part)) => {
                self.budget.earn();
                stream.next = Part::Trailers;
                events.fields_end(id, &mut stream.state, part);
                if end {
                    self.end(id, End::Clean, events);
                }
            }
            Err(how) => return self.give_up(id, ErrorCode::PROTOCOL_ERROR, how, events),
        }
        Ok(())
    }

    fn settings(
        &mut self,
        head: Head,
        payload: &[u8],
        events: &mut impl Events<Stream = S>,
    ) -> Result<(), Error> {
        let settings = frame::settings(head, payload)?;
        if head.has(flag::ACK) {
            self.decoder.settings_acknowledged();
            return self.budget.spend();
        }
        self.budget.spend()?;
        let limit = self.peer.max_streams;
        if !std::mem::replace(&mut self.peer.is_known, true) {
            // It has no limit unless it says one now.
            self.peer.max_streams = self.options.max_streams;
        }
        // Streams are many, and so may the values of one frame be: the last counts.
        let mut stream_window = self.peer.stream_window;
        for setting in settings {
            match setting? {
                Setting::HeaderTable(size) => self.encoder.set_max_table(size),
                Setting::EnablePush(true) => {
                    return Err(Error::protocol("a server that wants to be pushed to"));
                }
                Setting::MaxConcurrentStreams(streams) => {
                    self.peer.max_streams = self.options.max_streams.min(streams as usize);
                }
                Setting::InitialWindow(size) => stream_window = size,
                Setting::MaxFrame(length) => self.peer.max_frame = length,
                Setting::EnablePush(false) | Setting::MaxHeaderList(_) => {}
            }
        }
        self.resize_windows(stream_window)?;
        if self.peer.max_streams != limit {
            events.limit(self.peer.max_streams);
        }
        self.replies.write(&mut self.output, frame::write_settings_ack)
    }

    /// The initial window changed, and with it that of every stream.
    fn resize_windows(&mut self, size: u32) -> Result<(), Error> {
        let by = i64::from(size) - i64::from(self.peer.stream_window);
        self.peer.stream_window = size;
        if by == 0 {
            return Ok(());
        }
        let mut unblocked = Vec::new();
        for (id, stream) in &mut self.streams {
            stream.send.change(by).map_err(|Overflow| {
                let what = "SETTINGS_INITIAL_WINDOW_SIZE makes a window too large";
                Error::new(ErrorCode::FLOW_CONTROL_ERROR, what)
            })?;
            if !stream.unsent.payloads.is_empty() {
                unblocked.push(*id);
            }
        }
        for id in unblocked {
            self.line_up(id);
        }
        Ok(())
    }

    fn window_update(
        &mut self,
        head: Head,
        payload: &[u8],
        events: &mut impl Events<Stream = S>,
    ) -> Result<(), Error> {
        let id = head.stream;
        let by = match frame::window_update(head, payload) {
            Ok(by) => i64::from(by.get()),
            Err(Malformed { scope: Scope::Stream, code, what }) => {
                return self.offence(id, code, what, events);
            }
            Err(malformed) => return Err(malformed.into()),
        };
        const TOO_LARGE: &str = "WINDOW_UPDATE makes a window too large";
        const CODE: ErrorCode = ErrorCode::FLOW_CONTROL_ERROR;
        if id.is_connection() {
            return self.send.change(by).map_err(|Overflow| Error::new(CODE, TOO_LARGE));
        }
        let Some(stream) = self.streams.get_mut(&id) else { return self.budget.spend() };
        match stream.send.change(by) {
            Ok(()) => self.line_up(id),
            Err(Overflow) => return self.offence(id, CODE, TOO_LARGE, events),
        }
        Ok(())
    }

    fn go_away(
        &mut self,
        payload: &[u8],
        events: &mut impl Events<Stream = S>,
    ) -> Result<(), Error> {
        let said = frame::go_away(payload)?;
        let before = self.last.replace(said.last);
        if before.is_some_and(|before| before < said.last) {
            return Err(Error::protocol("a second GOAWAY with a later stream than the first"));
        }
        events.going_away(said.code, said.debug);
        if before == Some(said.last) {
            return self.budget.spend();
        }
        let unseen = self.streams.iter().filter(|(id, _)| **id > said.last);
        let mut unseen: Vec<_> = unseen.map(|(id, stream)| (*id, stream.next)).collect();
        unseen.sort_unstable_by_key(|(id, _)| *id);
        for (id, next) in unseen {
            let end = if next == Part::Head { End::GoneAway } else { End::Lost };
            self.end(id, end, events);
        }
        Ok(())
    }

    /// A frame about a stream that was never opened breaks HTTP/2; the peer can't open any.
    fn check_opened(&self, id: StreamId) -> Result<(), Error> {
        if id.is_connection() || id.is_clients() && id.get() < self.next {
            return Ok(());
        }
        Err(Error::protocol("a frame is about a stream that was not opened"))
    }

    /// Ends a stream on which the peer broke the rules; if it is over anyway, nothing is to be done.
    fn offence(
        &mut self,
        id: StreamId,
        code: ErrorCode,
        what: &'static str,
        events: &mut impl Events<Stream = S>,
    ) -> Result<(), Error> {
        self.give_up(id, code, End::Malformed(what), events)
    }

    /// Resets a stream, if it is not over, and tells its owner why.
    fn give_up(
        &mut self,
        id: StreamId,
        code: ErrorCode,
        end: End,
        events: &mut impl Events<Stream = S>,
    ) -> Result<(), Error> {
        let Some((state, sent)) = self.reset(id, code) else { return self.budget.spend() };
        events.ended(id, state, end, sent);
        Ok(())
    }

    /// Ends a stream as the peer wants it.
    fn end(&mut self, id: StreamId, end: End, events: &mut impl Events<Stream = S>) {
        let Some(stream) = self.remove(id) else { return };
        // Whoever has the whole answer has no use for the rest of the request, and the peer is told that none comes.
        if end == End::Clean && stream.end_at.is_none() {
            let code = ErrorCode::NO_ERROR;
            self.output.write(|out| frame::write_reset_stream(out, id, code));
        }
        let sent = stream.sent(&self.output);
        events.ended(id, stream.state, end, sent);
    }
}

impl From<DecodeError> for Error {
    fn from(unreadable: DecodeError) -> Self {
        Self::unreadable(unreadable)
    }
}

impl From<Malformed> for Error {
    fn from(malformed: Malformed) -> Self {
        Self::new(malformed.code, malformed.what)
    }
}

/// Counts the answers to the peer's PINGs and SETTINGS that it has not taken yet.
#[derive(Debug, Default)]
pub(super) struct Replies {
    /// Those that stand before the mark in the output, and those behind it. While other things are written all the time,
    /// the output never is empty, but a mark is always reached.
    before: usize,
    behind: usize,
    mark: u64,
}

impl Replies {
    /// A peer that asks for more than this without reading the answers wants our memory.
    const MOST: usize = 1000;

    fn write(
        &mut self,
        output: &mut Output,
        reply: impl FnOnce(&mut BytesMut),
    ) -> Result<(), Error> {
        if output.has_taken(self.mark) {
            self.before = std::mem::take(&mut self.behind);
            self.mark = output.end();
        }
        self.behind += 1;
        if self.before + self.behind > Self::MOST {
            let what = "it asks by PING and SETTINGS and does not read the answers";
            return Err(Error::new(ErrorCode::ENHANCE_YOUR_CALM, what));
        }
        output.write(reply);
        Ok(())
    }
}

/// How many frames the peer may send that are good for nothing. Each costs one; those that are good for something earn some
/// back, up to what there was at first.
///
/// Which are which says the table of [`client`](super). What a PING costs is counted by [`Replies`], and a WINDOW_UPDATE of a
/// stream that is open changes a window, which can't grow for ever.
#[derive(Debug)]
pub(super) struct Budget {
    left: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { left: Self::FULL }
    }
}

impl Budget {
    const FULL: usize = 10_000;
    const EARNED: usize = 10;
    /// A head, trailers, an end, a reset, and some updates of the window.
    const ANSWER: usize = 8;

    fn spend(&mut self) -> Result<(), Error> {
        let Some(left) = self.left.checked_sub(1) else {
            let what = "it sends frames that are good for nothing";
            return Err(Error::new(ErrorCode::ENHANCE_YOUR_CALM, what));
        };
        self.left = left;
        Ok(())
    }

    fn earn(&mut self) {
        self.left = self.left.max(Self::FULL.min(self.left.saturating_add(Self::EARNED)));
    }

    /// A stream is reset here: its answer may be on its way, and comes to nothing.
    pub(super) fn allow_answer(&mut self) {
        self.left = self.left.saturating_add(Self::ANSWER);
    }

    /// A PING is sent: its answer is wanted, though it says nothing.
    pub(super) fn allow_pong(&mut self) {
        self.left = self.left.saturating_add(1);
    }
}
