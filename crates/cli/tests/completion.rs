//! What bash offers, with the script that `completion bash` prints.
#![cfg(unix)]

use std::process::Command;

use etcdkit_server::Server;

/// The limit of 1 s is not for busy machines.
const PATIENCE: &str = "50s";

/// What bash would offer for a line with the cursor at its end. `None` where there is no bash.
fn offered(line: &str, endpoint: &str, timeout: &str) -> Option<Vec<String>> {
    const ASK: &str = r#"
        source <("$BINARY" completion bash) || exit 1
        COMP_LINE=$1; COMP_POINT=${#1}
        # As bash takes words apart.
        read -ra COMP_WORDS <<<"${1//[:=]/ & }"
        [[ $1 == *" " || $1 == *= || $1 == *: ]] && COMP_WORDS+=("")
        COMP_CWORD=$((${#COMP_WORDS[@]}-1))
        _etcdkit_complete
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let binary = env!("CARGO_BIN_EXE_etcdkit");
    let line = line.replacen("etcdkit", binary, 1);
    let mut command = Command::new("bash");
    command.args(["--norc", "-c", ASK, "bash", &line]);
    command.env("BINARY", binary).env("ETCDCTL_ENDPOINTS", endpoint);
    command.env("ETCDCTL_COMMAND_TIMEOUT", timeout);
    let output = command.output().ok()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    Some(text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bash_offers_commands_flags_values_and_the_clusters_keys() {
    let server = Server::builder().listen("127.0.0.1:0").start().await.expect("it starts");
    let endpoint = server.client_urls()[0].clone();
    let client = etcdkit::Client::connect([endpoint.as_str()]).await.expect("it serves");
    for key in ["/jobs/1", "/jobs/2", "/jobs/late/3", "/users:a/x", "/odd key", "alone"] {
        client.put(key, "1").await.expect("it takes it");
    }
    for (line, expected) in [
        ("etcdkit ser", &["serve"][..]),
        ("etcdkit bench pu", &["put"]),
        ("etcdkit man --al", &["--all"]),
        ("etcdkit completion ", &["bash", "zsh", "fish", "powershell"]),
        ("etcdkit get --write-out t", &["table"]),
        // bash puts back what is behind the '='.
        ("etcdkit get --write-out=t", &["table"]),
        ("etcdkit get al", &["alone"]),
        ("etcdkit get /", &["/jobs/", "/users:a/"]),
        ("etcdkit get /jobs/", &["/jobs/1", "/jobs/2", "/jobs/late/"]),
        ("etcdkit get /users:a/", &["a/x"]),
        ("etcdkit get nothing", &[]),
    ] {
        let Some(found) = offered(line, &endpoint, PATIENCE) else {
            println!("skipped: no bash");
            return;
        };
        assert_eq!(found, expected, "{line}");
    }
    let found = offered("etcdkit get /jobs/", "127.0.0.1:1", "1s");
    assert_eq!(found.expect("there is a bash"), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fish_offers_the_same() {
    let server = Server::builder().listen("127.0.0.1:0").start().await.expect("it starts");
    let endpoint = server.client_urls()[0].clone();
    let client = etcdkit::Client::connect([endpoint.as_str()]).await.expect("it serves");
    for key in ["/jobs/1", "/jobs/2", "alone"] {
        client.put(key, "1").await.expect("it takes it");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let link = folder.path().join("etcdkit");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_etcdkit"), link).expect("a link");
    for (line, expected) in [
        ("etcdkit ser", "serve"),
        ("etcdkit get --write-out t", "table"),
        ("etcdkit get al", "alone"),
        ("etcdkit get /", "/jobs/"),
        ("etcdkit get /jobs/", "/jobs/1 /jobs/2"),
    ] {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new("fish");
        command.args(["--no-config", "-c"]);
        command.arg(format!("etcdkit completion fish | source; complete -C '{line}'"));
        command.env("PATH", format!("{}:{path}", folder.path().display()));
        command.env("HOME", folder.path()).env("ETCDCTL_ENDPOINTS", &endpoint);
        command.env("ETCDCTL_COMMAND_TIMEOUT", PATIENCE);
        let Ok(output) = command.output() else {
            println!("skipped: no fish");
            return;
        };
        let text = String::from_utf8(output.stdout).expect("text");
        // What it is for stands behind a tab.
        let words = text.lines().map(|line| line.split('\t').next().unwrap_or_default());
        assert_eq!(words.collect::<Vec<_>>().join(" "), expected, "{line}: {text}");
    }
}

#[test]
fn every_shell_has_a_script_that_names_its_tool() {
    for shell in ["bash", "zsh", "fish", "powershell"] {
        for tool in ["etcdkit", "etcdctl", "etcdutl"] {
            let mut command = Command::new(env!("CARGO_BIN_EXE_etcdkit"));
            std::os::unix::process::CommandExt::arg0(&mut command, tool);
            let output = command.args(["completion", shell]).output().expect("it runs");
            let text = String::from_utf8(output.stdout).expect("text");
            assert!(text.contains(tool) && text.contains("__complete"), "{shell}: {text}");
            assert!(!text.contains("TOOL"), "{shell}: {text}");
        }
    }
}
