//! One connection from a client: its bytes, its frames, and how it ends.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::Poll;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;

use super::frame::{Frame, FrameKind, PREFACE, flag};
use super::hpack::Decoder;
use super::outgoing::Outgoing;
use super::receive::Incoming;

/// A byte stream of any kind.
trait ReadWrite: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> ReadWrite for T {}

/// What a connection runs over. Only TCP, bare or below TLS, can be reset.
enum Socket {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Other(Box<dyn ReadWrite>),
}

impl Socket {
    fn stream(&mut self) -> &mut dyn ReadWrite {
        match self {
            Self::Tcp(stream) => stream,
            Self::Tls(stream) => stream,
            Self::Other(stream) => stream,
        }
    }

    fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Self::Tcp(stream) => Some(stream),
            Self::Tls(stream) => Some(stream.get_ref().0),
            Self::Other(_) => None,
        }
    }
}

/// Which frames are answered while a script waits for something else.
#[derive(Clone, Copy, Debug)]
pub(super) struct Automatic {
    pub(super) settings: bool,
    pub(super) pings: bool,
    pub(super) windows: bool,
}

/// One connection from a client, in the hands of a script.
///
/// All methods that wait can be dropped while they do: frames stay whole in both directions. They fail with
/// [`io::ErrorKind::UnexpectedEof`] once the client has closed the connection. Dropping the connection closes it.
///
/// Frames are written in the order of the calls, except that DATA waits for the client's windows, and what follows
/// on its stream waits for it.
pub struct Connection {
    socket: Socket,
    unread: BytesMut,
    unwritten: BytesMut,
    /// The length of each write, if they are split.
    write_len: Option<usize>,
    pub(super) automatic: Automatic,
    pub(super) decoder: Decoder,
    /// The header block whose CONTINUATIONs are still to come: stream, flags of its HEADERS, bytes.
    pub(super) block: Option<(u32, u8, BytesMut)>,
    pub(super) streams: BTreeMap<u32, Incoming>,
    pub(super) outgoing: Outgoing,
    /// How many of our SETTINGS the client has not acknowledged.
    pub(super) unacknowledged: usize,
    log: Vec<Frame>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("streams", &self.streams.keys())
            .field("log", &self.log)
            .finish_non_exhaustive()
    }
}

impl Connection {
    /// A connection over any byte stream.
    pub fn new(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        Self::over(Socket::Other(Box::new(stream)))
    }

    /// A connection in memory, and the end of it that a client uses; each direction holds up to `capacity` bytes.
    pub fn duplex(capacity: usize) -> (Self, DuplexStream) {
        let (near, far) = tokio::io::duplex(capacity);
        (Self::new(near), far)
    }

    pub(super) fn tcp(stream: TcpStream) -> Self {
        Self::over(Socket::Tcp(stream))
    }

    pub(super) fn tls(stream: TlsStream<TcpStream>) -> Self {
        Self::over(Socket::Tls(Box::new(stream)))
    }

    pub(super) fn unix(stream: UnixStream) -> Self {
        Self::new(stream)
    }

    fn over(socket: Socket) -> Self {
        Self {
            socket,
            unread: BytesMut::new(),
            unwritten: BytesMut::new(),
            write_len: None,
            automatic: Automatic { settings: true, pings: true, windows: true },
            decoder: Decoder::new(),
            block: None,
            streams: BTreeMap::new(),
            outgoing: Outgoing::new(),
            unacknowledged: 0,
            log: Vec::new(),
        }
    }

    /// Reads the preface and the client's SETTINGS, sends `settings`, and acknowledges the client's.
    ///
    /// # Errors
    ///
    /// If the connection breaks, or the client sends something else.
    pub async fn handshake(&mut self, settings: &[(u16, u32)]) -> io::Result<()> {
        self.push_settings(settings);
        self.read_preface().await?;
        if self.automatic.settings {
            self.push(&Frame::settings_ack());
        }
        self.flush().await
    }

    /// Reads the preface and the client's SETTINGS, and never sends or acknowledges any.
    ///
    /// # Errors
    ///
    /// If the connection breaks, or the client sends something else.
    pub async fn handshake_silent(&mut self) -> io::Result<()> {
        self.automatic.settings = false;
        self.read_preface().await
    }

    async fn read_preface(&mut self) -> io::Result<()> {
        while self.unread.len() < PREFACE.len() {
            self.fill().await?;
        }
        if !self.unread.starts_with(PREFACE) {
            return Err(invalid("the client's preface is not HTTP/2's"));
        }
        self.unread.advance(PREFACE.len());
        let frame = self.next_frame().await?;
        if frame.kind != FrameKind::Settings || frame.has(flag::ACK) {
            return Err(invalid("the client's first frame is not SETTINGS"));
        }
        Ok(())
    }

    /// Leaves the client's later SETTINGS unacknowledged.
    pub fn ignore_settings(&mut self) {
        self.automatic.settings = false;
    }

    /// Leaves the client's PINGs unanswered.
    pub fn ignore_pings(&mut self) {
        self.automatic.pings = false;
    }

    /// Gives the client no new window for the DATA that it sends.
    pub fn hold_windows(&mut self) {
        self.automatic.windows = false;
    }

    /// Splits all that is written from now on into writes of `len` bytes, each flushed on its own.
    ///
    /// # Panics
    ///
    /// If `len` is 0.
    pub fn split_writes(&mut self, len: usize) {
        assert!(len > 0, "a write has at least one byte");
        self.write_len = Some(len);
    }

    /// Splits header blocks into HEADERS and CONTINUATIONs of `len` bytes each.
    ///
    /// # Panics
    ///
    /// If `len` is 0.
    pub fn split_headers(&mut self, len: usize) {
        assert!(len > 0, "a fragment has at least one byte");
        self.outgoing.header_fragment = len;
    }

    /// Every frame that the client has sent so far, its first SETTINGS included.
    pub fn log(&self) -> &[Frame] {
        &self.log
    }

    /// The next frame, without answering it: to acknowledge a PING, for example, is left to the script.
    ///
    /// The connection learns from it all the same, so that calls and windows stay right.
    ///
    /// # Errors
    ///
    /// If the connection breaks, or a header block is invalid.
    pub async fn next_frame(&mut self) -> io::Result<Frame> {
        let frame = loop {
            if let Some(frame) = Frame::decode(&mut self.unread) {
                break frame;
            }
            self.fill().await?;
        };
        self.log.push(frame.clone());
        self.outgoing.observe(&frame);
        self.observe(&frame)?;
        Ok(frame)
    }

    /// Takes one frame, answers it, and sends what it allows.
    pub(super) async fn step(&mut self) -> io::Result<Frame> {
        self.flush().await?;
        let frame = self.next_frame().await?;
        self.answer(&frame);
        self.flush().await?;
        Ok(frame)
    }

    fn answer(&mut self, frame: &Frame) {
        match frame.kind {
            FrameKind::Settings if !frame.has(flag::ACK) && self.automatic.settings => {
                self.push(&Frame::settings_ack());
            }
            FrameKind::Ping if !frame.has(flag::ACK) && self.automatic.pings => {
                self.push(&Frame::ping_ack(frame.payload.clone()));
            }
            FrameKind::Data if !frame.payload.is_empty() && self.automatic.windows => {
                // A payload's length has 24 bits.
                let increment = frame.payload.len() as u32;
                self.push(&Frame::window_update(0, increment));
                if !frame.has(flag::END_STREAM) {
                    self.push(&Frame::window_update(frame.stream, increment));
                }
            }
            _ => {}
        }
    }

    /// Waits for more bytes and returns all that have come and were not taken yet.
    ///
    /// For clients that do not speak HTTP/2 to this connection; frames are taken from the same bytes.
    ///
    /// # Errors
    ///
    /// If the connection breaks.
    pub async fn read_raw(&mut self) -> io::Result<BytesMut> {
        self.fill().await?;
        Ok(self.unread.split())
    }

    async fn fill(&mut self) -> io::Result<()> {
        match self.socket.stream().read_buf(&mut self.unread).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// Writes any bytes, at once and regardless of flow control.
    ///
    /// # Errors
    ///
    /// If the connection breaks.
    pub async fn raw(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.unwritten.extend_from_slice(bytes.as_ref());
        self.flush().await
    }

    /// Writes any frame, at once and regardless of flow control.
    ///
    /// # Errors
    ///
    /// If the connection breaks.
    pub async fn send_frame(&mut self, frame: &Frame) -> io::Result<()> {
        self.push(frame);
        self.flush().await
    }

    pub(super) fn push_settings(&mut self, settings: &[(u16, u32)]) {
        self.unacknowledged += 1;
        self.push(&Frame::settings(settings));
    }

    pub(super) fn push(&mut self, frame: &Frame) {
        frame.encode_into(&mut self.unwritten);
    }

    /// Writes what was pushed and what the windows allow of what waits.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        for frame in self.outgoing.take_ready() {
            self.push(&frame);
        }
        let stream = self.socket.stream();
        while !self.unwritten.is_empty() {
            let len = self.write_len.unwrap_or(usize::MAX).min(self.unwritten.len());
            let written = stream.write(&self.unwritten[..len]).await?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.unwritten.advance(written);
            if self.write_len.is_some() {
                stream.flush().await?;
                // Lets a client on the same runtime see each piece on its own.
                tokio::task::yield_now().await;
            }
        }
        stream.flush().await
    }

    /// Closes the connection with FIN (below TLS, after its closing alert).
    ///
    /// # Errors
    ///
    /// If the connection has broken already.
    pub async fn close(mut self) -> io::Result<()> {
        self.flush().await?;
        let stream = self.socket.stream();
        stream.shutdown().await?;
        // The kernel answers a close over unread bytes with RST, so read what has arrived.
        poll_fn(|context| {
            let mut bytes = [0; 4096];
            loop {
                let mut unread = ReadBuf::new(&mut bytes);
                match Pin::new(&mut *stream).poll_read(context, &mut unread) {
                    Poll::Ready(Ok(())) if !unread.filled().is_empty() => {}
                    _ => return Poll::Ready(Ok(())),
                }
            }
        })
        .await
    }

    /// Ends the connection with RST; a transport that has none just closes.
    ///
    /// # Errors
    ///
    /// If the socket cannot be told to.
    pub fn reset(self) -> io::Result<()> {
        self.socket.tcp().map_or(Ok(()), TcpStream::set_zero_linger)
    }
}

/// An error about what the client sent.
pub(super) fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
