//! Answers in the formats that there are: `simple`, `json`, `fields`, `table`, `protobuf`.
//!
//! A command says how its answer looks in the simple format, by a closure; the other formats follow from the message
//! itself ([`json`], [`fields`]), or from rows that the command makes ([`table`]).

pub(crate) mod fields;
pub(crate) mod json;
pub(crate) mod table;

use std::fmt::Write as _;

use etcdkit::proto::etcdserverpb::ResponseHeader;
use etcdkit::proto::mvccpb::KeyValue;
use prost::Message;

use self::fields::{Fields, Writer};
use self::json::Json;
use crate::command::Values;
use crate::console::Console;
use crate::failure::{Failure, Result, exit};

/// How answers are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Display {
    pub(crate) format: Format,
    /// Keys, values and ids as hexadecimal numbers.
    pub(crate) hex: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Simple,
    Json,
    Fields,
    Table,
    Protobuf,
}

impl Display {
    /// What `--write-out` and `--hex` say.
    pub(crate) fn new(flags: &Values) -> Result<Self> {
        let format = match flags.text("write-out").as_str() {
            "simple" => Format::Simple,
            "json" => Format::Json,
            "fields" => Format::Fields,
            "table" => Format::Table,
            "protobuf" => Format::Protobuf,
            _ => {
                return Err(Failure::new(exit::BAD_FEATURE, "unsupported output format")
                    .with_hint("--write-out is fields, json, protobuf, simple or table"));
            }
        };
        Ok(Self { format, hex: flags.bool("hex") })
    }

    /// Prints an answer; `simple` appends what it is in the simple format.
    pub(crate) fn show<M>(
        self,
        console: &mut Console,
        message: &M,
        simple: impl FnOnce(&mut Vec<u8>),
    ) -> Result<()>
    where
        M: Message + Json + Fields,
    {
        match self.format {
            Format::Simple => {
                let mut text = Vec::new();
                simple(&mut text);
                Ok(console.print(text)?)
            }
            Format::Json => Ok(console.line(json::text(message))?),
            Format::Protobuf => Ok(console.print(message.encode_to_vec())?),
            Format::Fields => {
                let mut writer = Writer::new(self.hex);
                message.fields(&mut writer)?;
                Ok(console.print(writer.finish())?)
            }
            Format::Table => Err(unsupported(self.format)),
        }
    }
}

/// An answer that has no such form.
pub(crate) fn unsupported(format: Format) -> Failure {
    let name = match format {
        Format::Simple => "simple",
        Format::Json => "json",
        Format::Fields => "fields",
        Format::Table => "table",
        Format::Protobuf => "protobuf",
    };
    Failure::new(exit::BAD_FEATURE, format!("{name} not supported as output format"))
}

/// A header as it came.
pub(crate) fn wire_header(header: etcdkit::ResponseHeader) -> ResponseHeader {
    ResponseHeader {
        cluster_id: header.cluster_id,
        member_id: header.member_id,
        revision: header.revision.get(),
        raft_term: header.raft_term,
    }
}

/// Appends a line.
pub(crate) fn line(into: &mut Vec<u8>, line: impl AsRef<[u8]>) {
    into.extend_from_slice(line.as_ref());
    into.push(b'\n');
}

/// Appends a key or a value as a line: the bytes themselves, or each as `\x61`.
pub(crate) fn bytes_line(into: &mut Vec<u8>, hex: bool, bytes: &[u8]) {
    if hex {
        let mut text = String::with_capacity(4 * bytes.len());
        for byte in bytes {
            let _ = write!(text, "\\x{byte:02x}");
        }
        line(into, text);
    } else {
        line(into, bytes);
    }
}

/// Appends a key and its value.
pub(crate) fn key_value(into: &mut Vec<u8>, hex: bool, kv: &KeyValue) {
    bytes_line(into, hex, &kv.key);
    bytes_line(into, hex, &kv.value);
}
