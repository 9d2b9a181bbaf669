//! The metrics that there are, under etcd's names, in Prometheus' text format.

use std::fmt::Write as _;
use std::sync::atomic::Ordering;

use etcdkit_proto::Code;
use etcdkit_proto::method::Shape;

use crate::config::{CLUSTER_VERSION, VERSION};
use crate::node::Node;

const GAUGE: &str = "gauge";
const COUNTER: &str = "counter";

/// All of them, as they are now.
pub(super) fn text(node: &Node) -> String {
    let state = node.state();
    let leader = u64::from(node.faults.has_leader());
    let size = state.db_size();
    let on_disk = match node.is_durable() {
        true => node.commits().size.load(Ordering::Relaxed),
        false => size,
    };
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let revision = |revision: i64| u64::try_from(revision).unwrap_or_default();
    let syncs = node.commits().syncs.load(Ordering::Relaxed);
    let (settled, failed) = node.commits().settled_and_failed();
    let pending = if node.is_durable() { state.index.saturating_sub(settled) } else { 0 };
    let totals = state.totals;
    let (received, sent) = (&node.counts.received, &node.counts.sent);
    let quota = node.config.quota_backend_bytes;
    let mut out = String::new();
    for (name, kind, help, value) in [
        ("etcd_server_has_leader", GAUGE, "Whether the member knows a leader.", leader),
        ("etcd_server_is_leader", GAUGE, "Whether the member leads.", leader),
        ("etcd_server_is_learner", GAUGE, "Whether the member is a learner.", 0),
        (
            "etcd_server_proposals_committed_total",
            GAUGE,
            "The index of the last committed request.",
            state.index,
        ),
        (
            "etcd_server_proposals_applied_total",
            GAUGE,
            "The index of the last applied request.",
            state.index,
        ),
        ("etcd_server_proposals_pending", GAUGE, "Requests that are not durable yet.", pending),
        (
            "etcd_server_proposals_failed_total",
            COUNTER,
            "Requests that were lost to a full disk.",
            failed,
        ),
        ("etcd_server_leader_changes_seen_total", COUNTER, "Leaders that were seen.", 1),
        (
            "etcd_server_quota_backend_bytes",
            GAUGE,
            "The size from which on writes are refused.",
            quota,
        ),
        ("etcd_mvcc_db_total_size_in_bytes", GAUGE, "Bytes of the database.", on_disk),
        (
            "etcd_mvcc_db_total_size_in_use_in_bytes",
            GAUGE,
            "Bytes of the database in use.",
            size.min(on_disk),
        ),
        (
            "etcd_debugging_mvcc_current_revision",
            GAUGE,
            "The present revision.",
            revision(state.published()),
        ),
        (
            "etcd_debugging_mvcc_compact_revision",
            GAUGE,
            "The revision of the last compaction.",
            revision(state.store.compacted()),
        ),
        (
            "etcd_debugging_mvcc_watch_stream_total",
            GAUGE,
            "Open streams of watches.",
            count(state.hub.streams()),
        ),
        ("etcd_debugging_mvcc_watcher_total", GAUGE, "Watches.", count(state.hub.len())),
        (
            "etcd_debugging_mvcc_slow_watcher_total",
            GAUGE,
            "Watches that lag.",
            count(state.hub.lagging()),
        ),
        ("etcd_mvcc_put_total", COUNTER, "Puts.", totals.puts),
        ("etcd_mvcc_delete_total", COUNTER, "Deletions.", totals.deletions),
        (
            "etcd_debugging_lease_granted_total",
            COUNTER,
            "Leases that were granted.",
            totals.granted,
        ),
        ("etcd_debugging_lease_revoked_total", COUNTER, "Leases that ended.", totals.revoked),
        ("etcd_debugging_lease_renewed_total", COUNTER, "Renewals of leases.", totals.renewed),
        (
            "etcd_network_client_grpc_received_bytes_total",
            COUNTER,
            "Bytes that came from clients by gRPC.",
            received.load(Ordering::Relaxed),
        ),
        (
            "etcd_network_client_grpc_sent_bytes_total",
            COUNTER,
            "Bytes that went to clients by gRPC.",
            sent.load(Ordering::Relaxed),
        ),
        ("etcdkit_server_storage_syncs_total", COUNTER, "Syncs of the storage.", syncs),
    ] {
        // Writing to a string cannot fail.
        let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n");
    }
    for (name, help, label, value) in [
        (
            "etcd_server_version",
            "The version whose behaviour this server shows.",
            "server_version",
            VERSION,
        ),
        ("etcd_cluster_version", "The version of the cluster.", "cluster_version", CLUSTER_VERSION),
        (
            "etcd_server_id",
            "The member's id.",
            "server_id",
            &format!("{:x}", state.identity.member),
        ),
    ] {
        let _ = write!(
            out,
            "# HELP {name} {help}\n# TYPE {name} gauge\n{name}{{{label}=\"{value}\"}} 1\n"
        );
    }
    drop(state);
    // There is no log beside the storage: a batch is durable when it is committed.
    for (name, help) in [
        ("etcd_disk_wal_fsync_duration_seconds", "How long it took until requests were durable."),
        ("etcd_disk_backend_commit_duration_seconds", "How long commits to the storage took."),
    ] {
        node.commits().batches.write(name, help, &mut out);
    }
    calls(node, &mut out);
    super::process::add(&mut out);
    out
}

/// The calls of each method, under the names of gRPC's own exporters.
fn calls(node: &Node, out: &mut String) {
    let (mut started, mut handled) = (String::new(), String::new());
    for (info, count, ended) in node.counts.all() {
        let kind = match info.shape {
            Shape::Unary => "unary",
            Shape::ServerStream => "server_stream",
            Shape::Bidi => "bidi_stream",
        };
        let labels = format!(
            r#"grpc_method="{}",grpc_service="{}",grpc_type="{kind}""#,
            info.name, info.service
        );
        // Writing to a string cannot fail.
        let _ = writeln!(started, "grpc_server_started_total{{{labels}}} {count}");
        for (code, count) in ended {
            let code = if code == Code::Ok { "OK".to_owned() } else { code.to_string() };
            let _ = writeln!(
                handled,
                r#"grpc_server_handled_total{{grpc_code="{code}",{labels}}} {count}"#
            );
        }
    }
    for (name, help, lines) in [
        ("grpc_server_started_total", "Calls that began.", started),
        ("grpc_server_handled_total", "Calls that ended, by their code.", handled),
    ] {
        let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} {COUNTER}\n{lines}");
    }
}
