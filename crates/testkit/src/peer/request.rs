//! A received call.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// The length of the prefix of a gRPC message: one byte for compression, four for the length.
pub(super) const PREFIX_LEN: usize = 5;

/// Puts gRPC's prefix (uncompressed, length) before a message.
pub fn grpc_message(message: &[u8]) -> Bytes {
    let len = u32::try_from(message.len()).expect("a message's length has 32 bits");
    let mut framed = BytesMut::with_capacity(PREFIX_LEN + message.len());
    framed.put_u8(0);
    framed.put_u32(len);
    framed.put_slice(message);
    framed.freeze()
}

/// Takes the first whole gRPC message off `buffer`, without its prefix.
pub(super) fn take_message<B: Buf>(buffer: &mut B) -> Option<Bytes> {
    let mut prefix = buffer.chunk().get(1..PREFIX_LEN)?;
    let len = usize::try_from(prefix.get_u32()).ok()?;
    if buffer.remaining() < PREFIX_LEN + len {
        return None;
    }
    buffer.advance(PREFIX_LEN);
    Some(buffer.copy_to_bytes(len))
}

/// A call that a client made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The HTTP/2 stream.
    pub stream_id: u32,
    /// The `:path`, such as `/etcdserverpb.KV/Range`.
    pub path: String,
    /// The `:authority`.
    pub authority: String,
    /// All headers, pseudo-headers included, in the order in which they came.
    pub headers: Vec<(String, Vec<u8>)>,
    /// What was received of the body: gRPC messages with their prefixes.
    pub body: Bytes,
}

impl Request {
    pub(super) fn new(stream_id: u32, headers: Vec<(String, Vec<u8>)>, body: Bytes) -> Self {
        let mut request =
            Self { stream_id, path: String::new(), authority: String::new(), headers, body };
        request.path = request.header(":path").unwrap_or_default().to_owned();
        request.authority = request.header(":authority").unwrap_or_default().to_owned();
        request
    }

    /// The first value of the header `name`, if there is one and it is UTF-8.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(key, _)| key == name)?;
        std::str::from_utf8(value).ok()
    }

    /// The first message without its prefix; empty if the body holds no whole message.
    pub fn message(&self) -> Bytes {
        take_message(&mut self.body.clone()).unwrap_or_default()
    }

    /// All whole messages without their prefixes.
    pub fn messages(&self) -> Vec<Bytes> {
        let mut body = self.body.clone();
        std::iter::from_fn(|| take_message(&mut body)).collect()
    }
}
