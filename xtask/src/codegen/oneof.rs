//! Writes a oneof: an enum that knows how to encode itself as a field of its message.

use super::message::{call, rust_type};
use super::model::{Field, Kind, Oneof};
use super::text::docs;

pub(super) fn emit(oneof: &Oneof) -> String {
    let (mut variants, mut encode, mut merge, mut len) =
        (String::new(), String::new(), String::new(), String::new());
    for variant in &oneof.variants {
        let (name, number) = (&variant.name, variant.number);
        variants.push_str(&docs("///", &variant.docs, 2));
        variants.push_str(&format!("{name}({}),\n", nested_type(variant)));
        let arm = format!("Self::{name}(value) =>");
        encode.push_str(&format!("{arm} {}::encode({number}, value, buf),\n", call(variant)));
        len.push_str(&format!("{arm} {}::encoded_len({number}, value),\n", call(variant)));
        // A message that comes in pieces is put together; of anything else the last one counts.
        let start = match variant.kind {
            Kind::Message(_) => format!(
                "match oneof.take() {{ Some(Self::{name}(value)) => value, _ => Default::default() }}"
            ),
            _ => "Default::default()".to_owned(),
        };
        merge.push_str(&format!(
            "{number} => {{
                let mut value = {start};
                {}::merge(wire_type, &mut value, buf, ctx)?;
                *oneof = Some(Self::{name}(value));
                Ok(())
            }}\n",
            call(variant)
        ));
    }
    format!(
        "{docs}#[derive(Clone, Debug, PartialEq, Eq)]
        pub enum {name} {{ {variants} }}

        impl {name} {{
            pub(super) fn encode(&self, buf: &mut impl BufMut) {{
                match self {{ {encode} }}
            }}

            pub(super) fn merge(
                oneof: &mut Option<Self>,
                tag: u32,
                wire_type: WireType,
                buf: &mut impl Buf,
                ctx: DecodeContext,
            ) -> Result<(), DecodeError> {{
                match tag {{
                    {merge} _ => encoding::skip_field(wire_type, tag, buf, ctx),
                }}
            }}

            pub(super) fn encoded_len(&self) -> usize {{
                match self {{ {len} }}
            }}
        }}

        ",
        name = oneof.name,
        docs = docs("///", &oneof.docs, 1),
    )
}

/// A field's type as seen from the message's own module.
fn nested_type(field: &Field) -> String {
    let path = rust_type(field);
    match field.kind {
        Kind::Message(_) if !path.starts_with("crate::") => format!("super::{path}"),
        _ => path,
    }
}
