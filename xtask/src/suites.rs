//! `cargo xtask suites`: what others wrote to show their clients on etcd, run on the embedded server.
//!
//! The examples of etcd's Go client come from its module, the tests of etcd-client and etcd-rs from their packages, at the
//! moment they are run: nothing of them is in this repository but what they expect around them. What takes three members is
//! left out by name.

use std::env;
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use crate::etcd;
use crate::run::{Scratch, cargo, make_folder, output, root, run as run_command};

const GO_MODULE: &str = "go.etcd.io/etcd/tests/v3@v3.7.1";

/// What the Go examples show of a cluster with three members, or of certificates.
const GO_LEFT_OUT: &str = "ExampleCluster_memberList|ExampleCluster_memberAdd|ExampleCluster_memberRemove|\
                           ExampleConfig_withTLS";

/// A package with tests.
struct Suite {
    name: &'static str,
    version: &'static str,
    /// What stands in its tests for where etcd is.
    endpoint: &'static str,
    tests: &'static [&'static str],
    /// A file of ours in the place of one of theirs.
    support: Option<(&'static str, &'static str)>,
    dependencies: &'static str,
    /// What etcdctl is told before.
    prepared: &'static [&'static [&'static str]],
    left_out: &'static [&'static str],
}

const SUITES: &[Suite] = &[
    Suite {
        name: "etcd-client",
        version: "0.21.1",
        endpoint: "localhost:2379",
        tests: &["client.rs", "namespace.rs", "testing.rs"],
        support: None,
        dependencies: "serial_test = \"3\"\ntokio = { version = \"1\", features = [\"full\"] }\n",
        prepared: &[
            &["user", "add", "root:rootpwd"],
            &["role", "add", "root"],
            &["user", "grant-role", "root", "root"],
        ],
        // Both add voters.
        left_out: &["test_cluster", "test_move_leader"],
    },
    Suite {
        name: "etcd-rs",
        version: "1.0.1",
        endpoint: "",
        tests: &["kv.rs", "watch.rs"],
        support: Some(("support.rs", "crates/server/tests/suites/etcd_rs_support.rs")),
        dependencies: "tokio = { version = \"1\", features = [\"full\"] }\ntonic = \"0.9\"\n",
        prepared: &[],
        left_out: &[],
    },
];

/// Runs all, or those whose names are given: `go`, `etcd-client`, `etcd-rs`.
pub(crate) fn run(names: &[&str]) -> Result<(), String> {
    run_command(&mut cargo(["build", "--package", "etcdkit-cli"]))?;
    let scratch = Scratch::new(&env::temp_dir(), "etcdkit-suites")?;
    let wanted = |name: &str| names.is_empty() || names.contains(&name);
    if wanted("go") {
        go(&scratch.path().join("go"))?;
    }
    for suite in SUITES.iter().filter(|suite| wanted(suite.name)) {
        package(suite, &scratch.path().join(suite.name))?;
    }
    Ok(())
}

/// The embedded server behind etcd's flags. Dropping it ends it.
struct Server {
    process: Child,
    endpoint: String,
}

impl Server {
    fn start() -> Result<Self, String> {
        let mut process = Command::new(program())
            .args(["serve", "--in-memory", "--bcrypt-cost=4", "--auth-token-ttl=2"])
            .args(["--listen-client-urls=http://127.0.0.1:0"])
            .args(["--advertise-client-urls=http://127.0.0.1:0"])
            .args(["--watch-progress-notify-interval=200ms"])
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot run `etcdkit serve`: {error}"))?;
        let mut log = BufReader::new(process.stderr.take().ok_or("the server has no log")?);
        let mut line = String::new();
        let endpoint = loop {
            line.clear();
            match log.read_line(&mut line) {
                Ok(1..) => {}
                _ => return Err("the server does not say where it listens".to_owned()),
            }
            let after =
                line.split_once(r#""address":""#).and_then(|(_, rest)| rest.split_once('"'));
            if let Some((address, _)) = after {
                break address.to_owned();
            }
        };
        // Until it ends: who writes to a pipe that nobody reads waits some day.
        thread::spawn(move || io::copy(&mut log, &mut io::sink()));
        Ok(Self { process, endpoint })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The examples of etcd's Go client, with what they print.
fn go(folder: &Path) -> Result<(), String> {
    make_folder(folder)?;
    let told = output(go_command(&env::temp_dir()).args(["mod", "download", "-json", GO_MODULE]))?;
    let module = told.lines().find_map(|line| line.trim().strip_prefix("\"Dir\": \""));
    let module = module
        .and_then(|rest| rest.split('"').next())
        .ok_or("go does not say where the module is")?;
    let around = read(&root().join("crates/server/tests/suites/go/main_test.go"))?;
    write(
        &folder.join("go.mod"),
        "module suites\n\ngo 1.26\n\nrequire go.etcd.io/etcd/client/v3 v3.7.1\n",
    )?;
    for (room, package) in [("examples", "clientv3_test"), ("concurrency", "concurrency_test")] {
        let (from, to) =
            (Path::new(module).join("integration/clientv3").join(room), folder.join(room));
        make_folder(&to)?;
        write(&to.join("main_test.go"), &around.replace("clientv3_test", package))?;
        for name in names(&from)?.iter().filter(|name| name.starts_with("example_")) {
            write(&to.join(name), &read(&from.join(name))?)?;
        }
    }
    run_command(go_command(folder).args(["mod", "tidy"]))?;
    println!("left out for three members, or certificates: {GO_LEFT_OUT}");
    let server = Server::start()?;
    let skip = format!("^({GO_LEFT_OUT})");
    let mut test = go_command(folder);
    test.args(["test", "-v", "-count=1", "-p=1", "-skip", &skip, "./..."]);
    run_command(test.env("ETCD_ENDPOINTS", &server.endpoint))
}

fn go_command(folder: &Path) -> Command {
    let mut command = Command::new("go");
    command.env("GOTOOLCHAIN", "local").env("GOFLAGS", "").current_dir(folder);
    command
}

/// The tests of a package, as integration tests of one of our own that depends on it.
fn package(suite: &Suite, folder: &Path) -> Result<(), String> {
    let Suite { name, version, dependencies, .. } = suite;
    for room in ["src", "tests"] {
        make_folder(&folder.join(room))?;
    }
    write(&folder.join("src/lib.rs"), "")?;
    let manifest = format!(
        "[package]\nname = \"suite\"\nedition = \"2021\"\n\n[workspace]\n\n\
         [dependencies]\n{name} = \"={version}\"\n{dependencies}"
    );
    write(&folder.join("Cargo.toml"), &manifest)?;
    let metadata = output(cargo(["metadata", "--format-version", "1"]).current_dir(folder))?;
    let end = format!("{name}-{version}/Cargo.toml");
    let manifest = metadata.split('"').find(|text| text.ends_with(&end));
    let source = manifest
        .and_then(|path| Path::new(path).parent())
        .ok_or("cargo does not say where it is")?;
    let server = Server::start()?;
    for test in suite.tests {
        let text = read(&source.join("tests").join(test))?;
        let text = match suite.endpoint {
            "" => text,
            endpoint => text.replace(endpoint, &server.endpoint),
        };
        write(&folder.join("tests").join(test), &text)?;
    }
    if let Some((theirs, ours)) = suite.support {
        write(&folder.join("tests").join(theirs), &read(&root().join(ours))?)?;
    }
    println!("left out for three members: {:?}", suite.left_out);
    let etcdctl = etcd::path("3.7.1")?.with_file_name("etcdctl");
    for step in suite.prepared {
        let mut told = Command::new(&etcdctl);
        run_command(told.args(["--endpoints", &server.endpoint]).args(*step))?;
    }
    // What is ignored asks for the newest version, which this is.
    let mut test = cargo(["test", "--tests", "--no-fail-fast", "--", "--test-threads=1"]);
    test.arg("--include-ignored");
    test.args(suite.left_out.iter().flat_map(|name| ["--skip", name]));
    // Beside our own, so that a second run compiles nothing.
    let built = target().join("suites");
    run_command(
        test.current_dir(folder)
            .env("CARGO_TARGET_DIR", built)
            .env("ETCDKIT_EMBEDDED", program())
            .env("ETCD_ENDPOINTS", &server.endpoint),
    )
}

/// The embedded server behind etcd's flags, which takes a moment to build.
fn program() -> PathBuf {
    target().join("debug/etcdkit")
}

fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

fn names(folder: &Path) -> Result<Vec<String>, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    let entries =
        fs::read_dir(folder).map_err(failed)?.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    Ok(entries.iter().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}
