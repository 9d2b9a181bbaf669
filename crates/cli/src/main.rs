//! The binary `etcdkit`, which is `etcdctl`, `etcdutl` and `etcd` too if it is called by their names.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut words = std::env::args_os();
    let name = words.next().unwrap_or_default();
    ExitCode::from(etcdkit_cli::run(&name, words, &mut etcdkit_cli::Console::of_process()))
}
