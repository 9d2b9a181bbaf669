//! Writes a message: its struct, its enum accessors, its encoding, and the module of what is nested
//! in it.

use super::model::{Field, Kind, Message, Oneof, Presence};
use super::{enumeration, oneof, text};

const HEADER: &str = "etcdserverpb::ResponseHeader";

pub(super) fn emit(message: &Message) -> String {
    let mut out = definition(message);
    out.push_str(&accessors(message));
    out.push_str(&codec(message));
    out.push_str(&header(message));
    let mut nested = String::new();
    for item in &message.enums {
        nested.push_str(&enumeration::emit(item));
    }
    for item in &message.oneofs {
        nested.push_str(&oneof::emit(item));
    }
    if !nested.is_empty() {
        out.push_str(&format!(
            "/// Items of [`{}`].\npub mod {} {{ {}{nested} }}\n\n",
            message.name,
            message.module,
            text::imports(&nested)
        ));
    }
    out
}

/// The module of `prost::encoding` that encodes the field.
pub(super) fn call(field: &Field) -> String {
    let module = match field.kind {
        Kind::Scalar(module, _) => module,
        Kind::Enum(_) => "int32",
        Kind::Message(_) => "message",
    };
    format!("encoding::{module}")
}

/// The type of one value of the field.
pub(super) fn rust_type(field: &Field) -> String {
    match &field.kind {
        Kind::Scalar(_, rust) => (*rust).to_owned(),
        Kind::Enum(_) => "i32".to_owned(),
        Kind::Message(path) => path.clone(),
    }
}

fn definition(message: &Message) -> String {
    let mut members: Vec<String> = message
        .fields
        .iter()
        .map(|field| {
            let inner = rust_type(field);
            let whole = match field.presence {
                Presence::Implicit => inner,
                Presence::Optional => format!("Option<{inner}>"),
                Presence::Repeated | Presence::Packed => format!("Vec<{inner}>"),
            };
            format!("{}pub {}: {whole},\n", text::docs("///", &field.docs, 1), field.name)
        })
        .collect();
    for item in message.oneofs.iter().rev() {
        let docs = text::docs("///", &item.docs, 1);
        let path = format!("{}::{}", message.module, item.name);
        members.insert(item.position, format!("{docs}pub {}: Option<{path}>,\n", item.field));
    }
    let docs = text::docs("///", &message.docs, 0);
    let (name, members) = (&message.name, members.concat());
    let debug = if message.fields.iter().any(|field| field.secret) {
        debug(message)
    } else {
        String::new()
    };
    let derived = if debug.is_empty() { "Clone, Debug, " } else { "Clone, " };
    format!(
        "{docs}#[derive({derived}Default, PartialEq, Eq)]\npub struct {name} {{ {members} }}\n\n{debug}"
    )
}

/// `Debug` that does not tell secrets.
fn debug(message: &Message) -> String {
    let mut calls = String::new();
    for field in &message.fields {
        let value = if field.secret {
            "format_args!(\"<redacted>\")".to_owned()
        } else {
            format!("self.{}", field.name)
        };
        calls.push_str(&format!(".field({:?}, &{value})", field.name));
    }
    format!(
        "impl std::fmt::Debug for {name} {{
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {{
                f.debug_struct({name:?}){calls}.finish()
            }}
        }}\n\n",
        name = message.name
    )
}

/// Access to enum fields by the enum's type.
fn accessors(message: &Message) -> String {
    let mut out = String::new();
    for field in &message.fields {
        let Kind::Enum(path) = &field.kind else { continue };
        let name = &field.name;
        let plain = name.trim_start_matches("r#");
        out.push_str(&match field.presence {
            Presence::Repeated | Presence::Packed => format!(
                "/// The values of `{plain}` that are known.
                pub fn {name}(&self) -> impl Iterator<Item = {path}> + '_ {{
                    self.{name}.iter().filter_map(|number| {path}::from_i32(*number))
                }}\n\n"
            ),
            Presence::Optional => format!(
                "/// The value of `{plain}`; the default if it is missing or unknown.
                pub fn {name}(&self) -> {path} {{
                    self.{name}.and_then({path}::from_i32).unwrap_or_default()
                }}

                /// Sets `{plain}`.
                pub fn set_{plain}(&mut self, value: {path}) {{
                    self.{name} = Some(value.into());
                }}\n\n"
            ),
            Presence::Implicit => format!(
                "/// The value of `{plain}`; the default if it is unknown.
                pub fn {name}(&self) -> {path} {{
                    {path}::from_i32(self.{name}).unwrap_or_default()
                }}

                /// Sets `{plain}`.
                pub fn set_{plain}(&mut self, value: {path}) {{
                    self.{name} = value.into();
                }}\n\n"
            ),
        });
    }
    if out.is_empty() { out } else { format!("impl {} {{ {out} }}\n\n", message.name) }
}

/// One step of encoding, of decoding and of measuring, ordered by number as other encoders do.
struct Step {
    number: i32,
    encode: String,
    merge: String,
    len: String,
}

fn step(field: &Field) -> Step {
    let (name, number, call) = (&field.name, field.number, call(field));
    let plain = name.trim_start_matches("r#");
    let merge = |function: &str, value: String| {
        format!("{number} => ({plain:?}, {call}::{function}(wire_type, {value}, buf, ctx)),\n")
    };
    let guarded = |condition: &str, value: &str| {
        (
            format!("if {condition} {{ {call}::encode({number}, {value}, buf); }}\n"),
            format!("if {condition} {{ len += {call}::encoded_len({number}, {value}); }}\n"),
        )
    };
    let (merge, (encode, len)) = match field.presence {
        Presence::Implicit => {
            let condition = match field.kind {
                Kind::Scalar("bool", _) => format!("self.{name}"),
                Kind::Scalar("string" | "bytes", _) => format!("!self.{name}.is_empty()"),
                _ => format!("self.{name} != 0"),
            };
            let value = format!("&self.{name}");
            (merge("merge", format!("&mut self.{name}")), guarded(&condition, &value))
        }
        Presence::Optional => (
            merge("merge", format!("self.{name}.get_or_insert_default()")),
            guarded(&format!("let Some(value) = &self.{name}"), "value"),
        ),
        Presence::Repeated | Presence::Packed => {
            let form = if field.presence == Presence::Packed { "packed" } else { "repeated" };
            (
                merge("merge_repeated", format!("&mut self.{name}")),
                (
                    format!("{call}::encode_{form}({number}, &self.{name}, buf);\n"),
                    format!("len += {call}::encoded_len_{form}({number}, &self.{name});\n"),
                ),
            )
        }
    };
    Step { number, encode, merge, len }
}

fn steps(message: &Message) -> Vec<Step> {
    let mut steps: Vec<Step> = message.fields.iter().map(step).collect();
    for item in &message.oneofs {
        let field = &item.field;
        steps.push(Step {
            number: item.variants.iter().map(|v| v.number).min().unwrap_or_default(),
            encode: format!("if let Some(oneof) = &self.{field} {{ oneof.encode(buf); }}\n"),
            merge: format!(
                "{} => ({field:?}, {}::{}::merge(&mut self.{field}, tag, wire_type, buf, ctx)),\n",
                numbers(item),
                message.module,
                item.name
            ),
            len: format!("if let Some(oneof) = &self.{field} {{ len += oneof.encoded_len(); }}\n"),
        });
    }
    steps.sort_by_key(|step| step.number);
    steps
}

/// The pattern of a oneof's numbers, as clippy wants it.
fn numbers(item: &Oneof) -> String {
    let mut numbers: Vec<i32> = item.variants.iter().map(|variant| variant.number).collect();
    numbers.sort_unstable();
    match numbers.as_slice() {
        [first, .., last] if (*last - *first) as usize == numbers.len() - 1 => {
            format!("{first}..={last}")
        }
        _ => numbers.iter().map(i32::to_string).collect::<Vec<_>>().join(" | "),
    }
}

fn codec(message: &Message) -> String {
    let name = &message.name;
    let steps = steps(message);
    let all = |part: fn(&Step) -> &str| steps.iter().map(part).collect::<String>();
    let skip = "encoding::skip_field(wire_type, tag, buf, ctx)";
    let (buf, merge, len) = if steps.is_empty() {
        ("_buf", skip.to_owned(), "0".to_owned())
    } else {
        let merge = format!(
            "let (field, result) = match tag {{ {} _ => return {skip}, }};
            result.map_err(|mut error| {{ error.push({name:?}, field); error }})",
            all(|step| &step.merge)
        );
        ("buf", merge, format!("let mut len = 0; {} len", all(|step| &step.len)))
    };
    format!(
        "impl prost::Message for {name} {{
            fn encode_raw(&self, {buf}: &mut impl BufMut) {{ {encode} }}

            fn merge_field(
                &mut self,
                tag: u32,
                wire_type: WireType,
                buf: &mut impl Buf,
                ctx: DecodeContext,
            ) -> Result<(), DecodeError> {{ {merge} }}

            fn encoded_len(&self) -> usize {{ {len} }}

            fn clear(&mut self) {{ *self = Self::default(); }}
        }}\n\n",
        encode = all(|step| &step.encode)
    )
}

fn header(message: &Message) -> String {
    let found = message.fields.iter().find_map(|field| match &field.kind {
        Kind::Message(path) if field.name == "header" => Some(path),
        _ => None,
    });
    match found {
        Some(path) if format!("etcdserverpb::{path}").ends_with(HEADER) => format!(
            "impl crate::HasHeader for {} {{
                fn header(&self) -> Option<&{path}> {{ self.header.as_ref() }}
            }}\n\n",
            message.name
        ),
        _ => String::new(),
    }
}
