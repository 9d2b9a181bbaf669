//! One HTTP/2 connection of the null server, without its socket: bytes in, bytes out.

use std::collections::VecDeque;
use std::fmt;

use super::answer::{Answers, Route, Style, frame, put_frame, renewals_answer};
use super::hpack::{Decoder, Effect, Malformed};
use super::streams::{self, Streams};

/// What a client says before its first frame.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The window of each stream, and the largest request.
const STREAM_WINDOW: u32 = 1 << 20;
/// Added to the connection's window at the start: large enough that it never decides anything.
const CONNECTION_WINDOW: u32 = 1 << 30;
/// How much is received before the connection's window is opened again.
const WINDOW_STEP: u32 = 1 << 24;
const MAX_STREAMS: u32 = 100_000;
const DEFAULT_WINDOW: i64 = 65_535;
const DEFAULT_HEADER_TABLE: u32 = 4096;

const SETTING_HEADER_TABLE_SIZE: u16 = 1;
const SETTING_MAX_CONCURRENT_STREAMS: u16 = 3;
const SETTING_INITIAL_WINDOW_SIZE: u16 = 4;

/// Why a connection cannot go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation(String);

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Violation {}

impl From<Malformed> for Violation {
    fn from(error: Malformed) -> Self {
        Self(error.to_string())
    }
}

fn violation<T>(reason: &str) -> Result<T, Violation> {
    Err(Violation(reason.to_owned()))
}

/// The routes of the streams that are open, in a window over their numbers: streams begin in order and
/// mostly end in order, so the window stays as narrow as the client's concurrency.
#[derive(Debug, Default)]
struct OpenStreams {
    /// The stream of the first route.
    first: u32,
    routes: VecDeque<Option<Route>>,
}

impl OpenStreams {
    fn open(&mut self, stream: u32, route: Route) -> Result<(), Violation> {
        if self.routes.is_empty() {
            self.first = stream;
        }
        let next = u64::from(self.first) + 2 * self.routes.len() as u64;
        if stream.is_multiple_of(2) || u64::from(stream) < next {
            return violation("a stream begins with a number that is not its turn");
        }
        let skipped = (u64::from(stream) - next) / 2;
        if skipped > u64::from(MAX_STREAMS) {
            return violation("too many stream numbers are skipped");
        }
        self.routes.extend((0..skipped).map(|_| None));
        self.routes.push_back(Some(route));
        Ok(())
    }

    fn close(&mut self, stream: u32) -> Option<Route> {
        let position = usize::try_from(stream.checked_sub(self.first)? / 2).ok()?;
        let route = self.routes.get_mut(position)?.take();
        while let Some(None) = self.routes.front() {
            self.routes.pop_front();
            self.first += 2;
        }
        route
    }
}

/// A header block that is still coming in.
#[derive(Debug)]
struct Fragment {
    stream: u32,
    end_stream: bool,
    block: Vec<u8>,
}

/// The state of one connection.
#[derive(Debug)]
pub struct Connection<'a> {
    answers: &'a Answers,
    greeted: bool,
    closed: bool,
    decoder: Decoder,
    /// Scratch space for paths.
    path: Vec<u8>,
    /// The last block that left the table alone, and its route: under load, every block is this one.
    known_block: Vec<u8>,
    known_route: Route,
    fragment: Option<Fragment>,
    open: OpenStreams,
    streams: Streams,
    style: Style,
    /// How much data the peer takes on the whole connection.
    window: i64,
    /// Answers that wait for the window.
    waiting: VecDeque<(u32, Route)>,
    /// Data received since the peer's window was last opened.
    received: u32,
    output: Vec<u8>,
}

impl<'a> Connection<'a> {
    /// A connection at its beginning; the server's settings are its first output.
    #[must_use]
    pub fn new(answers: &'a Answers) -> Self {
        let mut output = Vec::with_capacity(1 << 18);
        let mut settings = Vec::new();
        for (setting, value) in [
            (SETTING_MAX_CONCURRENT_STREAMS, MAX_STREAMS),
            (SETTING_INITIAL_WINDOW_SIZE, STREAM_WINDOW),
        ] {
            settings.extend_from_slice(&setting.to_be_bytes());
            settings.extend_from_slice(&value.to_be_bytes());
        }
        put_frame(&mut output, frame::SETTINGS, 0, 0, &settings);
        put_frame(&mut output, frame::WINDOW_UPDATE, 0, 0, &CONNECTION_WINDOW.to_be_bytes());
        Self {
            answers,
            greeted: false,
            closed: false,
            decoder: Decoder::new(),
            path: Vec::new(),
            known_block: Vec::new(),
            known_route: Route::Unknown,
            fragment: None,
            open: OpenStreams::default(),
            streams: Streams::new(answers.value_size()),
            style: Style::Introduce,
            window: DEFAULT_WINDOW,
            waiting: VecDeque::new(),
            received: 0,
            output,
        }
    }

    /// What is to be sent; the caller clears it when it is.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// Whether the peer has said goodbye.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Takes in what the socket gave and returns how much of it was used; the rest is to be given again,
    /// with more behind it.
    ///
    /// # Errors
    /// The peer does what this server cannot understand.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<usize, Violation> {
        let mut rest = bytes;
        if !self.greeted {
            let Some((preface, frames)) = rest.split_at_checked(PREFACE.len()) else {
                return Ok(0);
            };
            if preface != PREFACE {
                return violation("this is no HTTP/2 client");
            }
            self.greeted = true;
            rest = frames;
        }
        while let Some((&[a, b, c, kind, flags, s0, s1, s2, s3], after)) =
            rest.split_first_chunk::<{ frame::HEAD }>()
        {
            let length = u32::from_be_bytes([0, a, b, c]) as usize;
            let Some((payload, next)) = after.split_at_checked(length) else { break };
            let stream = u32::from_be_bytes([s0, s1, s2, s3]) & 0x7fff_ffff;
            self.frame(kind, flags, stream, payload)?;
            rest = next;
        }
        Ok(bytes.len() - rest.len())
    }

    fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Result<(), Violation> {
        let end_stream = flags & frame::END_STREAM != 0;
        match kind {
            frame::DATA => {
                self.received += payload.len() as u32;
                if self.received >= WINDOW_STEP {
                    let received = self.received.to_be_bytes();
                    put_frame(&mut self.output, frame::WINDOW_UPDATE, 0, 0, &received);
                    self.received = 0;
                }
                if self.streams.has(stream) {
                    self.window_of(stream, payload.len());
                    self.streams.receive(stream, payload);
                }
                if end_stream {
                    self.end(stream);
                }
            }
            frame::HEADERS => {
                let block = header_block(flags, payload)?;
                if flags & frame::END_HEADERS != 0 {
                    self.headers(stream, end_stream, block)?;
                } else {
                    self.fragment = Some(Fragment { stream, end_stream, block: block.to_vec() });
                }
            }
            frame::CONTINUATION => {
                let Some(mut fragment) = self.fragment.take() else {
                    return violation("a header block continues that never began");
                };
                fragment.block.extend_from_slice(payload);
                if flags & frame::END_HEADERS != 0 {
                    self.headers(fragment.stream, fragment.end_stream, &fragment.block)?;
                } else {
                    self.fragment = Some(fragment);
                }
            }
            frame::RST_STREAM => {
                self.open.close(stream);
                self.streams.close(stream);
                self.waiting.retain(|(waiting, _)| *waiting != stream);
            }
            frame::SETTINGS if flags & frame::ACK == 0 => {
                self.settings(payload)?;
                put_frame(&mut self.output, frame::SETTINGS, frame::ACK, 0, &[]);
            }
            frame::PING if flags & frame::ACK == 0 => {
                put_frame(&mut self.output, frame::PING, frame::ACK, 0, payload);
            }
            frame::GOAWAY => self.closed = true,
            // A stream's window always takes a whole answer, see `settings`, unless it stays open.
            frame::WINDOW_UPDATE if stream != 0 => {
                if let Ok(bytes) = <[u8; 4]>::try_from(payload) {
                    self.streams.opened(stream, u32::from_be_bytes(bytes));
                }
            }
            frame::WINDOW_UPDATE if stream == 0 => {
                let Ok(bytes) = <[u8; 4]>::try_from(payload) else {
                    return violation("a window update without a number");
                };
                self.window += i64::from(u32::from_be_bytes(bytes));
                while let Some(&(stream, route)) = self.waiting.front()
                    && self.answer(stream, route)
                {
                    self.waiting.pop_front();
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Appends about `room` bytes of what open streams have to send. Whether there is more.
    pub fn publish(&mut self, room: usize) -> bool {
        self.streams.send(&mut self.window, room, &mut self.output)
    }

    /// Gives back what a stream that stays open has sent.
    fn window_of(&mut self, stream: u32, received: usize) {
        if received > 0 {
            let received = (received as u32).to_be_bytes();
            put_frame(&mut self.output, frame::WINDOW_UPDATE, 0, stream, &received);
        }
    }

    fn headers(&mut self, stream: u32, end_stream: bool, block: &[u8]) -> Result<(), Violation> {
        if block != self.known_block || block.is_empty() {
            let effect = self.decoder.read(block, &mut self.path)?;
            self.known_block.clear();
            self.known_route = Route::of(&self.path);
            if effect == Effect::None {
                self.known_block.extend_from_slice(block);
            }
        }
        self.open.open(stream, self.known_route)?;
        if Streams::serves(self.known_route) {
            self.streams.open(stream, self.known_route, &mut self.output);
        }
        if end_stream {
            self.end(stream);
        }
        Ok(())
    }

    fn end(&mut self, stream: u32) {
        // A stream that is not open was reset by its owner.
        let Some(route) = self.open.close(stream) else { return };
        if self.streams.has(stream) {
            self.streams.close(stream);
            // The peer is done with it; it does not wait for trailers.
            put_frame(&mut self.output, frame::RST_STREAM, 0, stream, &[0; 4]);
            return;
        }
        if !self.waiting.is_empty() || !self.answer(stream, route) {
            self.waiting.push_back((stream, route));
        }
    }

    /// Writes an answer, if the window takes it.
    fn answer(&mut self, stream: u32, route: Route) -> bool {
        let made;
        let answer = match route {
            Route::Renewals => {
                made = renewals_answer(self.style, streams::renewals());
                &made
            }
            _ => self.answers.get(route, self.style),
        };
        if answer.data > self.window {
            return false;
        }
        self.window -= answer.data;
        answer.write(stream, &mut self.output);
        self.style = self.style.after(route);
        true
    }

    fn settings(&mut self, payload: &[u8]) -> Result<(), Violation> {
        for setting in payload.chunks_exact(6) {
            let &[a, b, c, d, e, f] = setting else { continue };
            let value = u32::from_be_bytes([c, d, e, f]);
            match u16::from_be_bytes([a, b]) {
                SETTING_HEADER_TABLE_SIZE if value < DEFAULT_HEADER_TABLE => {
                    self.style = Style::Renounce;
                }
                SETTING_INITIAL_WINDOW_SIZE if i64::from(value) < self.answers.largest() => {
                    return violation("the client's stream window is smaller than an answer");
                }
                SETTING_INITIAL_WINDOW_SIZE => self.streams.set_initial_window(value),
                _ => {}
            }
        }
        Ok(())
    }
}

/// The block inside a `HEADERS` payload, without padding and priority.
fn header_block(flags: u8, payload: &[u8]) -> Result<&[u8], Violation> {
    let mut block = payload;
    let mut padding = 0;
    if flags & frame::PADDED != 0 {
        let Some((&length, rest)) = block.split_first() else {
            return violation("a padded frame without a padding length");
        };
        padding = usize::from(length);
        block = rest;
    }
    if flags & frame::PRIORITY != 0 {
        block = block.get(5..).unwrap_or_default();
    }
    match block.len().checked_sub(padding).and_then(|length| block.get(..length)) {
        Some(block) => Ok(block),
        None => violation("more padding than payload"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(answers: &Answers) -> Connection<'_> {
        let mut connection = Connection::new(answers);
        connection.output().clear();
        assert_eq!(connection.receive(PREFACE), Ok(PREFACE.len()));
        connection
    }

    fn request(stream: u32, block: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        put_frame(&mut bytes, frame::HEADERS, frame::END_HEADERS, stream, block);
        put_frame(&mut bytes, frame::DATA, frame::END_STREAM, stream, &[0; 5]);
        bytes
    }

    fn literal(path: &str) -> Vec<u8> {
        let mut block = vec![0x44, path.len() as u8];
        block.extend_from_slice(path.as_bytes());
        block
    }

    fn expected(answers: &Answers, parts: &[(u32, Route, Style)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for &(stream, route, style) in parts {
            answers.get(route, style).write(stream, &mut bytes);
        }
        bytes
    }

    #[test]
    fn requests_are_told_apart_by_their_path_however_it_is_written() {
        let answers = Answers::new(256);
        let mut connection = opened(&answers);
        let mut bytes = request(1, &literal("/grpc.health.v1.Health/Check"));
        bytes.extend(request(3, &literal("/etcdserverpb.KV/Put")));
        bytes.extend(request(5, &[0xbe]));
        bytes.extend(request(7, &[0xbe]));
        bytes.extend(request(9, &[0xbf]));
        bytes.extend(request(11, &literal("/etcdserverpb.KV/Range")));
        bytes.extend(request(13, &[0xbe]));
        bytes.extend(request(15, &literal("/etcdserverpb.Lock/Lock")));
        // Byte by byte: nothing depends on where the socket cuts.
        let mut pending = Vec::new();
        for byte in bytes {
            pending.push(byte);
            let used = connection.receive(&pending).unwrap();
            pending.drain(..used);
        }
        assert!(pending.is_empty());
        let parts = [
            (1, Route::Health, Style::Introduce),
            (3, Route::Put, Style::Indexed),
            (5, Route::Put, Style::Indexed),
            (7, Route::Put, Style::Indexed),
            (9, Route::Health, Style::Indexed),
            (11, Route::Range, Style::Indexed),
            (13, Route::Range, Style::Indexed),
            (15, Route::Unknown, Style::Indexed),
        ];
        assert_eq!(*connection.output(), expected(&answers, &parts));
    }

    #[test]
    fn answers_wait_for_the_connection_window_in_order() {
        let answers = Answers::new(40_000);
        let mut connection = opened(&answers);
        for stream in [1, 3, 5] {
            connection.receive(&request(stream, &literal("/etcdserverpb.KV/Range"))).unwrap();
        }
        let first = [(1, Route::Range, Style::Introduce)];
        assert_eq!(*connection.output(), expected(&answers, &first));
        connection.output().clear();
        let mut update = Vec::new();
        put_frame(&mut update, frame::RST_STREAM, 0, 3, &[0; 4]);
        put_frame(&mut update, frame::WINDOW_UPDATE, 0, 0, &80_000u32.to_be_bytes());
        connection.receive(&update).unwrap();
        let second = [(5, Route::Range, Style::Indexed)];
        assert_eq!(*connection.output(), expected(&answers, &second));
    }

    #[test]
    fn a_client_without_a_header_table_gets_literals() {
        let answers = Answers::new(256);
        let mut connection = opened(&answers);
        let mut bytes = Vec::new();
        put_frame(&mut bytes, frame::SETTINGS, 0, 0, &[0, 1, 0, 0, 0, 0]);
        bytes.extend(request(1, &literal("/etcdserverpb.KV/Put")));
        bytes.extend(request(3, &[0xbe]));
        connection.receive(&bytes).unwrap();
        let mut wanted = Vec::new();
        put_frame(&mut wanted, frame::SETTINGS, frame::ACK, 0, &[]);
        wanted.extend(expected(
            &answers,
            &[(1, Route::Put, Style::Renounce), (3, Route::Put, Style::Literal)],
        ));
        assert_eq!(*connection.output(), wanted);
    }

    #[test]
    fn pings_come_back_and_goaway_closes() {
        let answers = Answers::new(256);
        let mut connection = opened(&answers);
        let mut bytes = Vec::new();
        put_frame(&mut bytes, frame::PING, 0, 0, b"12345678");
        put_frame(&mut bytes, frame::GOAWAY, 0, 0, &[0; 8]);
        connection.receive(&bytes).unwrap();
        let mut wanted = Vec::new();
        put_frame(&mut wanted, frame::PING, frame::ACK, 0, b"12345678");
        assert_eq!(*connection.output(), wanted);
        assert!(connection.is_closed());
    }

    #[test]
    fn streams_may_end_out_of_order_and_be_skipped() {
        let mut open = OpenStreams::default();
        for stream in [1, 3, 9] {
            open.open(stream, Route::Put).unwrap();
        }
        assert!(open.open(7, Route::Put).is_err() && open.open(12, Route::Put).is_err());
        assert_eq!(open.close(3), Some(Route::Put));
        assert_eq!(open.close(3), None);
        assert_eq!(open.close(7), None);
        assert_eq!(open.close(1), Some(Route::Put));
        assert_eq!((open.first, open.routes.len()), (9, 1));
        assert_eq!(open.close(9), Some(Route::Put));
        assert_eq!(open.close(11), None);
        assert!(open.open(9, Route::Put).is_ok(), "an empty window starts anywhere");
    }

    #[test]
    fn peers_that_make_no_sense_are_refused() {
        let answers = Answers::new(256);
        let mut connection = Connection::new(&answers);
        assert!(connection.receive(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n").is_err());
        let mut connection = opened(&answers);
        let mut bytes = Vec::new();
        put_frame(&mut bytes, frame::CONTINUATION, frame::END_HEADERS, 1, &[0xbe]);
        assert!(connection.receive(&bytes).is_err());
    }
}
