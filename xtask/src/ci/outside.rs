//! A crate outside the workspace builds the client from vendored sources: without network, without the caller's
//! cargo folder and without protoc.

use std::env;
use std::fs;
use std::path::Path;

use crate::run::{Scratch, cargo, make_folder, output, root, run as run_command, write};

pub(super) fn run() -> Result<(), String> {
    let scratch = Scratch::new(&env::temp_dir(), "etcdkit-outside")?;
    let folder = scratch.path();
    let client = root().join("crates/client");
    make_folder(&folder.join("src"))?;
    write(&folder.join("src/lib.rs"), "pub use etcdkit;\n")?;
    write(
        &folder.join("Cargo.toml"),
        &format!(
            "[package]\nname = \"outside\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n\n\
             [dependencies]\netcdkit = {{ path = {client:?} }}\n"
        ),
    )?;
    // The same versions as in the workspace; cargo drops the ones that are not needed.
    let lock = folder.join("Cargo.lock");
    fs::copy(root().join("Cargo.lock"), &lock)
        .map_err(|error| format!("{}: {error}", lock.display()))?;

    // On stdout it prints the configuration that makes cargo use what it vendored.
    let mut vendor = cargo(["vendor"]);
    let configuration = output(vendor.current_dir(folder))?;
    make_folder(&folder.join(".cargo"))?;
    write(&folder.join(".cargo/config.toml"), &configuration)?;

    let tools = folder.join("tools");
    make_folder(&tools)?;
    let protoc = refusing(&tools)?;
    let path = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths([tools].into_iter().chain(env::split_paths(&path)))
        .map_err(|error| error.to_string())?;
    let mut check = cargo(["check", "--offline", "--frozen"]);
    check.current_dir(folder).env("PATH", path).env("PROTOC", protoc);
    check.env("CARGO_HOME", folder.join("home")).env("CARGO_TARGET_DIR", folder.join("target"));
    run_command(&mut check)
}

/// A protoc that fails, in front of any that is installed.
fn refusing(folder: &Path) -> Result<std::path::PathBuf, String> {
    let protoc = folder.join("protoc");
    write(&protoc, "#!/bin/sh\necho 'the client must build without protoc' >&2\nexit 1\n")?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(&protoc, fs::Permissions::from_mode(0o755))
            .map_err(|error| format!("{}: {error}", protoc.display()))?;
    }
    Ok(protoc)
}
