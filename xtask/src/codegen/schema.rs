//! A table of the messages that RPCs take and give, for who translates them without knowing their types: the embedded
//! server's JSON gateway.

use std::collections::BTreeMap;

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorSet};

use super::text;

/// The services that have a gateway.
const PACKAGES: [&str; 3] = ["etcdserverpb", "v3lockpb", "v3electionpb"];

/// The table as Rust source.
pub(super) fn emit(descriptors: &FileDescriptorSet) -> Result<String, String> {
    let mut known = Known::default();
    for file in &descriptors.file {
        for item in &file.enum_type {
            known.enums.insert(format!(".{}.{}", file.package(), item.name()), item);
        }
        for item in &file.message_type {
            let name = format!(".{}.{}", file.package(), item.name());
            for inner in &item.enum_type {
                known.enums.insert(format!("{name}.{}", inner.name()), inner);
            }
            known.messages.insert(name, item);
        }
    }
    let mut table = Table { known, messages: Vec::new(), enums: Vec::new() };
    let mut methods = String::new();
    for file in descriptors.file.iter().filter(|file| PACKAGES.contains(&file.package())) {
        for service in &file.service {
            for rpc in &service.method {
                let (input, output) =
                    (table.message(rpc.input_type())?, table.message(rpc.output_type())?);
                let path = format!("/{}.{}/{}", file.package(), service.name(), rpc.name());
                let fields = format!("path: {path:?}, input: {input}, output: {output}");
                methods.push_str(&format!("Method {{ {fields} }},"));
            }
        }
    }
    let mut messages = String::new();
    let mut next = 0;
    // Each may name others, which are added at the end.
    while let Some(name) = table.messages.get(next).cloned() {
        messages.push_str(&format!("&[ // {}\n", name.trim_start_matches('.')));
        messages.push_str(&table.fields(&name)?);
        messages.push_str("],");
        next += 1;
    }
    let mut enums = String::new();
    for name in &table.enums {
        enums.push_str(&format!("&[ // {}\n", name.trim_start_matches('.')));
        for value in &table.known.enums[name].value {
            enums.push_str(&format!("({}, {:?}),", value.number(), value.name()));
        }
        enums.push_str("],");
    }
    let docs = "//! What the messages of the RPCs look like.\n\n";
    let source = format!(
        "{}{docs}use super::message::{{Field, Kind, Method}};\n\n\
         pub(super) static METHODS: &[Method] = &[{methods}];\n\n\
         /// The fields of each message, in the order of their numbers.\n\
         pub(super) static MESSAGES: &[&[Field]] = &[{messages}];\n\n\
         pub(super) static ENUMS: &[&[(i32, &str)]] = &[{enums}];\n",
        text::NOTICE
    );
    text::format(&source)
}

#[derive(Default)]
struct Known<'a> {
    messages: BTreeMap<String, &'a DescriptorProto>,
    enums: BTreeMap<String, &'a EnumDescriptorProto>,
}

/// What is in the table so far, by its place in it.
struct Table<'a> {
    known: Known<'a>,
    messages: Vec<String>,
    enums: Vec<String>,
}

impl Table<'_> {
    fn message(&mut self, name: &str) -> Result<usize, String> {
        if !self.known.messages.contains_key(name) {
            return Err(format!("there is no message {name}"));
        }
        Ok(place(&mut self.messages, name))
    }

    fn fields(&mut self, name: &str) -> Result<String, String> {
        let mut fields = self.known.messages[name].field.clone();
        fields.sort_by_key(|field| field.number());
        let mut out = String::new();
        for field in fields {
            let kind = match field.r#type() {
                Type::Bytes => "Bytes".to_owned(),
                Type::String => "String".to_owned(),
                Type::Bool => "Bool".to_owned(),
                Type::Uint32 => "Uint32".to_owned(),
                Type::Int64 => "Int64".to_owned(),
                Type::Uint64 => "Uint64".to_owned(),
                Type::Enum => format!("Enum({})", place(&mut self.enums, field.type_name())),
                Type::Message => format!("Message({})", self.message(field.type_name())?),
                other => return Err(format!("{name}.{}: {other:?} is not known", field.name())),
            };
            let repeated = field.label() == Label::Repeated;
            out.push_str(&format!(
                "Field {{ number: {}, name: {:?}, json_name: {:?}, kind: Kind::{kind}, repeated: {repeated} }},",
                field.number(),
                field.name(),
                field.json_name()
            ));
        }
        Ok(out)
    }
}

fn place(names: &mut Vec<String>, name: &str) -> usize {
    names.iter().position(|known| known == name).unwrap_or_else(|| {
        names.push(name.to_owned());
        names.len() - 1
    })
}
