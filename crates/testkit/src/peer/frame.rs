//! HTTP/2 frames (RFC 9113, section 4): what is on the wire, and nothing of what it means to a connection.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// The length of the header before each frame's payload.
pub const HEADER_LEN: usize = 9;
/// What a client sends first.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Flags, whose meaning depends on the kind of frame.
pub mod flag {
    /// Nothing follows on the stream (DATA, HEADERS).
    pub const END_STREAM: u8 = 0x1;
    /// The frame acknowledges another (SETTINGS, PING).
    pub const ACK: u8 = 0x1;
    /// The header block is complete (HEADERS, CONTINUATION).
    pub const END_HEADERS: u8 = 0x4;
    /// The payload is padded (DATA, HEADERS).
    pub const PADDED: u8 = 0x8;
    /// The payload starts with a priority (HEADERS).
    pub const PRIORITY: u8 = 0x20;
}

/// Identifiers of settings.
pub mod setting {
    /// The size of the HPACK dynamic table.
    pub const HEADER_TABLE_SIZE: u16 = 0x1;
    /// Whether a server may push.
    pub const ENABLE_PUSH: u16 = 0x2;
    /// How many streams the other side may have open.
    pub const MAX_CONCURRENT_STREAMS: u16 = 0x3;
    /// The flow-control window that streams start with.
    pub const INITIAL_WINDOW_SIZE: u16 = 0x4;
    /// The largest payload.
    pub const MAX_FRAME_SIZE: u16 = 0x5;
    /// The largest list of headers.
    pub const MAX_HEADER_LIST_SIZE: u16 = 0x6;
}

/// Error codes of RST_STREAM and GOAWAY.
pub mod code {
    /// A graceful end.
    pub const NO_ERROR: u32 = 0x0;
    /// The other side broke the protocol.
    pub const PROTOCOL_ERROR: u32 = 0x1;
    /// This side failed.
    pub const INTERNAL_ERROR: u32 = 0x2;
    /// The other side ignored flow control.
    pub const FLOW_CONTROL_ERROR: u32 = 0x3;
    /// A frame came for a stream that had ended.
    pub const STREAM_CLOSED: u32 = 0x5;
    /// The stream was not processed at all.
    pub const REFUSED_STREAM: u32 = 0x7;
    /// The stream is no longer needed.
    pub const CANCEL: u32 = 0x8;
    /// The header compression state is broken.
    pub const COMPRESSION_ERROR: u32 = 0x9;
    /// The other side asks for too much.
    pub const ENHANCE_YOUR_CALM: u32 = 0xb;
}

/// The kind of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are the RFC's")]
pub enum FrameKind {
    Data,
    Headers,
    Priority,
    RstStream,
    Settings,
    PushPromise,
    Ping,
    GoAway,
    WindowUpdate,
    Continuation,
    /// One that RFC 9113 does not define.
    Unknown(u8),
}

impl FrameKind {
    const DEFINED: [Self; 10] = [
        Self::Data,
        Self::Headers,
        Self::Priority,
        Self::RstStream,
        Self::Settings,
        Self::PushPromise,
        Self::Ping,
        Self::GoAway,
        Self::WindowUpdate,
        Self::Continuation,
    ];

    /// The kind that `byte` stands for.
    pub fn from_byte(byte: u8) -> Self {
        Self::DEFINED.get(usize::from(byte)).copied().unwrap_or(Self::Unknown(byte))
    }

    /// The byte that stands for this kind.
    pub fn to_byte(self) -> u8 {
        match self {
            Self::Data => 0,
            Self::Headers => 1,
            Self::Priority => 2,
            Self::RstStream => 3,
            Self::Settings => 4,
            Self::PushPromise => 5,
            Self::Ping => 6,
            Self::GoAway => 7,
            Self::WindowUpdate => 8,
            Self::Continuation => 9,
            Self::Unknown(byte) => byte,
        }
    }
}

/// One frame; nothing about it needs to be valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What kind of frame it is.
    pub kind: FrameKind,
    /// See [`flag`].
    pub flags: u8,
    /// The stream, or 0 for the connection.
    pub stream: u32,
    /// What follows the header.
    pub payload: Bytes,
}

impl Frame {
    /// Any frame at all.
    pub fn new(kind: FrameKind, flags: u8, stream: u32, payload: impl Into<Bytes>) -> Self {
        Self { kind, flags, stream, payload: payload.into() }
    }

    /// DATA.
    pub fn data(stream: u32, flags: u8, payload: impl Into<Bytes>) -> Self {
        Self::new(FrameKind::Data, flags, stream, payload)
    }

    /// HEADERS with a part of an encoded header block.
    pub fn headers(stream: u32, flags: u8, block: impl Into<Bytes>) -> Self {
        Self::new(FrameKind::Headers, flags, stream, block)
    }

    /// CONTINUATION with a part of an encoded header block.
    pub fn continuation(stream: u32, flags: u8, block: impl Into<Bytes>) -> Self {
        Self::new(FrameKind::Continuation, flags, stream, block)
    }

    /// RST_STREAM.
    pub fn rst_stream(stream: u32, code: u32) -> Self {
        Self::new(FrameKind::RstStream, 0, stream, code.to_be_bytes().to_vec())
    }

    /// SETTINGS, each as an identifier from [`setting`] and a value.
    pub fn settings(settings: &[(u16, u32)]) -> Self {
        let mut payload = BytesMut::with_capacity(settings.len() * 6);
        for &(id, value) in settings {
            payload.put_u16(id);
            payload.put_u32(value);
        }
        Self::new(FrameKind::Settings, 0, 0, payload)
    }

    /// The acknowledgement of SETTINGS.
    pub fn settings_ack() -> Self {
        Self::new(FrameKind::Settings, flag::ACK, 0, Bytes::new())
    }

    /// PING.
    pub fn ping(opaque: [u8; 8]) -> Self {
        Self::new(FrameKind::Ping, 0, 0, opaque.to_vec())
    }

    /// The acknowledgement of PING.
    pub fn ping_ack(opaque: impl Into<Bytes>) -> Self {
        Self::new(FrameKind::Ping, flag::ACK, 0, opaque)
    }

    /// GOAWAY.
    pub fn go_away(last_stream: u32, code: u32, debug: &[u8]) -> Self {
        let mut payload = BytesMut::with_capacity(8 + debug.len());
        payload.put_u32(last_stream);
        payload.put_u32(code);
        payload.put_slice(debug);
        Self::new(FrameKind::GoAway, 0, 0, payload)
    }

    /// WINDOW_UPDATE.
    pub fn window_update(stream: u32, increment: u32) -> Self {
        Self::new(FrameKind::WindowUpdate, 0, stream, increment.to_be_bytes().to_vec())
    }

    /// Whether all of `flags` are set.
    pub fn has(&self, flags: u8) -> bool {
        self.flags & flags == flags
    }

    /// The settings in SETTINGS; an incomplete last one is left out.
    pub fn settings_values(&self) -> Vec<(u16, u32)> {
        let mut payload = self.payload.clone();
        let mut settings = Vec::new();
        while self.kind == FrameKind::Settings && payload.remaining() >= 6 {
            settings.push((payload.get_u16(), payload.get_u32()));
        }
        settings
    }

    /// The error code in RST_STREAM or GOAWAY.
    pub fn error_code(&self) -> Option<u32> {
        match self.kind {
            FrameKind::RstStream => self.u32_at(0),
            FrameKind::GoAway => self.u32_at(4),
            _ => None,
        }
    }

    /// The increment in WINDOW_UPDATE.
    pub fn increment(&self) -> Option<u32> {
        (self.kind == FrameKind::WindowUpdate).then(|| self.u32_at(0)).flatten()
    }

    /// The payload of DATA or HEADERS without padding and priority, or `None` if these do not fit into it.
    pub fn content(&self) -> Option<Bytes> {
        let mut content = self.payload.clone();
        let padding =
            if self.has(flag::PADDED) { usize::from(content.try_get_u8().ok()?) } else { 0 };
        if self.kind == FrameKind::Headers && self.has(flag::PRIORITY) {
            if content.len() < 5 {
                return None;
            }
            content.advance(5);
        }
        content.truncate(content.len().checked_sub(padding)?);
        Some(content)
    }

    /// The bytes on the wire.
    pub fn encode(&self) -> Bytes {
        let mut encoded = BytesMut::with_capacity(HEADER_LEN + self.payload.len());
        self.encode_into(&mut encoded);
        encoded.freeze()
    }

    /// Appends the bytes on the wire.
    ///
    /// # Panics
    ///
    /// If the payload is longer than a frame's length field can say.
    pub fn encode_into(&self, buffer: &mut BytesMut) {
        assert!(self.payload.len() < 1 << 24, "a payload's length has 24 bits");
        buffer.put_uint(self.payload.len() as u64, 3);
        buffer.put_u8(self.kind.to_byte());
        buffer.put_u8(self.flags);
        buffer.put_u32(self.stream);
        buffer.put_slice(&self.payload);
    }

    /// Takes the first frame off `buffer`, or nothing if it is not yet complete.
    pub fn decode(buffer: &mut BytesMut) -> Option<Self> {
        let mut header = buffer.get(..HEADER_LEN)?;
        let len = usize::try_from(header.get_uint(3)).ok()?;
        let kind = FrameKind::from_byte(header.get_u8());
        let flags = header.get_u8();
        let stream = header.get_u32() & 0x7fff_ffff;
        if buffer.len() < HEADER_LEN + len {
            return None;
        }
        buffer.advance(HEADER_LEN);
        Some(Self { kind, flags, stream, payload: buffer.split_to(len).freeze() })
    }

    fn u32_at(&self, offset: usize) -> Option<u32> {
        self.payload.get(offset..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
    }
}
