//! `cargo xtask codegen`: turns `crates/proto/proto/*.proto` into `crates/proto/src/generated/`, into the
//! [table](schema) that the embedded server's gateway translates by, and into the [descriptors](reflection) that it hands
//! out.
//!
//! protox compiles the files to descriptors, [`model`] lowers those to what Rust needs to know, and
//! [`message`], [`oneof`] and [`enumeration`] write it down; rustfmt gives it its form. The output
//! is plain code that calls `prost::encoding`, so that users of the crate compile neither protoc
//! nor a proc macro. It is committed, and `--check` tells whether it still is what the `.proto`
//! files say.
//!
//! What the generator does not know (maps, groups, defaults, extensions, boxed recursion) etcd does
//! not use; it refuses the first three by name.

mod enumeration;
mod files;
mod message;
mod model;
mod names;
mod oneof;
mod reflection;
mod schema;
#[cfg(test)]
mod tests;
mod text;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use prost_types::FileDescriptorSet;

/// Generates the code, or with `check` only compares it with what is committed.
pub(crate) fn run(check: bool) -> Result<(), String> {
    let proto = workspace().join("crates/proto");
    let descriptors = files::compile(&proto.join("proto"))?;
    let alone = |source: String| BTreeMap::from([("mod.rs".to_owned(), source)]);
    let server = workspace().join("crates/server/src");
    for (target, generated) in [
        (proto.join("src/generated"), generate(&descriptors)?),
        (server.join("http/gateway/schema"), alone(schema::emit(&descriptors)?)),
        (server.join("service/reflection/descriptors"), alone(reflection::emit(&descriptors)?)),
    ] {
        if check {
            files::compare(&target, &generated)?;
        } else {
            files::write(&target, &generated)?;
        }
    }
    Ok(())
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The generated files by name.
fn generate(descriptors: &FileDescriptorSet) -> Result<BTreeMap<String, String>, String> {
    let packages = model::lower(descriptors)?;
    let mut files = BTreeMap::new();
    let mut index = String::from(text::NOTICE);
    index.push_str("//! Messages and enums, one module for each protobuf package.\n\n");
    for package in &packages {
        let mut body = String::new();
        for enumeration in &package.enums {
            body.push_str(&enumeration::emit(enumeration));
        }
        for message in &package.messages {
            body.push_str(&message::emit(message));
        }
        let docs = text::docs("//!", &package.docs, 0);
        let source = format!("{}{docs}\n{}{body}", text::NOTICE, text::imports(&body));
        files.insert(format!("{}.rs", package.module), text::format(&source)?);
        index.push_str(&format!("pub mod {};\n", package.module));
    }
    files.insert("mod.rs".to_owned(), text::format(&index)?);
    Ok(files)
}
