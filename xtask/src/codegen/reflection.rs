//! The descriptors that the embedded server's reflection service hands out.

use std::collections::BTreeSet;

use prost::Message as _;
use prost_types::{DescriptorProto, FileDescriptorProto, FileDescriptorSet};

use super::text;

/// The reflection service's package, and the one that older clients ask for: the same under another name.
const NOW: &str = "grpc.reflection.v1";
const BEFORE: &str = "grpc.reflection.v1alpha";

/// Bytes of a descriptor in a line of source.
const LINE: usize = 40;

/// The files that declare services, and what they import, as Rust source.
pub(super) fn emit(descriptors: &FileDescriptorSet) -> Result<String, String> {
    let mut files: Vec<FileDescriptorProto> = descriptors.file.clone();
    let reflection = files.iter().find(|file| file.package() == NOW);
    files.push(older(reflection.ok_or("there is no reflection service")?));
    let mut served: BTreeSet<&str> =
        files.iter().filter(|file| !file.service.is_empty()).map(|file| file.name()).collect();
    // Imports come before the files that import them.
    for file in files.iter().rev() {
        if served.contains(file.name()) {
            served.extend(file.dependency.iter().map(String::as_str));
        }
    }
    let mut source = String::new();
    for file in files.iter().filter(|file| served.contains(file.name())) {
        let plain = FileDescriptorProto { source_code_info: None, ..file.clone() };
        let services = file.service.iter().map(|service| full(file.package(), service.name()));
        source.push_str(&format!(
            "File {{ name: {:?}, imports: &{:?}, services: &{:?}, symbols: &{:?}, descriptor: {} }},",
            file.name(),
            file.dependency,
            services.collect::<Vec<_>>(),
            symbols(file),
            literal(&plain.encode_to_vec())
        ));
    }
    text::format(&format!(
        "{}//! What the reflection service tells.\n\nuse super::File;\n\n\
         pub(super) static FILES: &[File] = &[{source}];\n",
        text::NOTICE
    ))
}

/// The same file in the older package.
fn older(file: &FileDescriptorProto) -> FileDescriptorProto {
    let mut older = file.clone();
    older.name = Some(file.name().replace(".proto", "_v1alpha.proto"));
    older.package = Some(BEFORE.to_owned());
    let rename = |name: &mut String| *name = name.replace(NOW, BEFORE);
    let fields = older.message_type.iter_mut().flat_map(|message| &mut message.field);
    fields.filter_map(|field| field.type_name.as_mut()).for_each(rename);
    for method in older.service.iter_mut().flat_map(|service| &mut service.method) {
        [&mut method.input_type, &mut method.output_type].into_iter().flatten().for_each(rename);
    }
    older
}

/// The full names of what a file declares: services, methods, messages and enums.
fn symbols(file: &FileDescriptorProto) -> Vec<String> {
    let mut names = Vec::new();
    for service in &file.service {
        let service_name = full(file.package(), service.name());
        names.extend(service.method.iter().map(|method| full(&service_name, method.name())));
        names.push(service_name);
    }
    names.extend(file.enum_type.iter().map(|item| full(file.package(), item.name())));
    for message in &file.message_type {
        within(file.package(), message, &mut names);
    }
    names.sort();
    names
}

fn within(scope: &str, message: &DescriptorProto, names: &mut Vec<String>) {
    let name = full(scope, message.name());
    names.extend(message.enum_type.iter().map(|item| full(&name, item.name())));
    for inner in &message.nested_type {
        within(&name, inner, names);
    }
    names.push(name);
}

fn full(scope: &str, name: &str) -> String {
    format!("{scope}.{name}")
}

/// Bytes as a literal of several lines.
fn literal(bytes: &[u8]) -> String {
    let lines = bytes.chunks(LINE).map(|line| {
        let text = line.escape_ascii().to_string();
        // White space at the beginning of a continued line does not count.
        match text.strip_prefix(' ') {
            Some(rest) => format!("\\x20{rest}"),
            None => text,
        }
    });
    format!("b\"{}\"", lines.collect::<Vec<_>>().join("\\\n"))
}
