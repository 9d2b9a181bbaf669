//! What commands run on: a real etcd, or `etcdkit serve`.

#[expect(dead_code, reason = "the tests of serve use more of it")]
#[path = "../serve/process.rs"]
mod process;

use etcdkit_testkit::etcd::{Etcd, Version};
use tempfile::TempDir;

use self::process::Running;
use super::tool::Tool;

/// What a member can be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Etcd(Version),
    Serve,
}

/// A member that serves, and the tool that talks to it.
pub(crate) struct Target {
    pub(crate) kind: Kind,
    pub(crate) tool: Tool,
    _member: Member,
}

enum Member {
    Etcd(Box<Etcd>),
    Serve { running: Running, _folder: TempDir },
}

impl Kind {
    pub(crate) async fn start(self) -> Target {
        self.start_with(&[]).await
    }

    /// The same with more flags.
    pub(crate) async fn start_with(self, arguments: &[&str]) -> Target {
        let member = match self {
            Self::Etcd(version) => {
                let member = Etcd::builder(version).argument("--bcrypt-cost=4");
                let add = |member: etcdkit_testkit::etcd::Builder<Etcd>, argument: &&str| {
                    member.argument(*argument)
                };
                Member::Etcd(Box::new(arguments.iter().fold(member, add).start().await))
            }
            Self::Serve => {
                let folder = TempDir::new().expect("a folder can be made");
                let mut all = vec!["--listen-client-urls=http://127.0.0.1:0", "--bcrypt-cost=4"];
                all.extend(arguments);
                let running = Running::start(folder.path(), &all);
                Member::Serve { running, _folder: folder }
            }
        };
        let endpoint = match &member {
            Member::Etcd(etcd) => etcd.client_addr().to_string(),
            Member::Serve { running, .. } => running.address.clone(),
        };
        Target { kind: self, tool: Tool::new(endpoint), _member: member }
    }

    /// Whether it does what `major.minor` does.
    pub(crate) fn at_least(self, major: u32, minor: u32) -> bool {
        match self {
            Self::Etcd(version) => version.at_least(major, minor),
            Self::Serve => true,
        }
    }
}
