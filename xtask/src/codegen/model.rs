//! What the generator needs to know of a descriptor, with names and types as Rust has them.

use std::collections::BTreeMap;

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
    FileDescriptorSet,
};

use super::names;

/// Fields whose content must not be printed.
pub(super) const SECRET: [(&str, &str); 9] = [
    ("User", "password"),
    ("AuthenticateRequest", "password"),
    ("AuthenticateResponse", "token"),
    ("AuthUserAddRequest", "password"),
    ("AuthUserAddRequest", "hashedPassword"),
    ("AuthUserChangePasswordRequest", "password"),
    ("AuthUserChangePasswordRequest", "hashedPassword"),
    ("InternalAuthenticateRequest", "password"),
    ("InternalAuthenticateRequest", "simple_token"),
];

pub(super) struct Package {
    pub module: String,
    pub docs: Vec<String>,
    pub messages: Vec<Message>,
    pub enums: Vec<Enum>,
}

pub(super) struct Message {
    pub name: String,
    /// The module of nested items.
    pub module: String,
    pub docs: Vec<String>,
    /// In the order of the `.proto` file.
    pub fields: Vec<Field>,
    pub oneofs: Vec<Oneof>,
    pub enums: Vec<Enum>,
}

pub(super) struct Field {
    pub name: String,
    pub docs: Vec<String>,
    pub number: i32,
    pub kind: Kind,
    pub presence: Presence,
    pub secret: bool,
}

pub(super) struct Oneof {
    pub field: String,
    pub name: String,
    pub docs: Vec<String>,
    /// Named as variants.
    pub variants: Vec<Field>,
    /// The oneof stands where its first field stood among the message's other fields.
    pub position: usize,
}

pub(super) struct Enum {
    pub name: String,
    pub docs: Vec<String>,
    pub values: Vec<Value>,
}

pub(super) struct Value {
    pub name: String,
    pub proto_name: String,
    pub docs: Vec<String>,
    pub number: i32,
}

#[derive(PartialEq)]
pub(super) enum Kind {
    /// A type of `prost::encoding` and its Rust type.
    Scalar(&'static str, &'static str),
    /// The path of the enum, seen from the package's module.
    Enum(String),
    /// The path of the message, seen from the package's module.
    Message(String),
}

#[derive(PartialEq)]
pub(super) enum Presence {
    /// Left out when it has the default value.
    Implicit,
    Optional,
    Repeated,
    Packed,
}

/// Comments by the path of what they belong to.
type Comments<'a> = BTreeMap<&'a [i32], Vec<String>>;

// Field numbers of descriptor.proto, which comments are found by.
const FILE_MESSAGE: i32 = 4;
const FILE_ENUM: i32 = 5;
const FILE_SYNTAX: i32 = 12;
const MESSAGE_FIELD: i32 = 2;
const MESSAGE_ENUM: i32 = 4;
const MESSAGE_ONEOF: i32 = 8;
const ENUM_VALUE: i32 = 2;

/// Lowers all files, and merges those of one package.
pub(super) fn lower(set: &FileDescriptorSet) -> Result<Vec<Package>, String> {
    let mut packages: BTreeMap<String, Package> = BTreeMap::new();
    for file in &set.file {
        let module = module(file.package());
        let lowering = Lowering { set, file, comments: comments(file) };
        let package = packages.entry(module.clone()).or_insert_with(|| Package {
            module,
            docs: Vec::new(),
            messages: Vec::new(),
            enums: Vec::new(),
        });
        package.docs.extend(lowering.docs(&[FILE_SYNTAX])?);
        for (index, enumeration) in (0..).zip(&file.enum_type) {
            package.enums.push(lowering.enumeration(enumeration, &[FILE_ENUM, index])?);
        }
        for (index, message) in (0..).zip(&file.message_type) {
            package.messages.push(lowering.message(message, &[FILE_MESSAGE, index])?);
        }
    }
    Ok(packages.into_values().collect())
}

fn module(package: &str) -> String {
    package.replace('.', "_")
}

fn comments(file: &FileDescriptorProto) -> Comments<'_> {
    let mut comments = BTreeMap::new();
    for location in file.source_code_info.iter().flat_map(|info| &info.location) {
        // The comment at a file's head is separated from the syntax line by an empty line.
        let detached = location.leading_detached_comments.first();
        let text = if location.path == [FILE_SYNTAX] {
            detached
        } else {
            location.leading_comments.as_ref()
        };
        if let Some(text) = text {
            let paragraphs = text.split("\n\n").map(|paragraph| paragraph.trim().to_owned());
            comments.insert(location.path.as_slice(), paragraphs.collect());
        }
    }
    comments
}

struct Lowering<'a> {
    set: &'a FileDescriptorSet,
    file: &'a FileDescriptorProto,
    comments: Comments<'a>,
}

impl Lowering<'_> {
    fn docs(&self, path: &[i32]) -> Result<Vec<String>, String> {
        let found = self.comments.get(path).cloned();
        found.ok_or_else(|| format!("{}: no comment at {path:?}", self.file.name()))
    }

    fn message(&self, message: &DescriptorProto, path: &[i32]) -> Result<Message, String> {
        if !message.nested_type.is_empty() || !message.extension_range.is_empty() {
            return Err(format!("{}: nested messages, maps, extensions", message.name()));
        }
        let mut lowered = Message {
            name: names::camel(&names::words(message.name())),
            module: names::snake(message.name()),
            docs: self.docs(path)?,
            fields: Vec::new(),
            oneofs: Vec::new(),
            enums: Vec::new(),
        };
        for (index, enumeration) in (0..).zip(&message.enum_type) {
            lowered.enums.push(self.enumeration(enumeration, &at(path, MESSAGE_ENUM, index))?);
        }
        for (index, oneof) in (0..).zip(&message.oneof_decl) {
            lowered.oneofs.push(Oneof {
                field: names::ident(oneof.name()),
                name: names::camel(&names::words(oneof.name())),
                docs: self.docs(&at(path, MESSAGE_ONEOF, index))?,
                variants: Vec::new(),
                position: 0,
            });
        }
        for (index, field) in (0..).zip(&message.field) {
            let position = lowered.fields.len();
            let docs = self.docs(&at(path, MESSAGE_FIELD, index))?;
            let mut field = self.field(message, field, docs)?;
            let oneof = message.field.get(index as usize).and_then(|field| field.oneof_index);
            match oneof.and_then(|oneof| lowered.oneofs.get_mut(oneof as usize)) {
                Some(oneof) => {
                    if oneof.variants.is_empty() {
                        oneof.position = position;
                    }
                    field.presence = Presence::Optional;
                    oneof.variants.push(field);
                }
                None => lowered.fields.push(field),
            }
        }
        for oneof in &mut lowered.oneofs {
            let mut words: Vec<_> =
                oneof.variants.iter().map(|variant| names::words(&variant.name)).collect();
            names::strip_prefix(&mut words);
            if oneof.variants.iter().all(|variant| matches!(variant.kind, Kind::Message(_))) {
                names::strip_suffix(&mut words);
            }
            for (variant, words) in oneof.variants.iter_mut().zip(&words) {
                variant.name = names::camel(words);
            }
        }
        Ok(lowered)
    }

    fn field(
        &self,
        message: &DescriptorProto,
        field: &FieldDescriptorProto,
        docs: Vec<String>,
    ) -> Result<Field, String> {
        let name = field.name();
        if field.default_value.is_some() || field.proto3_optional() {
            return Err(format!("{}.{name}: default values, proto3 optional", message.name()));
        }
        let kind = match field.r#type() {
            Type::Bool => Kind::Scalar("bool", "bool"),
            Type::Int32 => Kind::Scalar("int32", "i32"),
            Type::Int64 => Kind::Scalar("int64", "i64"),
            Type::Uint64 => Kind::Scalar("uint64", "u64"),
            Type::Uint32 => Kind::Scalar("uint32", "u32"),
            Type::String => Kind::Scalar("string", "String"),
            Type::Bytes => Kind::Scalar("bytes", "Bytes"),
            Type::Enum => Kind::Enum(self.path(field.type_name())?),
            Type::Message => Kind::Message(self.path(field.type_name())?),
            other => return Err(format!("{}.{name}: type {other:?}", message.name())),
        };
        let proto3 = self.file.syntax() == "proto3";
        let numeric = !matches!(kind, Kind::Message(_) | Kind::Scalar("string" | "bytes", _));
        let presence = match field.label() {
            Label::Repeated if proto3 && numeric => Presence::Packed,
            Label::Repeated => Presence::Repeated,
            Label::Optional if proto3 && !matches!(kind, Kind::Message(_)) => Presence::Implicit,
            Label::Optional | Label::Required => Presence::Optional,
        };
        Ok(Field {
            name: names::ident(name),
            docs,
            number: field.number(),
            kind,
            presence,
            secret: SECRET.contains(&(message.name(), name)),
        })
    }

    /// `.mvccpb.Event.EventType` as `crate::mvccpb::event::EventType`, or without the package where
    /// it is the own one.
    fn path(&self, type_name: &str) -> Result<String, String> {
        let full = type_name.trim_start_matches('.');
        let inside = |package: &str| full.strip_prefix(package)?.strip_prefix('.');
        let found = self.set.file.iter().find_map(|file| {
            inside(file.package()).map(|rest| (file.package().to_owned(), rest.to_owned()))
        });
        let (package, rest) = found.ok_or_else(|| format!("{type_name}: no such package"))?;
        let mut path = match rest.split_once('.') {
            Some((message, item)) => {
                format!("{}::{}", names::snake(message), names::camel(&names::words(item)))
            }
            None => names::camel(&names::words(&rest)),
        };
        if package != self.file.package() {
            path = format!("crate::{}::{path}", module(&package));
        }
        Ok(path)
    }

    fn enumeration(&self, item: &EnumDescriptorProto, path: &[i32]) -> Result<Enum, String> {
        if item.value.first().is_none_or(|value| value.number() != 0) {
            return Err(format!("{}: the first value must be 0", item.name()));
        }
        let mut words: Vec<_> = item.value.iter().map(|v| names::words(v.name())).collect();
        names::strip_prefix(&mut words);
        let mut values = Vec::new();
        for (index, (value, words)) in (0..).zip(item.value.iter().zip(&words)) {
            values.push(Value {
                name: names::camel(words),
                proto_name: value.name().to_owned(),
                docs: self.docs(&at(path, ENUM_VALUE, index))?,
                number: value.number(),
            });
        }
        let name = names::camel(&names::words(item.name()));
        Ok(Enum { name, docs: self.docs(path)?, values })
    }
}

fn at(path: &[i32], field: i32, index: i32) -> Vec<i32> {
    [path, &[field, index]].concat()
}
