//! Flow control of what a connection sends: a machine without I/O that says which frames may go now.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::frame::{Frame, FrameKind, flag, setting};

/// The window that streams and the connection start with.
const INITIAL_WINDOW: i64 = 65_535;
/// The largest payload that every client takes.
const MAX_FRAME: usize = 16_384;

/// Something that is sent on a stream, in its turn.
#[derive(Clone, Debug)]
pub(super) enum Part {
    /// DATA, in as many frames as the windows ask for.
    Data(Bytes),
    /// An encoded header block.
    Headers { block: Bytes, flags: u8 },
    /// DATA that is empty and ends the stream.
    End,
}

#[derive(Clone, Debug)]
struct Stream {
    window: i64,
    parts: VecDeque<Part>,
}

/// What waits to be sent, and how much of it the client allows.
#[derive(Debug)]
pub(super) struct Outgoing {
    window: i64,
    initial_window: i64,
    /// The largest part of a header block in one frame.
    pub(super) header_fragment: usize,
    streams: BTreeMap<u32, Stream>,
}

impl Outgoing {
    pub(super) fn new() -> Self {
        Self {
            window: INITIAL_WINDOW,
            initial_window: INITIAL_WINDOW,
            header_fragment: MAX_FRAME,
            streams: BTreeMap::new(),
        }
    }

    pub(super) fn push(&mut self, stream: u32, part: Part) {
        self.stream(stream).parts.push_back(part);
    }

    /// Whether something waits on `stream`.
    pub(super) fn is_waiting(&self, stream: u32) -> bool {
        self.streams.get(&stream).is_some_and(|stream| !stream.parts.is_empty())
    }

    /// Learns from a frame that the client sent.
    pub(super) fn observe(&mut self, frame: &Frame) {
        match frame.kind {
            FrameKind::Settings => {
                for (id, value) in frame.settings_values() {
                    if id == setting::INITIAL_WINDOW_SIZE {
                        let change = i64::from(value) - self.initial_window;
                        self.initial_window += change;
                        for stream in self.streams.values_mut() {
                            stream.window += change;
                        }
                    }
                }
            }
            FrameKind::WindowUpdate => {
                let increment = i64::from(frame.increment().unwrap_or(0));
                if frame.stream == 0 {
                    self.window += increment;
                } else {
                    self.stream(frame.stream).window += increment;
                }
            }
            FrameKind::RstStream => {
                // What waits is not wanted any more; a script may still send more, and break the protocol.
                self.stream(frame.stream).parts.clear();
            }
            _ => {}
        }
    }

    /// Takes what may be sent now.
    pub(super) fn take_ready(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        for (&id, stream) in &mut self.streams {
            while let Some(part) = stream.parts.front_mut() {
                match part {
                    Part::Data(bytes) if !bytes.is_empty() => {
                        let allowed = usize::try_from(self.window.min(stream.window)).unwrap_or(0);
                        let len = bytes.len().min(allowed).min(MAX_FRAME);
                        if len == 0 {
                            break;
                        }
                        self.window -= len as i64;
                        stream.window -= len as i64;
                        frames.push(Frame::data(id, 0, bytes.split_to(len)));
                        continue;
                    }
                    Part::Data(_) => {}
                    Part::End => frames.push(Frame::data(id, flag::END_STREAM, Bytes::new())),
                    Part::Headers { block, flags } => {
                        frames.extend(header_frames(id, *flags, block, self.header_fragment));
                    }
                }
                stream.parts.pop_front();
            }
        }
        frames
    }

    fn stream(&mut self, id: u32) -> &mut Stream {
        let window = self.initial_window;
        self.streams.entry(id).or_insert_with(|| Stream { window, parts: VecDeque::new() })
    }
}

/// HEADERS and as many CONTINUATIONs as fragments of this length need.
fn header_frames(id: u32, flags: u8, block: &Bytes, fragment: usize) -> Vec<Frame> {
    let mut rest = block.clone();
    let first = rest.split_to(fragment.min(rest.len()));
    let mut frames = vec![Frame::headers(id, flags, first)];
    while !rest.is_empty() {
        let next = rest.split_to(fragment.min(rest.len()));
        frames.push(Frame::continuation(id, 0, next));
    }
    if let Some(last) = frames.last_mut() {
        last.flags |= flag::END_HEADERS;
    }
    frames
}
