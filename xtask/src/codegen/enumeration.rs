//! Writes an enum.

use super::model::Enum;
use super::text::docs;

pub(super) fn emit(item: &Enum) -> String {
    let name = &item.name;
    let mut variants = String::new();
    let mut from = String::new();
    let mut names = String::new();
    for (index, value) in item.values.iter().enumerate() {
        variants.push_str(&docs("///", &value.docs, 2));
        if index == 0 {
            variants.push_str("#[default]\n");
        }
        variants.push_str(&format!("{} = {},\n", value.name, value.number));
        from.push_str(&format!("{} => Some(Self::{}),\n", value.number, value.name));
        names.push_str(&format!("Self::{} => {:?},\n", value.name, value.proto_name));
    }
    let docs = docs("///", &item.docs, 1);
    format!(
        "{docs}#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(i32)]
        pub enum {name} {{ {variants} }}

        impl {name} {{
            /// The value with this number.
            pub const fn from_i32(number: i32) -> Option<Self> {{
                match number {{ {from} _ => None }}
            }}

            /// The value's name in the protocol.
            pub const fn as_str_name(self) -> &'static str {{
                match self {{ {names} }}
            }}
        }}

        impl From<{name}> for i32 {{
            fn from(value: {name}) -> Self {{ value as Self }}
        }}

        impl TryFrom<i32> for {name} {{
            type Error = prost::UnknownEnumValue;

            fn try_from(number: i32) -> Result<Self, Self::Error> {{
                Self::from_i32(number).ok_or(prost::UnknownEnumValue(number))
            }}
        }}

        "
    )
}
