//! What a client announces to its peer, and the bounds that it keeps to itself.

/// What a connection announces to the peer, and its own bounds. Values outside of what HTTP/2 allows are moved to the
/// nearest that it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// Bytes that the peer may send on one stream before they are released: 65 535 to 2³¹ − 1.
    pub stream_window: u32,
    /// Bytes that the peer may send on the connection before they are released: 65 535 to 2³¹ − 1.
    pub connection_window: u32,
    /// The longest payload of a frame that is received: 16 384 to 2²⁴ − 1 bytes.
    pub max_frame: u32,
    /// The longest list of fields that is received, as HTTP/2 counts it: names, values, and 32 bytes for each field.
    pub max_header_list: u32,
    /// Streams open at once, however many more the peer allows.
    pub max_streams: usize,
    /// Streams open at once until the peer has said how many it allows.
    pub streams_at_first: usize,
    /// Unsent bytes of a stream above which its owner should wait for [`Connection::next_writable`].
    ///
    /// [`Connection::next_writable`]: super::Connection::next_writable
    pub unsent_mark: usize,
    /// Bytes waiting for the socket above which no stream is opened.
    pub max_output: usize,
}

impl Options {
    pub(super) fn within_bounds(self) -> Self {
        const WINDOW: (u32, u32) = (65_535, (1 << 31) - 1);
        Self {
            stream_window: self.stream_window.clamp(WINDOW.0, WINDOW.1),
            connection_window: self.connection_window.clamp(WINDOW.0, WINDOW.1),
            max_frame: self.max_frame.clamp(1 << 14, (1 << 24) - 1),
            ..self
        }
    }
}

impl Default for Options {
    /// Windows of 2 MiB for a stream and 2³¹ − 1 for the connection, frames of 1 MiB, 64 KiB of fields; 100 streams
    /// until the peer says otherwise.
    fn default() -> Self {
        Self {
            stream_window: 2 << 20,
            connection_window: (1 << 31) - 1,
            max_frame: 1 << 20,
            max_header_list: 64 << 10,
            max_streams: 1 << 20,
            streams_at_first: 100,
            unsent_mark: 64 << 10,
            max_output: 16 << 20,
        }
    }
}
