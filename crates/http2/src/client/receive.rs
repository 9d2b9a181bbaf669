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
            self.check_order(head)?;
            head.check(self.options.max_frame)?;
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

    /// SETTINGS come first, and nothing comes between the pieces of a block.
    fn check_order(&self, head: Head) -> Result<(), Error> {
        if !self.peer.is_known && (head.kind != Kind::Settings || head.has(flag::ACK)) {
            return Err(Error::protocol("it does not begin with SETTINGS"));
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
                self.check_opened(head.stream)?;
                let end = match code {
                    ErrorCode::REFUSED_STREAM => End::Refused,
                    code => End::Reset(code),
                };
                self.end(head.stream, end, events);
                Ok(())
            }
            Kind::Ping => {
                let payload = frame::ping(payload)?;
                if head.has(flag::ACK) {
                    events.pong(payload);
                    return Ok(());
                }
                self.replies.write(&mut self.output, |out| frame::write_pong(out, payload))
            }
            Kind::GoAway => self.go_away(payload, events),
            Kind::PushPromise => Err(Error::protocol("PUSH_PROMISE, though SETTINGS forbid it")),
            Kind::Priority if head.length != 5 => {
                let what = "a PRIORITY's payload is not of 5 bytes";
                self.offence(head.stream, ErrorCode::FRAME_SIZE_ERROR, what, events);
                Ok(())
            }
            Kind::Priority | Kind::Other(_) | Kind::Data => Ok(()),
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
            return self.stray(id);
        };
        stream.receive.receive(length).map_err(|Overflow| {
            Error::new(ErrorCode::FLOW_CONTROL_ERROR, "DATA beyond a stream's window")
        })?;
        if stream.next == Part::Head {
            input.advance(head.length);
            self.offence(id, ErrorCode::PROTOCOL_ERROR, "content comes before the head", events);
            return Ok(());
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
        self.check_opened(head.stream)?;
        let content = frame::content(head, payload)?;
        let (block, end) = (&payload[content], head.has(flag::END_STREAM));
        if head.has(flag::END_HEADERS) {
            return self.block(head.stream, end, block, events);
        }
        self.gathered = Some(Gathered::new(head.stream, end, block));
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
            return self.stray(id);
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
            Err(how) => self.give_up(id, ErrorCode::PROTOCOL_ERROR, how, events),
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
            return Ok(());
        }
        let limit = self.peer.max_streams;
        if !std::mem::replace(&mut self.peer.is_known, true) {
            // It has no limit unless it says one now.
            self.peer.max_streams = self.options.max_streams;
        }
        for setting in settings {
            match setting? {
                Setting::HeaderTable(size) => self.encoder.set_max_table(size),
                Setting::EnablePush(true) => {
                    return Err(Error::protocol("a server that wants to be pushed to"));
                }
                Setting::MaxConcurrentStreams(streams) => {
                    self.peer.max_streams = self.options.max_streams.min(streams as usize);
                }
                Setting::InitialWindow(size) => self.resize_windows(size)?,
                Setting::MaxFrame(length) => self.peer.max_frame = length,
                Setting::EnablePush(false) | Setting::MaxHeaderList(_) => {}
            }
        }
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
        if !id.is_connection() {
            self.check_opened(id)?;
        }
        let by = match frame::window_update(head, payload) {
            Ok(by) => i64::from(by.get()),
            Err(Malformed { scope: Scope::Stream, code, what }) => {
                self.offence(id, code, what, events);
                return Ok(());
            }
            Err(malformed) => return Err(malformed.into()),
        };
        const TOO_LARGE: &str = "WINDOW_UPDATE makes a window too large";
        const CODE: ErrorCode = ErrorCode::FLOW_CONTROL_ERROR;
        if id.is_connection() {
            return self.send.change(by).map_err(|Overflow| Error::new(CODE, TOO_LARGE));
        }
        let Some(stream) = self.streams.get_mut(&id) else { return Ok(()) };
        match stream.send.change(by) {
            Ok(()) => self.line_up(id),
            Err(Overflow) => self.offence(id, CODE, TOO_LARGE, events),
        }
        Ok(())
    }

    fn go_away(
        &mut self,
        payload: &[u8],
        events: &mut impl Events<Stream = S>,
    ) -> Result<(), Error> {
        let said = frame::go_away(payload)?;
        if self.last.replace(said.last).is_some_and(|before| before < said.last) {
            return Err(Error::protocol("a second GOAWAY with a later stream than the first"));
        }
        events.going_away(said.code, said.debug);
        let mut unseen: Vec<_> =
            self.streams.keys().copied().filter(|id| *id > said.last).collect();
        unseen.sort_unstable();
        for id in unseen {
            self.end(id, End::GoneAway, events);
        }
        Ok(())
    }

    /// A frame about a stream that was never opened breaks HTTP/2; the peer can't open any.
    fn check_opened(&self, id: StreamId) -> Result<(), Error> {
        if id.is_clients() && id.get() < self.next {
            return Ok(());
        }
        Err(Error::protocol("a frame is about a stream that was not opened"))
    }

    /// Something came for a stream that is over: either its end crossed it on the way, or the peer breaks the rules. Which
    /// it is can't be told for streams of long ago, so that is not tolerated for ever.
    fn stray(&mut self, id: StreamId) -> Result<(), Error> {
        self.check_opened(id)?;
        if self.resets.contains(id) { Ok(()) } else { self.budget.spend() }
    }

    /// Ends a stream on which the peer broke the rules; if it is over anyway, nothing is to be done.
    fn offence(
        &mut self,
        id: StreamId,
        code: ErrorCode,
        what: &'static str,
        events: &mut impl Events<Stream = S>,
    ) {
        self.give_up(id, code, End::Malformed(what), events);
    }

    /// Resets a stream, if it is not over, and tells its owner why.
    fn give_up(
        &mut self,
        id: StreamId,
        code: ErrorCode,
        end: End,
        events: &mut impl Events<Stream = S>,
    ) {
        if let Some((state, sent)) = self.reset(id, code) {
            events.ended(id, state, end, sent);
        }
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
    waiting: usize,
    /// Where the last of them ends in the output.
    last_at: u64,
}

impl Replies {
    /// A peer that asks for more than this without reading the answers wants our memory.
    const MOST: usize = 1000;

    fn write(
        &mut self,
        output: &mut Output,
        reply: impl FnOnce(&mut BytesMut),
    ) -> Result<(), Error> {
        if output.has_taken(self.last_at) {
            self.waiting = 0;
        }
        self.waiting += 1;
        if self.waiting > Self::MOST {
            let what = "it asks by PING and SETTINGS and does not read the answers";
            return Err(Error::new(ErrorCode::ENHANCE_YOUR_CALM, what));
        }
        output.write(reply);
        self.last_at = output.end();
        Ok(())
    }
}

/// What a peer may send that is good for nothing: each such frame costs one, and each that is good for something earns some
/// back.
#[derive(Debug, Default)]
pub(super) struct Budget {
    spent: usize,
}

impl Budget {
    const MOST: usize = 10_000;
    const EARNED: usize = 10;

    fn spend(&mut self) -> Result<(), Error> {
        self.spent += 1;
        if self.spent > Self::MOST {
            let what = "it sends frames that are good for nothing";
            return Err(Error::new(ErrorCode::ENHANCE_YOUR_CALM, what));
        }
        Ok(())
    }

    fn earn(&mut self) {
        self.spent = self.spent.saturating_sub(Self::EARNED);
    }
}
