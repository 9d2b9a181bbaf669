//! Each feature of the client and of the server compiles alone, without warnings: TLS with either provider, and whatever
//! else there is; and so does the server with none.

use crate::run::{cargo, read, root, run as run_command};

pub(super) fn run() -> Result<(), String> {
    for (package, folder) in [("etcdkit", "client"), ("etcdkit-server", "server")] {
        let manifest = read(&root().join(format!("crates/{folder}/Cargo.toml")))?;
        // The client without any is a step of its own.
        let none = (package != "etcdkit").then_some("");
        for feature in features(&manifest).into_iter().chain(none) {
            let mut clippy = cargo(["clippy", "--quiet", "--package", package]);
            clippy.args(["--no-default-features", "--features", feature, "--", "-D", "warnings"]);
            run_command(&mut clippy)?;
        }
    }
    Ok(())
}

/// The names in a manifest's `[features]`, but for `default`.
fn features(manifest: &str) -> Vec<&str> {
    let section = manifest.lines().skip_while(|line| *line != "[features]").skip(1);
    section
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split_once(" = ").map(|(name, _)| name))
        .filter(|name| *name != "default" && !name.starts_with('#'))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_read_from_a_manifest() {
        let manifest = "[package]\nname = \"a\"\n\n[features]\ndefault = [\"b\"]\n# c = d\nb = []\n\
                        e = [\n  \"dep:f\",\n]\n\n[dependencies]\ng = \"1\"\n";
        assert_eq!(features(manifest), ["b", "e"]);
    }
}
