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
    let on_disk = node.commits().size().unwrap_or(size);
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let revision = |revision: i64| u64::try_from(revision).unwrap_or_default();
    let observed = &node.observed;
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
            "etcd_mvcc_range_total",
            COUNTER,
            "Ranges that were read, comparisons among them.",
            totals.ranges + totals.compares + observed.ranges.get(),
        ),
        (
            "etcd_mvcc_txn_total",
            COUNTER,
            "Transactions of more than one put, deletion or range.",
            totals.txns + observed.txns.get(),
        ),
        (
            "etcd_mvcc_db_open_read_transactions",
            GAUGE,
            "Copies and long reads of the state that are under way.",
            count(state.copies.len()),
        ),
        ("etcd_debugging_mvcc_keys_total", GAUGE, "Keys.", count(state.store.alive())),
        (
            "etcd_debugging_mvcc_total_put_size_in_bytes",
            GAUGE,
            "Bytes of keys and values that were put.",
            totals.put_bytes,
        ),
        (
            "etcd_debugging_mvcc_events_total",
            COUNTER,
            "Events that were sent to watchers.",
            observed.events.get(),
        ),
        (
            "etcd_debugging_mvcc_pending_events_total",
            GAUGE,
            "Events that wait to be sent.",
            count(state.hub.pending()),
        ),
        (
            "etcd_debugging_mvcc_db_compaction_keys_total",
            COUNTER,
            "Records that compactions removed.",
            totals.removed,
        ),
        (
            "etcd_debugging_mvcc_db_compaction_last",
            GAUGE,
            "When the last compaction was done, in seconds since 1970.",
            observed.compacted.get(),
        ),
        (
            "etcd_debugging_auth_revision",
            GAUGE,
            "The revision of users and roles.",
            state.auth.revision(),
        ),
        (
            "etcd_debugging_server_lease_expired_total",
            COUNTER,
            "Leases that ended by themselves.",
            totals.expired,
        ),
        ("etcd_server_health_success", COUNTER, "Good answers to /health.", observed.healthy.get()),
        (
            "etcd_server_health_failures",
            COUNTER,
            "Bad answers to /health.",
            observed.unhealthy.get(),
        ),
        (
            "etcd_disk_defrag_inflight",
            GAUGE,
            "Whether the storage is being defragmented.",
            observed.defragmenting.get(),
        ),
        // What a member without peers never does.
        (
            "etcd_server_heartbeat_send_failures_total",
            COUNTER,
            "Heartbeats that could not be sent to peers.",
            0,
        ),
        ("etcd_server_learner_promote_successes", COUNTER, "Learners that were made voters.", 0),
        ("etcd_server_read_indexes_failed_total", COUNTER, "Reads that no leader confirmed.", 0),
        ("etcd_server_slow_read_indexes_total", COUNTER, "Reads that a leader confirmed late.", 0),
        (
            "etcd_server_snapshot_apply_in_progress_total",
            GAUGE,
            "Snapshots of a leader that are being taken over.",
            0,
        ),
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
        observed.batches.write(name, help, &mut out);
    }
    for (name, help, histogram) in [
        (
            "etcd_disk_backend_defrag_duration_seconds",
            "How long defragmentations took.",
            &observed.defragmentations,
        ),
        (
            "etcd_disk_backend_snapshot_duration_seconds",
            "How long snapshots took until they were sent.",
            &observed.snapshots,
        ),
        ("etcd_mvcc_hash_duration_seconds", "How long hashes took.", &observed.hashes),
        (
            "etcd_mvcc_hash_rev_duration_seconds",
            "How long hashes of keys took.",
            &observed.key_hashes,
        ),
        (
            "etcd_debugging_lease_ttl_total",
            "The seconds that leases were granted for.",
            &observed.ttls,
        ),
        (
            "etcd_debugging_mvcc_db_compaction_pause_duration_milliseconds",
            "For how long steps of compactions kept others waiting.",
            &observed.pauses,
        ),
        (
            "etcd_debugging_mvcc_db_compaction_total_duration_milliseconds",
            "How long compactions took.",
            &observed.compactions,
        ),
    ] {
        histogram.write(name, help, &mut out);
    }
    calls(node, &mut out);
    super::process::add(&mut out);
    out
}

/// The calls of each method, under the names of gRPC's own exporters.
fn calls(node: &Node, out: &mut String) {
    let (mut started, mut handled, mut took) = (String::new(), String::new(), String::new());
    let (mut received, mut sent) = (String::new(), String::new());
    for calls in node.counts.all() {
        let kind = match calls.info.shape {
            Shape::Unary => "unary",
            Shape::ServerStream => "server_stream",
            Shape::Bidi => "bidi_stream",
        };
        let labels = format!(
            r#"grpc_method="{}",grpc_service="{}",grpc_type="{kind}""#,
            calls.info.name, calls.info.service
        );
        for (name, lines, count) in [
            ("grpc_server_started_total", &mut started, calls.started),
            ("grpc_server_msg_received_total", &mut received, calls.received),
            ("grpc_server_msg_sent_total", &mut sent, calls.sent),
        ] {
            // Writing to a string cannot fail.
            let _ = writeln!(lines, "{name}{{{labels}}} {count}");
        }
        for (code, count) in calls.handled {
            let code = if code == Code::Ok { "OK".to_owned() } else { code.to_string() };
            let _ = writeln!(
                handled,
                r#"grpc_server_handled_total{{grpc_code="{code}",{labels}}} {count}"#
            );
        }
        // A dozen lines for each method that somebody calls.
        if calls.took.total() > 0 {
            calls.took.write_labelled("grpc_server_handling_seconds", &labels, &mut took);
        }
    }
    for (name, kind, help, lines) in [
        ("grpc_server_started_total", COUNTER, "Calls that began.", started),
        ("grpc_server_handled_total", COUNTER, "Calls that ended, by their code.", handled),
        ("grpc_server_msg_received_total", COUNTER, "Messages of clients.", received),
        ("grpc_server_msg_sent_total", COUNTER, "Messages to clients.", sent),
        ("grpc_server_handling_seconds", "histogram", "How long calls took.", took),
    ] {
        let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{lines}");
    }
}
