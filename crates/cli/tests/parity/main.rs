//! The same command lines through the official tools of etcd 3.7.1 and through ours, on equal data: stdout, stderr and exit
//! code must be the same.
//!
//! The command lines stand in `lines/`, one file for each pair of fresh members; [`table`] says how they are written, and
//! [`sides`] how the pair is made equal and what is masked. What does not end by itself is in [`running`].

#![allow(clippy::print_stdout, reason = "a skipped test says so")]

#[path = "../common/live.rs"]
mod live;
mod older;
mod running;
mod sides;
mod table;

use etcdkit_testkit::etcd::Version;

use sides::{Ran, Side};
use table::Line;

/// Runs all lines of a table on both sides, and reports every one that differs.
async fn compare(name: &str, text: &str) {
    if !Version::available().contains(&Version::V3_7) {
        println!("skipped: {name}: no etcd 3.7.1");
        return;
    }
    let version = Version::V3_7;
    let (mut official, mut ours) = tokio::join!(Side::official(version), Side::ours(version));
    let mut differences = Vec::new();
    for line in table::read(text) {
        let (expected, found) = tokio::join!(official.run(&line), ours.run(&line));
        if expected != found {
            differences.push(report(&line, &expected, &found));
        }
    }
    assert!(
        differences.is_empty(),
        "{} of {} lines of {name} differ:\n\n{}",
        differences.len(),
        table::read(text).len(),
        differences.join("\n")
    );
}

fn report(line: &Line, expected: &Ran, found: &Ran) -> String {
    let mut report = format!("line {}: {}\n", line.number, line.text);
    if expected.code != found.code {
        report.push_str(&format!("  exit code {:?}, ours {:?}\n", expected.code, found.code));
    }
    for (what, expected, found) in
        [("stdout", &expected.stdout, &found.stdout), ("stderr", &expected.stderr, &found.stderr)]
    {
        if expected != found {
            report.push_str(&format!("  {what}: {expected:?}\n    ours: {found:?}\n"));
        }
    }
    report
}

macro_rules! tables {
    ($($name:ident)*) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            compare(stringify!($name), include_str!(concat!("lines/", stringify!($name), ".txt"))).await;
        })*

        #[test]
        fn there_are_enough_lines() {
            let count: usize = [$(include_str!(concat!("lines/", stringify!($name), ".txt"))),*]
                .into_iter()
                .map(|text| table::read(text).len())
                .sum();
            assert!(count >= 400, "{count}");
        }
    };
}

tables! {
    root parser key_value txn lease cluster auth watch concurrency connection
}
