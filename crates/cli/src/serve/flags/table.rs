//! etcd 3.7's server flags, as data: what kind of value each takes, its default, and what becomes of it here.

use super::kind::Kind;
use super::kind::Kind::{Choice, Duration, Integer, List, Natural, Natural32, Switch, Text, Urls};

/// One flag.
#[derive(Debug)]
pub(crate) struct Flag {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// As the command line would say it.
    pub(crate) default: &'static str,
    pub(crate) fate: Fate,
    pub(crate) about: &'static str,
}

/// What becomes of a flag that is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It does here what it does in etcd.
    Served,
    /// It is checked and logged, and has nothing to act on in a server without peers.
    Recorded,
    /// It is accepted with its default, and refused with any other value, for this reason.
    Refused(&'static str),
}

/// Flags that belong together, as help shows them.
#[derive(Debug)]
pub(crate) struct Section {
    pub(crate) title: &'static str,
    pub(crate) flags: &'static [Flag],
}

const NO_DISCOVERY: &str =
    "this server is a cluster of its own and joins none, so that there is nothing to discover";
const NO_TRACING: &str = "traces are not exported";
const NO_ROTATION: &str =
    "log files are not rotated: log to stderr, and let the service manager keep the logs";

const fn flag(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    fate: Fate,
    about: &'static str,
) -> Flag {
    Flag { name, kind, default, fate, about }
}

use Fate::{Recorded, Refused, Served};

pub(crate) const SECTIONS: &[Section] = &[
    Section {
        title: "Member",
        flags: &[
            flag("name", Text, "default", Served, "The member's name."),
            flag(
                "data-dir",
                Text,
                "",
                Served,
                "The folder that everything is kept in; the name and '.etcd' by default.",
            ),
            flag("wal-dir", Text, "", Recorded, "A folder for the write-ahead log: there is none."),
            flag("snapshot-count", Natural, "10000", Recorded, "Entries between raft snapshots."),
            flag(
                "heartbeat-interval",
                Natural,
                "100",
                Served,
                "Milliseconds between heartbeats; with the election timeout it bounds leases.",
            ),
            flag(
                "election-timeout",
                Natural,
                "1000",
                Served,
                "Milliseconds until an election; leases live longer by it after a restart.",
            ),
            flag(
                "initial-election-tick-advance",
                Switch,
                "true",
                Recorded,
                "Whether a start skips ahead to the election.",
            ),
            flag(
                "listen-peer-urls",
                Urls,
                "http://localhost:2380",
                Recorded,
                "Where peers would be listened for.",
            ),
            flag(
                "listen-client-urls",
                Urls,
                "http://localhost:2379",
                Served,
                "Where clients are listened for: gRPC, and HTTP unless it has URLs of its own.",
            ),
            flag(
                "listen-client-http-urls",
                Urls,
                "",
                Served,
                "Where HTTP clients alone are listened for, and no longer on the URLs above.",
            ),
            flag("max-snapshots", Natural, "5", Recorded, "Raft snapshot files that are kept."),
            flag("max-wals", Natural, "5", Recorded, "Log files that are kept."),
            flag(
                "memory-mlock",
                Switch,
                "false",
                Refused("memory is not locked: turn swap off for this machine or this service"),
                "Keep everything in memory that is not swapped.",
            ),
            flag(
                "quota-backend-bytes",
                Integer,
                "0",
                Served,
                "Bytes of the database from which on writes are refused; 0 is 2 GiB, less is no limit.",
            ),
            flag(
                "backend-bbolt-freelist-type",
                Choice(&["map", "array"]),
                "map",
                Recorded,
                "How bbolt keeps free pages.",
            ),
            flag(
                "backend-batch-interval",
                Duration,
                "0s",
                Recorded,
                "Time between bbolt's commits.",
            ),
            flag("backend-batch-limit", Integer, "0", Recorded, "Operations in one bbolt commit."),
            flag("max-txn-ops", Natural, "128", Served, "Operations in a transaction."),
            flag("max-request-bytes", Natural, "1572864", Served, "Bytes of a request."),
            flag(
                "max-concurrent-streams",
                Natural32,
                "4294967295",
                Served,
                "Calls that a connection may have open at once.",
            ),
            flag(
                "grpc-keepalive-min-time",
                Duration,
                "5s",
                Served,
                "How long a client waits before it pings again.",
            ),
            flag(
                "grpc-keepalive-interval",
                Duration,
                "2h0m0s",
                Served,
                "Time between the server's pings.",
            ),
            flag(
                "grpc-keepalive-timeout",
                Duration,
                "20s",
                Served,
                "How long a ping may stay unanswered.",
            ),
            flag(
                "socket-reuse-port",
                Switch,
                "false",
                Refused("ports are not shared between processes"),
                "Listen on a port that another process listens on too.",
            ),
            flag(
                "socket-reuse-address",
                Switch,
                "false",
                Recorded,
                "Listen on an address that was just let go: always so, except on Windows.",
            ),
            flag("enable-grpc-gateway", Switch, "true", Served, "Offer the JSON gateway."),
            flag("raft-read-timeout", Duration, "5s", Recorded, "How long to read from a peer."),
            flag("raft-write-timeout", Duration, "5s", Recorded, "How long to write to a peer."),
            flag(
                "feature-gates",
                Kind::Gates,
                "",
                Recorded,
                "Features as NAME=true|false, separated by commas; the names are etcd's.",
            ),
        ],
    },
    Section {
        title: "Clustering",
        flags: &[
            flag(
                "initial-advertise-peer-urls",
                Urls,
                "http://localhost:2380",
                Served,
                "The member's peer URLs in the member list; its ids follow from them.",
            ),
            flag("initial-cluster", Text, "", Served, "NAME=URL of the member: this one alone."),
            flag(
                "initial-cluster-state",
                Choice(&["new", "existing"]),
                "new",
                Served,
                "'new', or 'existing' where the data folder holds a member already.",
            ),
            flag(
                "initial-cluster-token",
                Text,
                "etcd-cluster",
                Served,
                "What tells clusters of the same URLs apart.",
            ),
            flag(
                "advertise-client-urls",
                Urls,
                "http://localhost:2379",
                Served,
                "The member's client URLs in the member list.",
            ),
            flag("discovery", Text, "", Refused(NO_DISCOVERY), "URL of v2 discovery."),
            flag("discovery-token", Text, "", Refused(NO_DISCOVERY), "Token of v3 discovery."),
            flag(
                "discovery-endpoints",
                List,
                "",
                Refused(NO_DISCOVERY),
                "Endpoints of v3 discovery.",
            ),
            flag("discovery-dial-timeout", Duration, "2s", Recorded, "For v3 discovery."),
            flag("discovery-request-timeout", Duration, "5s", Recorded, "For v3 discovery."),
            flag("discovery-keepalive-time", Duration, "2s", Recorded, "For v3 discovery."),
            flag("discovery-keepalive-timeout", Duration, "6s", Recorded, "For v3 discovery."),
            flag("discovery-insecure-transport", Switch, "true", Recorded, "For v3 discovery."),
            flag(
                "discovery-insecure-skip-tls-verify",
                Switch,
                "false",
                Recorded,
                "For v3 discovery.",
            ),
            flag("discovery-cert", Text, "", Recorded, "For v3 discovery."),
            flag("discovery-key", Text, "", Recorded, "For v3 discovery."),
            flag("discovery-cacert", Text, "", Recorded, "For v3 discovery."),
            flag("discovery-user", Text, "", Recorded, "For v3 discovery."),
            flag("discovery-password", Text, "", Recorded, "For v3 discovery."),
            flag(
                "discovery-fallback",
                Choice(&["exit", "proxy"]),
                "exit",
                Refused("there is no proxy to fall back to"),
                "What follows when discovery fails.",
            ),
            flag("discovery-proxy", Text, "", Refused(NO_DISCOVERY), "Proxy to discovery."),
            flag("discovery-srv", Text, "", Refused(NO_DISCOVERY), "Domain of SRV discovery."),
            flag(
                "discovery-srv-name",
                Text,
                "",
                Refused(NO_DISCOVERY),
                "Service of SRV discovery.",
            ),
            flag(
                "strict-reconfig-check",
                Switch,
                "true",
                Recorded,
                "Refuse changes of members that would cost the quorum.",
            ),
            flag("pre-vote", Switch, "true", Recorded, "Whether elections are asked about first."),
            flag(
                "auto-compaction-retention",
                Text,
                "0",
                Served,
                "What is kept when history is forgotten: a time, in hours without a unit, or revisions.",
            ),
            flag(
                "auto-compaction-mode",
                Text,
                "periodic",
                Served,
                "'periodic' or 'revision': what the retention counts.",
            ),
            flag(
                "v2-deprecation",
                Choice(&[
                    "not-yet",
                    "write-only",
                    "write-only-skip-check",
                    "write-only-drop-data",
                    "gone",
                ]),
                "write-only",
                Recorded,
                "How far the v2 store is gone.",
            ),
        ],
    },
    Section {
        title: "Security",
        flags: &[
            flag("cert-file", Text, "", Served, "The server's certificate, in PEM."),
            flag("key-file", Text, "", Served, "Its key, in PEM."),
            flag("client-cert-auth", Switch, "false", Served, "Demand a certificate of clients."),
            flag("client-cert-file", Text, "", Recorded, "For the server's own calls."),
            flag("client-key-file", Text, "", Recorded, "For the server's own calls."),
            flag("client-crl-file", Text, "", Served, "Revoked certificates of clients, in PEM."),
            flag(
                "client-cert-allowed-hostname",
                List,
                "",
                Served,
                "Names of which a client's certificate must have one.",
            ),
            flag(
                "trusted-ca-file",
                Text,
                "",
                Served,
                "The authority of clients, in PEM; with it, certificates are demanded.",
            ),
            flag("auto-tls", Switch, "false", Served, "Make a certificate of one's own."),
            flag("peer-cert-file", Text, "", Recorded, "For peers."),
            flag("peer-key-file", Text, "", Recorded, "For peers."),
            flag("peer-client-cert-auth", Switch, "false", Recorded, "For peers."),
            flag("peer-client-cert-file", Text, "", Recorded, "For peers."),
            flag("peer-client-key-file", Text, "", Recorded, "For peers."),
            flag("peer-trusted-ca-file", Text, "", Recorded, "For peers."),
            flag("peer-cert-allowed-cn", List, "", Recorded, "For peers."),
            flag("peer-cert-allowed-hostname", List, "", Recorded, "For peers."),
            flag("peer-auto-tls", Switch, "false", Recorded, "For peers."),
            flag(
                "self-signed-cert-validity",
                Natural,
                "1",
                Served,
                "Years that a certificate of one's own is valid.",
            ),
            flag("peer-crl-file", Text, "", Recorded, "For peers."),
            flag("cipher-suites", List, "", Served, "Cipher suites of TLS 1.2."),
            flag(
                "cors",
                List,
                "",
                Recorded,
                "Origins of pages that may ask; none may, but those of host-whitelist.",
            ),
            flag(
                "host-whitelist",
                List,
                "",
                Served,
                "Names by which the JSON gateway may be asked; by default this machine's and those of the client URLs.",
            ),
            flag("tls-min-version", Text, "TLS1.2", Served, "The oldest TLS that is spoken."),
            flag("tls-max-version", Text, "", Served, "The newest TLS that is spoken."),
        ],
    },
    Section {
        title: "Auth",
        flags: &[
            flag(
                "auth-token",
                Text,
                "simple",
                Served,
                "'simple', or 'jwt,sign-method=…,pub-key=…,priv-key=…,ttl=…'.",
            ),
            flag("bcrypt-cost", Natural, "10", Served, "Work of a password's hash, from 4 to 31."),
            flag("auth-token-ttl", Natural, "300", Served, "Seconds that an unused token lives."),
        ],
    },
    Section {
        title: "Profiling and Monitoring",
        flags: &[
            flag(
                "enable-pprof",
                Switch,
                "false",
                Refused("there is no Go runtime to profile"),
                "Offer Go's profiles.",
            ),
            flag(
                "metrics",
                Choice(&["basic", "extensive"]),
                "basic",
                Recorded,
                "How much detail the metrics have; always all there is.",
            ),
            flag(
                "listen-metrics-urls",
                Urls,
                "",
                Served,
                "Where metrics and health are offered too, and no keys.",
            ),
        ],
    },
    Section {
        title: "Logging",
        flags: &[
            flag("logger", Text, "zap", Served, "The log's shape: 'zap' alone is known."),
            flag(
                "log-outputs",
                List,
                "default",
                Served,
                "'default' and 'stderr', 'stdout', or files, separated by commas.",
            ),
            flag(
                "log-level",
                Choice(&["debug", "info", "warn", "error", "panic", "fatal"]),
                "info",
                Served,
                "The least level that is logged.",
            ),
            flag("log-format", Text, "json", Served, "'json' or 'console'."),
            flag(
                "enable-log-rotation",
                Switch,
                "false",
                Refused(NO_ROTATION),
                "Begin new log files as they grow.",
            ),
            flag("log-rotation-config-json", Text, "", Recorded, "When to begin a new log file."),
            flag(
                "warning-unary-request-duration",
                Duration,
                "300ms",
                Recorded,
                "From which time on a request is logged as slow.",
            ),
        ],
    },
    Section {
        title: "Distributed tracing",
        flags: &[
            flag(
                "enable-distributed-tracing",
                Switch,
                "false",
                Refused(NO_TRACING),
                "Export traces.",
            ),
            flag("distributed-tracing-address", Text, "localhost:4317", Recorded, "Where to."),
            flag("distributed-tracing-service-name", Text, "etcd", Recorded, "As which service."),
            flag("distributed-tracing-instance-id", Text, "", Recorded, "As which instance."),
            flag("distributed-tracing-sampling-rate", Integer, "0", Recorded, "Of a million."),
        ],
    },
    Section {
        title: "Features",
        flags: &[
            flag(
                "corrupt-check-time",
                Duration,
                "0s",
                Recorded,
                "Time between checks of the members.",
            ),
            flag(
                "compact-hash-check-time",
                Duration,
                "1m0s",
                Recorded,
                "Time between such checks.",
            ),
            flag("compaction-batch-limit", Integer, "1000", Recorded, "Revisions removed at once."),
            flag("peer-skip-client-san-verification", Switch, "false", Recorded, "For peers."),
            flag(
                "watch-progress-notify-interval",
                Duration,
                "10m0s",
                Served,
                "How often watchers that ask for it hear that nothing happened.",
            ),
            flag("warning-apply-duration", Duration, "100ms", Recorded, "When applying is slow."),
            flag(
                "bootstrap-defrag-threshold-megabytes",
                Natural,
                "0",
                Recorded,
                "When a start defragments.",
            ),
            flag("max-learners", Integer, "1", Recorded, "Learners that a cluster may have."),
            flag("compaction-sleep-interval", Duration, "10ms", Recorded, "Pause in compactions."),
            flag("downgrade-check-time", Duration, "5s", Recorded, "Time between such checks."),
            flag(
                "snapshot-catchup-entries",
                Natural,
                "5000",
                Recorded,
                "Entries kept for slow followers.",
            ),
        ],
    },
    Section {
        title: "Unsafe feature",
        flags: &[
            flag(
                "force-new-cluster",
                Switch,
                "false",
                Recorded,
                "Be a cluster of one member: always so.",
            ),
            flag(
                "unsafe-no-fsync",
                Switch,
                "false",
                Recorded,
                "Leave syncing out; it is never left out. For tests there is --in-memory.",
            ),
        ],
    },
    Section {
        title: "Of etcdkit's own",
        flags: &[
            flag(
                "in-memory",
                Switch,
                "false",
                Served,
                "Keep nothing: no folder is made, and everything ends with the process.",
            ),
            flag(
                "from-snapshot",
                Text,
                "",
                Served,
                "Begin with the keys of a file that 'snapshot save' made; for a new data folder.",
            ),
        ],
    },
];

/// Every flag.
pub(crate) fn all() -> impl Iterator<Item = &'static Flag> {
    SECTIONS.iter().flat_map(|section| section.flags)
}

/// The flag of that name.
pub(crate) fn find(name: &str) -> Option<&'static Flag> {
    all().find(|flag| flag.name == name)
}
