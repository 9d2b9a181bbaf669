//! Frames (RFC 9113, sections 4 and 6): what stands in nine bytes of head and in the payload behind them, and how it is written.
//!
//! `head.rs` knows heads, `payload.rs` takes payloads apart, `write.rs` appends frames to a buffer, `error_code.rs` has
//! the codes of resets and farewells. What a frame means for a stream or a connection is not known here: each
//! function looks at one frame alone. The machine in `client/` calls it, and asks [`Head::check`] of every head first.

mod error_code;
mod head;
mod payload;
#[cfg(test)]
mod tests;
mod write;

pub use error_code::ErrorCode;
pub use head::{Head, Kind, StreamId, flag};
pub use payload::{
    GoAway, Malformed, Scope, Setting, Settings, content, go_away, ping, reset_stream, settings,
    window_update,
};
pub use write::{
    write_data_head, write_go_away, write_headers, write_ping, write_pong, write_reset_stream,
    write_settings, write_settings_ack, write_window_update,
};

/// What a client sends before its first frame.
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The window of a connection, and of a stream as long as no setting says otherwise.
pub const DEFAULT_WINDOW: u32 = 65_535;

/// No window may become larger.
pub const MAX_WINDOW: u32 = (1 << 31) - 1;

/// The longest payload as long as no setting says otherwise; no setting may be lower.
pub const DEFAULT_MAX_FRAME: u32 = 1 << 14;

/// No setting allows longer payloads.
pub const LARGEST_MAX_FRAME: u32 = (1 << 24) - 1;
