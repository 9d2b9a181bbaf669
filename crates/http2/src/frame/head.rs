//! The nine bytes before each payload.

use std::fmt;

use bytes::BytesMut;

use super::{ErrorCode, Malformed, Scope};

/// Bits of [`Head::flags`]. What a bit means depends on the kind of frame.
pub mod flag {
    /// DATA, HEADERS: the sender's side of the stream ends with it.
    pub const END_STREAM: u8 = 0x1;
    /// SETTINGS, PING: it is an answer.
    pub const ACK: u8 = 0x1;
    /// HEADERS, CONTINUATION: the block of fields is complete.
    pub const END_HEADERS: u8 = 0x4;
    /// DATA, HEADERS: the payload is padded.
    pub const PADDED: u8 = 0x8;
    /// HEADERS: five bytes about priority stand before the block.
    pub const PRIORITY: u8 = 0x20;
}

/// The number of a stream; 31 bits. Zero is the connection itself, and a client's own are odd.
///
/// ```
/// use etcdkit_http2::frame::StreamId;
///
/// assert_eq!(StreamId::new(0x8000_0003).get(), 3, "the reserved bit is ignored");
/// assert!(StreamId::CONNECTION.is_connection());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(u32);

impl StreamId {
    /// Not a stream: what stands in frames that concern the whole connection.
    pub const CONNECTION: Self = Self(0);
    /// The highest there can be.
    pub const MAX: Self = Self(u32::MAX >> 1);

    /// The stream of that number, without the reserved bit.
    #[must_use]
    pub const fn new(number: u32) -> Self {
        Self(number & Self::MAX.0)
    }

    /// Its number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// Whether it stands for the connection.
    #[must_use]
    pub const fn is_connection(self) -> bool {
        self.0 == 0
    }

    /// Whether only a client may open it.
    #[must_use]
    pub const fn is_clients(self) -> bool {
        self.0 & 1 == 1
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A part of a body.
    Data,
    /// The start of a block of fields: a head, or trailers.
    Headers,
    /// A priority, which nobody heeds any more.
    Priority,
    /// The end of a stream before its time.
    ResetStream,
    /// Settings of the sender, or the answer to the receiver's.
    Settings,
    /// A response nobody asked for.
    PushPromise,
    /// A question whether the peer is there, or its answer.
    Ping,
    /// The sender takes no further streams.
    GoAway,
    /// Room for more bodies.
    WindowUpdate,
    /// More of a block of fields.
    Continuation,
    /// An extension, to be ignored.
    Other(u8),
}

impl Kind {
    const fn from_code(code: u8) -> Self {
        match code {
            0 => Self::Data,
            1 => Self::Headers,
            2 => Self::Priority,
            3 => Self::ResetStream,
            4 => Self::Settings,
            5 => Self::PushPromise,
            6 => Self::Ping,
            7 => Self::GoAway,
            8 => Self::WindowUpdate,
            9 => Self::Continuation,
            other => Self::Other(other),
        }
    }

    const fn code(self) -> u8 {
        match self {
            Self::Data => 0,
            Self::Headers => 1,
            Self::Priority => 2,
            Self::ResetStream => 3,
            Self::Settings => 4,
            Self::PushPromise => 5,
            Self::Ping => 6,
            Self::GoAway => 7,
            Self::WindowUpdate => 8,
            Self::Continuation => 9,
            Self::Other(code) => code,
        }
    }
}

/// What stands before a payload.
///
/// ```
/// use bytes::BytesMut;
/// use etcdkit_http2::frame::{Head, Kind, flag, write_pong};
///
/// let mut bytes = BytesMut::new();
/// write_pong(&mut bytes, *b"12345678");
/// let head = Head::peek(&bytes).expect("nine bytes are there");
/// assert_eq!((head.kind, head.length), (Kind::Ping, 8));
/// assert!(head.has(flag::ACK) && head.stream.is_connection());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// How many bytes of payload follow; 24 bits.
    pub length: usize,
    /// What it is.
    pub kind: Kind,
    /// See [`flag`].
    pub flags: u8,
    /// Which stream it concerns.
    pub stream: StreamId,
}

impl Head {
    /// How long a head is, in bytes.
    pub const LENGTH: usize = 9;

    /// The head at the start of the input; `None` if it is not there whole.
    #[must_use]
    pub fn peek(input: &[u8]) -> Option<Self> {
        input.first_chunk().map(Self::parse)
    }

    /// The head in these bytes. Any bytes are one; [`check`](Self::check) says whether it may be.
    #[must_use]
    pub const fn parse(bytes: &[u8; Self::LENGTH]) -> Self {
        let &[l0, l1, l2, kind, flags, s0, s1, s2, s3] = bytes;
        Self {
            length: u32::from_be_bytes([0, l0, l1, l2]) as usize,
            kind: Kind::from_code(kind),
            flags,
            stream: StreamId::new(u32::from_be_bytes([s0, s1, s2, s3])),
        }
    }

    /// Whether the flag is set.
    #[must_use]
    pub const fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// What can be known to be wrong before the payload is there: it is longer than announced to the peer, or the kind of
    /// frame cannot be about this stream.
    ///
    /// # Errors
    ///
    /// All are errors of the connection: a frame of too great a length cannot be passed over within bounds.
    pub const fn check(self, max_frame: u32) -> Result<(), Malformed> {
        if self.length > max_frame as usize {
            let what = "a frame is longer than SETTINGS_MAX_FRAME_SIZE";
            return Err(Malformed::new(ErrorCode::FRAME_SIZE_ERROR, Scope::Connection, what));
        }
        let of_connection = self.stream.is_connection();
        let what = match self.kind {
            Kind::Settings if !of_connection => "SETTINGS on a stream",
            Kind::Ping if !of_connection => "PING on a stream",
            Kind::GoAway if !of_connection => "GOAWAY on a stream",
            Kind::Data if of_connection => "DATA without a stream",
            Kind::Headers if of_connection => "HEADERS without a stream",
            Kind::Priority if of_connection => "PRIORITY without a stream",
            Kind::ResetStream if of_connection => "RST_STREAM without a stream",
            Kind::PushPromise if of_connection => "PUSH_PROMISE without a stream",
            Kind::Continuation if of_connection => "CONTINUATION without a stream",
            _ => return Ok(()),
        };
        Err(Malformed::new(ErrorCode::PROTOCOL_ERROR, Scope::Connection, what))
    }

    /// Appends it.
    pub fn write(self, out: &mut BytesMut) {
        out.extend_from_slice(&self.to_bytes());
    }

    /// Its nine bytes. Of the length the lower 24 bits count.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; Self::LENGTH] {
        let [.., l0, l1, l2] = self.length.to_be_bytes();
        let [s0, s1, s2, s3] = self.stream.get().to_be_bytes();
        [l0, l1, l2, self.kind.code(), self.flags, s0, s1, s2, s3]
    }
}
