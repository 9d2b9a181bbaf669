//! Each feature of the client compiles alone, without warnings: TLS with either provider, and whatever else there is.

use crate::run::{cargo, read, root, run as run_command};

pub(super) fn run() -> Result<(), String> {
    let manifest = read(&root().join("crates/client/Cargo.toml"))?;
    for feature in features(&manifest) {
        let mut clippy =
            cargo(["clippy", "--quiet", "--package", "etcdkit", "--no-default-features"]);
        run_command(clippy.args(["--features", feature, "--", "-D", "warnings"]))?;
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
