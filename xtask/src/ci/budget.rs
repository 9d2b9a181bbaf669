//! How many packages a user of the client compiles. A number that grows unnoticed does not shrink again.

use std::collections::BTreeSet;

use crate::run::{cargo, output};

/// The client itself included. Raise it together with a reason in the commit.
const BUDGET: usize = 46;

pub(super) fn run() -> Result<(), String> {
    let tree = output(&mut cargo([
        "tree",
        "--package",
        "etcdkit",
        "--edges",
        "normal",
        "--prefix",
        "none",
    ]))?;
    let packages = packages(&tree);
    println!("{} packages of {BUDGET}", packages.len());
    if packages.len() <= BUDGET {
        return Ok(());
    }
    let list: Vec<&str> = packages.into_iter().collect();
    Err(format!("the client depends on more than {BUDGET} packages:\n{}", list.join("\n")))
}

/// `name version` of each package: a line goes on with its path, or with a mark that it was shown before.
fn packages(tree: &str) -> BTreeSet<&str> {
    let package = |line: &'_ str| line.match_indices(' ').nth(1).map_or(line.len(), |(end, _)| end);
    tree.lines().filter(|line| !line.is_empty()).map(|line| &line[..package(line)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_counted_once() {
        let tree =
            "etcdkit v0.1.0 (/x)\nbytes v1.10.0\nh2 v0.4.20\nbytes v1.10.0 (*)\nbytes v2.0.0\n";
        let expected = ["bytes v1.10.0", "bytes v2.0.0", "etcdkit v0.1.0", "h2 v0.4.20"];
        assert_eq!(packages(tree), BTreeSet::from(expected));
    }
}
