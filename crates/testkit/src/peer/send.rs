//! Responses: headers, messages, trailers, and the frames that end streams and connections.

use std::io;

use bytes::Bytes;

use super::connection::Connection;
use super::frame::{Frame, flag};
use super::hpack;
use super::outgoing::Part;
use super::request::grpc_message;

/// The headers before a gRPC response's messages.
const RESPONSE_HEADERS: [(&str, &str); 2] =
    [(":status", "200"), ("content-type", "application/grpc")];

impl Connection {
    /// Answers a call with one message and status OK: HEADERS, DATA and trailers.
    ///
    /// # Errors
    ///
    /// If the connection breaks.
    pub async fn respond(&mut self, stream: u32, message: &[u8]) -> io::Result<()> {
        self.push_response(stream, message);
        self.drain(stream).await
    }

    /// Answers a call with a status alone: one HEADERS that ends the stream.
    ///
    /// # Errors
    ///
    /// If the connection breaks.
    pub async fn respond_status(
        &mut self,
        stream: u32,
        code: u32,
        message: &str,
    ) -> io::Result<()> {
        self.push_status(stream, code, message);
        self.drain(stream).await
    }

    /// Sends the headers of a successful gRPC response: messages follow.
    ///
    /// # Errors
    ///
    /// If the connection breaks.
    pub async fn start_response(&mut self, stream: u32) -> io::Result<()> {
        self.send_headers(stream, &RESPONSE_HEADERS).await
    }

    /// Sends one message, with its prefix, as DATA.
    ///
    /// # Errors
    ///
    /// If the connection breaks.
    pub async fn send_message(&mut self, stream: u32, message: &[u8]) -> io::Result<()> {
        self.send_data(stream, grpc_message(message)).await
    }

    /// Sends trailers with a status, which ends the stream.
    ///
    /// # Errors
    ///
    /// If the connection breaks.
    pub async fn finish_response(
        &mut self,
        stream: u32,
        code: u32,
        message: &str,
    ) -> io::Result<()> {
        self.push_status_trailers(stream, code, message);
        self.drain(stream).await
    }

    /// Sends HEADERS that leave the stream open.
    ///
    /// # Errors
    ///
    /// If the connection breaks.
    pub async fn send_headers(&mut self, stream: u32, headers: &[(&str, &str)]) -> io::Result<()> {
        self.push_headers(stream, headers, 0);
        self.drain(stream).await
    }

    /// Sends HEADERS that end the stream: trailers, or a response without a body.
    ///
    /// # Errors
    ///
    /// If the connection breaks.
    pub async fn send_trailers(&mut self, stream: u32, headers: &[(&str, &str)]) -> io::Result<()> {
        self.push_headers(stream, headers, flag::END_STREAM);
        self.drain(stream).await
    }

    /// Sends DATA as the client's windows allow, and waits until all is sent or the client has reset the stream.
    ///
    /// # Errors
    ///
    /// If the connection breaks.
    pub async fn send_data(&mut self, stream: u32, bytes: impl Into<Bytes>) -> io::Result<()> {
        self.outgoing.push(stream, Part::Data(bytes.into()));
        self.drain(stream).await
    }

    /// Ends the stream with an empty DATA.
    ///
    /// # Errors
    ///
    /// If the connection breaks.
    pub async fn end_stream(&mut self, stream: u32) -> io::Result<()> {
        self.outgoing.push(stream, Part::End);
        self.drain(stream).await
    }

    /// Sends RST_STREAM at once.
    ///
    /// # Errors
    ///
    /// If the connection breaks.
    pub async fn rst(&mut self, stream: u32, code: u32) -> io::Result<()> {
        self.send_frame(&Frame::rst_stream(stream, code)).await
    }

    /// Sends GOAWAY.
    ///
    /// # Errors
    ///
    /// If the connection breaks.
    pub async fn goaway(&mut self, last_stream: u32, code: u32, debug: &[u8]) -> io::Result<()> {
        self.send_frame(&Frame::go_away(last_stream, code, debug)).await
    }

    /// Sends PING and waits for the client's answer to it.
    ///
    /// # Errors
    ///
    /// If the connection breaks.
    pub async fn ping(&mut self, opaque: [u8; 8]) -> io::Result<()> {
        self.send_frame(&Frame::ping(opaque)).await?;
        let answer = Frame::ping_ack(opaque.to_vec());
        self.wait_frame(|frame| *frame == answer).await.map(drop)
    }

    /// Sends SETTINGS and waits until the client has acknowledged them, and those before.
    ///
    /// # Errors
    ///
    /// If the connection breaks.
    pub async fn settings(&mut self, settings: &[(u16, u32)]) -> io::Result<()> {
        self.push_settings(settings);
        while self.unacknowledged > 0 {
            self.step().await?;
        }
        Ok(())
    }

    pub(super) fn push_response(&mut self, stream: u32, message: &[u8]) {
        self.push_message(stream, message);
        self.push_status_trailers(stream, 0, "");
    }

    pub(super) fn push_message(&mut self, stream: u32, message: &[u8]) {
        self.push_response_headers(stream);
        self.outgoing.push(stream, Part::Data(grpc_message(message)));
    }

    pub(super) fn push_response_headers(&mut self, stream: u32) {
        self.push_headers(stream, &RESPONSE_HEADERS, 0);
    }

    pub(super) fn push_status(&mut self, stream: u32, code: u32, message: &str) {
        let status = [("grpc-status", &*code.to_string()), ("grpc-message", &*percent(message))];
        let headers = [&RESPONSE_HEADERS[..], &status].concat();
        self.push_headers(stream, &headers, flag::END_STREAM);
    }

    pub(super) fn push_status_trailers(&mut self, stream: u32, code: u32, message: &str) {
        let status = [("grpc-status", &*code.to_string()), ("grpc-message", &*percent(message))];
        self.push_headers(stream, &status, flag::END_STREAM);
    }

    pub(super) fn push_headers(&mut self, stream: u32, headers: &[(&str, &str)], flags: u8) {
        self.outgoing.push(stream, Part::Headers { block: hpack::encode(headers), flags });
    }

    /// Writes until nothing waits on `stream`, and takes the client's frames meanwhile.
    async fn drain(&mut self, stream: u32) -> io::Result<()> {
        self.flush().await?;
        while self.outgoing.is_waiting(stream) {
            self.step().await?;
        }
        Ok(())
    }
}

/// Encodes a `grpc-message` as gRPC asks for.
fn percent(message: &str) -> String {
    let mut encoded = String::with_capacity(message.len());
    for byte in message.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}
