//! The files that codegen reads and writes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use prost_types::FileDescriptorSet;

/// The names of the files in a directory, sorted.
fn list(directory: &Path) -> Result<Vec<String>, String> {
    let at = |error| format!("{}: {error}", directory.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).map_err(at)? {
        names.push(entry.map_err(at)?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// Compiles the `.proto` files of a directory.
pub(super) fn compile(directory: &Path) -> Result<FileDescriptorSet, String> {
    let mut sources = list(directory)?;
    sources.retain(|name| name.ends_with(".proto"));
    protox::compile(sources, [directory]).map_err(|error| format!("{error:?}"))
}

/// Writes the generated files, and removes what is not generated any more.
pub(super) fn write(target: &Path, files: &BTreeMap<String, String>) -> Result<(), String> {
    fs::create_dir_all(target).map_err(|error| format!("{}: {error}", target.display()))?;
    for stale in list(target)?.iter().filter(|name| !files.contains_key(*name)) {
        fs::remove_file(target.join(stale)).map_err(|error| format!("{stale}: {error}"))?;
    }
    for (name, content) in files {
        fs::write(target.join(name), content).map_err(|error| format!("{name}: {error}"))?;
    }
    Ok(())
}

/// Fails if the committed files are not the generated ones, and names them.
pub(super) fn compare(target: &Path, files: &BTreeMap<String, String>) -> Result<(), String> {
    let mut stale: Vec<String> =
        list(target)?.into_iter().filter(|name| !files.contains_key(name)).collect();
    for (name, content) in files {
        if fs::read_to_string(target.join(name)).ok().as_ref() != Some(content) {
            stale.push(name.clone());
        }
    }
    if stale.is_empty() {
        return Ok(());
    }
    Err(format!(
        "not what the .proto files say: {} in {}; run `cargo xtask codegen`",
        stale.join(", "),
        target.display()
    ))
}
