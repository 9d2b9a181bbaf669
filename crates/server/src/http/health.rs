//! Whether the member can serve.

use std::sync::Arc;
use std::time::Duration;

use etcdkit_proto::ServerError;
use etcdkit_proto::etcdserverpb::AlarmType;
use tokio::time::timeout;

use super::request::Head;
use super::response::Response;
use crate::node::Node;

/// How long a read may take: etcd's limit for any request.
const PATIENCE: Duration = Duration::from_secs(7);

/// One thing that is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Check {
    DataCorruption,
    SerializableRead,
    LinearizableRead,
    NonLearner,
}

/// What a member is that runs.
pub(super) const LIVE: [Check; 1] = [Check::SerializableRead];
/// What a member is that can be sent requests.
pub(super) const READY: [Check; 4] =
    [Check::DataCorruption, Check::SerializableRead, Check::LinearizableRead, Check::NonLearner];

impl Check {
    const fn name(self) -> &'static str {
        match self {
            Self::DataCorruption => "data_corruption",
            Self::SerializableRead => "serializable_read",
            Self::LinearizableRead => "linearizable_read",
            Self::NonLearner => "non_learner",
        }
    }

    async fn run(self, node: &Node) -> Result<(), String> {
        match self {
            Self::DataCorruption if node.state().has_alarm(AlarmType::Corrupt) => {
                Err("alarm activated: CORRUPT".to_owned())
            }
            Self::SerializableRead => local_read(node).map_err(|why| format!("range error: {why}")),
            Self::LinearizableRead => read(node).await.map_err(|why| format!("range error: {why}")),
            // A member alone is no learner.
            _ => Ok(()),
        }
    }
}

/// A read of what is in memory. It fails only if the storage is broken, since nothing is answered any more then.
fn local_read(node: &Node) -> Result<(), String> {
    node.commits().intact().map_err(|status| status.message.into_owned())
}

/// A read that has to be up to date: there is a leader, and the storage works.
async fn read(node: &Node) -> Result<(), String> {
    if !node.faults.has_leader() {
        return Err(ServerError::NoLeader.message().to_owned());
    }
    match timeout(PATIENCE, node.read(|_| Ok(()))).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(status)) => Err(status.message.into_owned()),
        Err(_) => Err(ServerError::Timeout.message().to_owned()),
    }
}

/// Answers to `/health`.
pub(super) async fn health(node: &Arc<Node>, head: &Head) -> Response {
    let serializable = head.parameters("serializable").any(|value| value == "true");
    let reason = reason(node, head, serializable).await;
    let healthy = reason.is_empty();
    let count = if healthy { &node.observed.healthy } else { &node.observed.unhealthy };
    count.add(1);
    // The texts are ours and have nothing to escape but what a message may bring.
    let reason = serde_json::Value::from(reason);
    let body = format!(r#"{{"health":"{healthy}","reason":{reason}}}"#);
    if healthy { Response::text(200, body) } else { Response::text(503, format!("{body}\n")) }
}

async fn reason(node: &Node, head: &Head, serializable: bool) -> String {
    for (kind, name) in [(AlarmType::NoSpace, "NOSPACE"), (AlarmType::Corrupt, "CORRUPT")] {
        let excluded = head.parameters("exclude").any(|excluded| excluded == name);
        if !excluded && node.state().has_alarm(kind) {
            return format!("ALARM {name}");
        }
    }
    let read = if serializable {
        local_read(node)
    } else if node.faults.has_leader() {
        read(node).await
    } else {
        return "RAFT NO LEADER".to_owned();
    };
    read.map_or_else(|why| format!("RANGE ERROR:{why}"), |()| String::new())
}

/// Answers to `/livez` and `/readyz`, or to one check below them.
pub(super) async fn checks(node: &Arc<Node>, head: &Head, all: &[Check], only: &str) -> Response {
    let wanted = |check: &&Check| only.is_empty() || check.name() == only;
    if !all.iter().any(|check| wanted(&check)) {
        return Response::not_found();
    }
    let mut lines = String::new();
    let mut failed = false;
    for check in all.iter().filter(wanted) {
        let name = check.name();
        if head.parameters("exclude").any(|excluded| excluded == name) {
            continue;
        }
        match check.run(node).await {
            Ok(()) => lines.push_str(&format!("[+]{name} ok\n")),
            Err(why) => {
                failed = true;
                lines.push_str(&format!("[-]{name} failed: {why}\n"));
            }
        }
    }
    if failed {
        return Response::text(503, format!("{lines}\n"));
    }
    let verbose = head.parameters("verbose").next().is_some();
    Response::text(200, if verbose { format!("{lines}ok\n") } else { "ok\n".to_owned() })
}
