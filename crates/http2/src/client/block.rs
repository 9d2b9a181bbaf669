//! Blocks of fields: those that come in pieces, and what an answer's fields may be.

use std::fmt;

use bytes::BytesMut;

use super::error::Error;
use super::events::{End, Part};
use super::options::Options;
use crate::frame::{DEFAULT_MAX_FRAME, ErrorCode, StreamId};
use crate::hpack::Decoded;

/// A block that goes on in CONTINUATION frames.
pub(super) struct Gathered {
    pub(super) id: StreamId,
    /// Whether the answer ends with it.
    pub(super) end: bool,
    pub(super) block: BytesMut,
    frames: usize,
}

impl fmt::Debug for Gathered {
    /// Without the fields: one may be a token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, frames, block, .. } = self;
        let mut debug = f.debug_struct("Gathered");
        debug
            .field("id", id)
            .field("frames", frames)
            .field("bytes", &block.len())
            .finish_non_exhaustive()
    }
}

impl Gathered {
    pub(super) fn new(id: StreamId, end: bool) -> Self {
        Self { id, end, block: BytesMut::new(), frames: 0 }
    }

    /// Takes the next piece. A list that is too long should end its stream alone, so its block is read for the sake of
    /// the table; but neither that nor empty frames go on for ever.
    pub(super) fn push(&mut self, piece: &[u8], options: &Options) -> Result<(), Error> {
        let most = (options.max_header_list as usize).saturating_mul(4).max(1 << 16);
        self.frames += 1;
        let too_many = self.frames > 65 + most / DEFAULT_MAX_FRAME as usize;
        if too_many || self.block.len() + piece.len() > most {
            let what = "a block of fields goes on and on in CONTINUATION frames";
            return Err(Error::new(ErrorCode::ENHANCE_YOUR_CALM, what));
        }
        self.block.extend_from_slice(piece);
        Ok(())
    }
}

/// What a block of fields was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Complete {
    /// A head that says that another follows.
    Interim,
    Part(Part),
}

/// Looks at the fields of one block as they come (RFC 9113, sections 8.2 and 8.3).
#[derive(Debug)]
pub(super) struct Check {
    part: Part,
    /// No field has come yet.
    first: bool,
    interim: bool,
    wrong: Option<&'static str>,
}

impl Check {
    pub(super) fn new(part: Part) -> Self {
        Self { part, first: true, interim: false, wrong: None }
    }

    /// Looks at one field. Returns whether the owner is to be told of it.
    pub(super) fn field(&mut self, name: &[u8], value: &[u8]) -> bool {
        let first = std::mem::replace(&mut self.first, false);
        if self.wrong.is_none() {
            self.wrong = match self.part {
                Part::Head if first => self.status(name, value),
                Part::Head | Part::Trailers => wrong_name(name),
            }
            .or_else(|| wrong_value(value));
        }
        self.wrong.is_none() && !self.interim
    }

    /// `:status` is the only pseudo-field that an answer has, and those come before all others.
    fn status(&mut self, name: &[u8], value: &[u8]) -> Option<&'static str> {
        if name != b":status" {
            return Some("the head does not begin with :status");
        }
        match value {
            b"101" => return Some("the status is 101, which HTTP/2 does not have"),
            [b'1', b'0'..=b'9', b'0'..=b'9'] => self.interim = true,
            [b'2'..=b'9', b'0'..=b'9', b'0'..=b'9'] => {}
            _ => return Some("the status is no number of three digits"),
        }
        None
    }

    /// What all of the block was; an error says how the stream ends.
    pub(super) fn complete(self, decoded: Decoded, end: bool) -> Result<Complete, End> {
        match (self.wrong, decoded) {
            (Some(wrong), _) => Err(End::Malformed(wrong)),
            (None, Decoded::TooLong) => Err(End::TooLong),
            (None, Decoded::Whole) => self.whole(end).map_err(End::Malformed),
        }
    }

    fn whole(self, end: bool) -> Result<Complete, &'static str> {
        match self.part {
            Part::Head if self.first => Err("the head has no :status"),
            Part::Head if self.interim && end => Err("it ends with an interim head"),
            Part::Head if self.interim => Ok(Complete::Interim),
            Part::Trailers if !end => Err("it goes on after its trailers"),
            part => Ok(Complete::Part(part)),
        }
    }
}

fn wrong_name(name: &[u8]) -> Option<&'static str> {
    match name {
        [] => Some("a field has no name"),
        [b':', ..] => Some("a pseudo-field stands where none may be"),
        b"connection" | b"keep-alive" | b"proxy-connection" | b"transfer-encoding" | b"upgrade" => {
            Some("it has a field that concerns an HTTP/1 connection")
        }
        name if name.iter().all(|byte| NAME[usize::from(*byte)]) => None,
        _ => Some("the name of a field has a character that none may have"),
    }
}

/// Blanks at the ends of a value are let pass, which the RFC forbids: a text in `grpc-message` may end in one, and to lose
/// the whole answer for that helps nobody.
fn wrong_value(value: &[u8]) -> Option<&'static str> {
    let wrong = value.iter().any(|byte| matches!(byte, 0 | b'\r' | b'\n'));
    wrong.then_some("the value of a field has a character that it may not have there")
}

/// What names of fields are made of: RFC 9110's tokens, in lower case.
const NAME: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = matches!(
            byte as u8,
            b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'0'..=b'9' | b'^'..=b'z' | b'|' | b'~'
        );
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    type Fields<'a> = &'a [(&'a str, &'a str)];
    /// A part, whether the answer ends with it, its fields, and what it is with how many of them told.
    type Case<'a> = (Part, bool, Fields<'a>, Result<(Complete, usize), &'static str>);

    fn check(part: Part, end: bool, fields: Fields<'_>) -> Result<(Complete, usize), End> {
        let mut check = Check::new(part);
        let told =
            fields.iter().filter(|(name, value)| check.field(name.as_bytes(), value.as_bytes()));
        let told = told.count();
        check.complete(Decoded::Whole, end).map(|complete| (complete, told))
    }

    #[test]
    fn what_an_answer_may_begin_and_end_with() {
        use Part::{Head, Trailers};
        let head = |told| Ok((Complete::Part(Head), told));
        let cases: [Case<'_>; 21] = [
            (Head, false, &[(":status", "200"), ("content-type", "application/grpc")], head(2)),
            (Head, true, &[(":status", "200"), ("grpc-status", "5")], head(2)),
            (Head, false, &[(":status", "100"), ("x", "told later")], Ok((Complete::Interim, 0))),
            (Head, true, &[(":status", "103")], Err("it ends with an interim head")),
            (
                Head,
                false,
                &[(":status", "101")],
                Err("the status is 101, which HTTP/2 does not have"),
            ),
            (Head, false, &[(":status", "20")], Err("the status is no number of three digits")),
            (Head, false, &[(":status", "2x0")], Err("the status is no number of three digits")),
            (Head, false, &[], Err("the head has no :status")),
            (
                Head,
                false,
                &[("a", ""), (":status", "200")],
                Err("the head does not begin with :status"),
            ),
            (Head, false, &[(":path", "/")], Err("the head does not begin with :status")),
            (
                Head,
                false,
                &[(":status", "200"), (":status", "200")],
                Err("a pseudo-field stands where none may be"),
            ),
            (
                Trailers,
                true,
                &[("grpc-status", "0"), ("grpc-message", "")],
                Ok((Complete::Part(Trailers), 2)),
            ),
            (Trailers, true, &[], Ok((Complete::Part(Trailers), 0))),
            (Trailers, false, &[("grpc-status", "0")], Err("it goes on after its trailers")),
            (Trailers, true, &[(":status", "200")], Err("a pseudo-field stands where none may be")),
            (Trailers, true, &[("", "x")], Err("a field has no name")),
            (
                Trailers,
                true,
                &[("Grpc-Status", "0")],
                Err("the name of a field has a character that none may have"),
            ),
            (
                Trailers,
                true,
                &[("a b", "0")],
                Err("the name of a field has a character that none may have"),
            ),
            (
                Trailers,
                true,
                &[("a", "x\r\nb: y")],
                Err("the value of a field has a character that it may not have there"),
            ),
            (Trailers, true, &[("grpc-message", " text ")], Ok((Complete::Part(Trailers), 1))),
            (
                Head,
                false,
                &[(":status", "200"), ("transfer-encoding", "chunked")],
                Err("it has a field that concerns an HTTP/1 connection"),
            ),
        ];
        for (part, end, fields, wanted) in cases {
            let wanted = wanted.map_err(End::Malformed);
            assert_eq!(check(part, end, fields), wanted, "{part:?}, end {end}: {fields:?}");
        }
    }

    #[test]
    fn names_are_tokens_in_lower_case() {
        let allowed: Vec<u8> = (0..=255).filter(|byte| NAME[usize::from(*byte)]).collect();
        assert_eq!(allowed, b"!#$%&'*+-.0123456789^_`abcdefghijklmnopqrstuvwxyz|~");
    }
}
