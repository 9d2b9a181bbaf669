//! How much a user of the client compiles, by the lines of `cargo tree`. A number that grows unnoticed does not shrink
//! again.

use std::collections::BTreeSet;

use crate::run::{cargo, output};

/// The client itself included. Raise it together with a reason in the commit.
const BUDGET: usize = 36;

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
    let lines = lines(&tree);
    println!("{} lines of {BUDGET}", lines.len());
    if lines.len() <= BUDGET {
        return Ok(());
    }
    let list: Vec<&str> = lines.into_iter().collect();
    Err(format!(
        "the client's tree of dependencies has more than {BUDGET} lines:\n{}",
        list.join("\n")
    ))
}

/// What `sort -u` leaves of the tree. A package that is shown again, with a mark that it was shown before, counts twice.
fn lines(tree: &str) -> BTreeSet<&str> {
    tree.lines().filter(|line| !line.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_as_sort_does() {
        let tree = "etcdkit v0.1.0 (/x)\nbytes v1.10.0\n\nbytes v1.10.0 (*)\nbytes v1.10.0 (*)\n";
        let expected = ["bytes v1.10.0", "bytes v1.10.0 (*)", "etcdkit v0.1.0 (/x)"];
        assert_eq!(lines(tree), BTreeSet::from(expected));
    }
}
