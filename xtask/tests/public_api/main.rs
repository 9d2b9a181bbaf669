//! No type of another crate appears in the client's public signatures, beyond a short list of crates that do not
//! change. A user who never heard of HTTP/2 must not notice that the client's `h2` got a new major version.
//!
//! The client's source is read rather than its documentation, whose machine-readable form only nightly compilers
//! write. That an item marked `pub` can be reached from outside is left to the lint `unreachable_pub`.

mod scan;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{env, fs};

use scan::{Source, violations};

/// What may appear: a path, or with `::` at its end a module with all that lies below it.
const ALLOWED: &[&str] = &[
    "bytes::Bytes",
    "etcdkit_proto::",
    "futures_core::Stream",
    "futures_core::stream::Stream",
    // The token, as a transport takes it: made once, and never copied or checked again.
    "http::HeaderValue",
    "http::Uri",
    "http::uri::",
    "serde::",
    "tokio::io::",
    // Behind the feature that is named after it.
    "tonic::transport::",
];

#[test]
fn the_client_shows_no_foreign_types() {
    let client = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/client");
    let manifest = fs::read_to_string(client.join("Cargo.toml")).unwrap();
    let mut files = Vec::new();
    collect(&client.join("src"), &mut files);
    let sources: Vec<Source> = files
        .iter()
        .map(|path| {
            let name = path.strip_prefix(&client).unwrap().display().to_string();
            Source::parse(&name, &fs::read_to_string(path).unwrap())
        })
        .collect();
    let found = violations(&sources, &dependencies(&manifest), ALLOWED);
    assert!(found.is_empty(), "foreign types in public signatures:\n{}", found.join("\n"));
}

/// All source files but those of tests.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let stem = path.file_stem().expect("a name");
        if stem == "tests" {
            continue;
        }
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The crates of a manifest's `[dependencies]`, as they are called in source.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    let section = manifest.lines().skip_while(|line| *line != "[dependencies]").skip(1);
    section
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split(['.', ' ']).next())
        .filter(|name| !name.is_empty() && !name.starts_with('#'))
        .map(|name| name.replace('-', "_"))
        .collect()
}

#[test]
fn dependencies_are_read_from_a_manifest() {
    let manifest = "[features]\nx = []\n\n[dependencies]\n# h3\nh2.workspace = true\nfutures-core = \"0.3\"\n\n\
                    [dev-dependencies]\nproptest = \"1\"\n";
    let expected = ["futures_core", "h2"].map(str::to_owned);
    assert_eq!(dependencies(manifest), BTreeSet::from(expected));
}

#[test]
fn what_is_public_is_seen_and_what_is_not_is_not() {
    let dependencies = ["bytes", "h2", "http", "rustls"].map(str::to_owned).into();
    let check = |source: &str, expected: &[&str]| {
        let sources = [Source::parse("lib.rs", source)];
        let expected: Vec<String> = expected.iter().map(|path| format!("lib.rs: {path}")).collect();
        assert_eq!(violations(&sources, &dependencies, ALLOWED), expected, "{source}");
    };
    check("pub fn f(x: h2::Reason) {}", &["fn f: h2::Reason"]);
    check("pub(crate) fn f(x: h2::Reason) {} fn g(x: h2::Reason) {}", &[]);
    check("pub fn f() { let x: h2::Reason; }", &[]);
    check("use h2::client; pub fn f() -> client::Connection {}", &["fn f: h2::client::Connection"]);
    check("use h2::{Reason as Why}; pub fn f(x: Option<Why>) {}", &["fn f: h2::Reason"]);
    check(
        "pub fn f<T: h2::X>(x: impl Into<h2::Y>) where T: h2::Z {}",
        &["fn f: h2::X", "fn f: h2::Z", "fn f: h2::Y"],
    );
    check(
        "pub async fn f(x: bytes::Bytes, y: bytes::BytesMut, z: http::Uri) {}",
        &["fn f: bytes::BytesMut"],
    );
    check("pub use h2::Reason; pub(crate) use h2::Error; use h2::Ping;", &["use: h2::Reason"]);
    check("pub struct S { pub a: h2::A, b: h2::B, pub(crate) c: h2::C }", &["struct S: h2::A"]);
    check("pub struct S(pub h2::A, h2::B);", &["struct S: h2::A"]);
    check("struct S { pub a: h2::A } impl S { pub fn f(x: h2::B) {} }", &[]);
    check("pub enum E { A(h2::A), B { b: rustls::B } }", &["enum E: h2::A", "enum E: rustls::B"]);
    check(
        "pub trait T: h2::A { type B: h2::B; fn c(x: h2::C) { h2::d(); } }",
        &["trait T: h2::A", "trait T: h2::B", "trait T: h2::C"],
    );
    check(
        "pub struct S; impl From<h2::Error> for S { fn from(x: h2::Error) -> S {} }",
        &["impl S: h2::Error"],
    );
    check("pub(crate) struct S; impl From<h2::Error> for S {}", &[]);
    check("pub struct S; impl S { pub fn f(x: h2::A) {} fn g(x: h2::B) {} }", &["impl S: h2::A"]);
    check("pub struct S; trait Own { fn f(x: h2::A); } impl Own for S { fn f(x: h2::A) {} }", &[]);
    check("pub struct S; impl Iterator for S { type Item = h2::A; }", &["impl S: h2::A"]);
    check("type Hidden = h2::A; pub fn f(x: Hidden) {}", &["fn f: h2::A"]);
    check("pub type Shown = h2::A;", &["type Shown: h2::A"]);
    check(
        "pub const C: Option<h2::A> = None; pub static D: h2::B = h2::B;",
        &["const C: h2::A", "static D: h2::B"],
    );
    check("mod m { pub fn f(x: h2::A) {} }", &["fn f: h2::A"]);
    check("#[cfg(test)] mod tests { pub fn f(x: h2::A) {} }", &[]);
}
