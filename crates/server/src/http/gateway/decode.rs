//! From JSON to the wire.

use prost::encoding::{WireType, encode_key, encode_varint};
use serde_json::Value;

use super::message::{Field, Kind, fields};
use super::schema::ENUMS;
use crate::base64;

/// Encodes a JSON object as a message. Fields that the message does not have are left out, as etcd does.
///
/// # Errors
///
/// What is wrong, with the name of the field.
pub(super) fn message(number: usize, value: &Value) -> Result<Vec<u8>, String> {
    let Value::Object(object) = value else {
        return Err(format!("a request is an object, not {}", kind_of(value)));
    };
    let mut out = Vec::new();
    for field in fields(number) {
        let value = object.get(field.name).or_else(|| object.get(field.json_name));
        match value {
            None | Some(Value::Null) => {}
            Some(Value::Array(values)) if field.repeated => {
                values.iter().try_for_each(|value| encode(field, value, &mut out))?;
            }
            Some(value) if !field.repeated => encode(field, value, &mut out)?,
            Some(value) => return Err(wrong(field, value)),
        }
    }
    Ok(out)
}

fn encode(field: &Field, value: &Value, out: &mut Vec<u8>) -> Result<(), String> {
    let wrong = || wrong(field, value);
    let text = || value.as_str().ok_or_else(wrong);
    match field.kind {
        Kind::String => delimited(field, text()?.as_bytes(), out),
        Kind::Bytes => delimited(field, &base64::decode(text()?).ok_or_else(wrong)?, out),
        Kind::Message(inner) => {
            if !value.is_object() {
                return Err(wrong());
            }
            delimited(field, &message(inner, value)?, out);
        }
        Kind::Bool => varint(field, u64::from(value.as_bool().ok_or_else(wrong)?), out),
        Kind::Int64 => {
            varint(field, integer(value, i64::MIN.into(), i64::MAX.into()).ok_or_else(wrong)?, out)
        }
        Kind::Uint64 => varint(field, integer(value, 0, u64::MAX.into()).ok_or_else(wrong)?, out),
        Kind::Uint32 => varint(field, integer(value, 0, u32::MAX.into()).ok_or_else(wrong)?, out),
        Kind::Enum(names) => match value {
            Value::String(name) => {
                let names = ENUMS.get(names).copied().unwrap_or_default();
                // A name that is not known is left out like a field that is not.
                if let Some((number, _)) = names.iter().find(|(_, known)| known == name) {
                    varint(field, i64::from(*number).cast_unsigned(), out);
                }
            }
            _ => varint(
                field,
                integer(value, i32::MIN.into(), i32::MAX.into()).ok_or_else(wrong)?,
                out,
            ),
        },
    }
    Ok(())
}

/// A whole number, or a string with one, as the wire has it.
fn integer(value: &Value, least: i128, most: i128) -> Option<u64> {
    let parsed;
    let number = match value {
        Value::Number(number) => number,
        Value::String(text) => {
            parsed = serde_json::from_str(text).ok()?;
            &parsed
        }
        _ => return None,
    };
    let whole = number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
    let whole = whole.or_else(|| {
        // 1e3 and 1.0 are whole as well, as far as they are exact.
        let float = number.as_f64().filter(|float| float.fract() == 0.0)?;
        (float.abs() < 9e15).then_some(float as i128)
    })?;
    // Negative ones are on the wire as 64 bits in two's complement, whatever their size.
    (least..=most).contains(&whole).then_some(whole as u64)
}

fn varint(field: &Field, value: u64, out: &mut Vec<u8>) {
    encode_key(field.number, WireType::Varint, out);
    encode_varint(value, out);
}

fn delimited(field: &Field, bytes: &[u8], out: &mut Vec<u8>) {
    encode_key(field.number, WireType::LengthDelimited, out);
    encode_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn wrong(field: &Field, value: &Value) -> String {
    let value: String = value.to_string().chars().take(100).collect();
    let kind = match field.kind {
        Kind::Bytes => "base64",
        Kind::String => "a string",
        Kind::Bool => "true or false",
        Kind::Uint32 | Kind::Int64 | Kind::Uint64 => "a whole number",
        Kind::Enum(_) => "a name or a number",
        Kind::Message(_) => "an object",
    };
    let list = if field.repeated { "a list, each of it " } else { "" };
    format!("field {} must be {list}{kind}, not {value}", field.name)
}

const fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
