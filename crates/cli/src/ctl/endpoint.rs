//! `endpoint`: how each endpoint fares.

pub(crate) mod size;

use std::time::Instant;

use etcdkit::proto::etcdserverpb::*;
use etcdkit::proto::method;
use etcdkit::{Client, ServerError};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::print::fields::{Writer, alarm_name};
use super::print::json::{self, Json, Object};
use super::print::{Format, table, unsupported};
use super::session::Session;
use super::{heading, refusal};
use crate::command::{Action, Call, Command, Flag};
use crate::failure::{Failure, Result, exit};
use crate::pause::{now, since};

pub(super) static ENDPOINT: Command = Command {
    usage: "endpoint",
    short: "Endpoint related commands. Use `etcdctl endpoint --help` to see subcommands",
    heading: heading::CLUSTER,
    long: "Endpoint related commands",
    persistent: &[Flag::bool("cluster", "use all endpoints from the cluster member list")],
    commands: &[&ENDPOINT_HASHKV, &ENDPOINT_HEALTH, &ENDPOINT_STATUS],
    ..Command::BASE
};

static ENDPOINT_HASHKV: Command = Command {
    usage: "hashkv",
    short: "Prints the KV history hash for each endpoint in --endpoints",
    flags: &[Flag::int("rev", "0", "maximum revision to hash (default: latest revision)")],
    action: Action::Run(endpoint_hashkv),
    ..Command::BASE
};

static ENDPOINT_HEALTH: Command = Command {
    usage: "health",
    short: "Checks the healthiness of endpoints specified in `--endpoints` flag",
    action: Action::Run(endpoint_health),
    ..Command::BASE
};

static ENDPOINT_STATUS: Command = Command {
    usage: "status",
    short: "Prints out the status of endpoints specified in `--endpoints` flag",
    long: "When --write-out is set to simple, this command prints out comma-separated status lists for each endpoint.
The items in the lists are endpoint, ID, version, db size, is leader, is learner, raft term, raft index, raft applied index, errors.",
    action: Action::Run(endpoint_status),
    ..Command::BASE
};

/// A session, and the endpoints that are asked: those of the flags, or with `--cluster` those of all members.
pub(super) fn open(call: &mut Call<'_>) -> Result<(Session, Vec<String>)> {
    let session = Session::open(call)?;
    if !call.flags.bool("cluster") {
        let endpoints = session.endpoints.clone();
        return Ok((session, endpoints));
    }
    let request = MemberListRequest { linearizable: true };
    let members = session.try_call(method::cluster::MEMBER_LIST, &request).map_err(|error| {
        let words = refusal::words(&error);
        refusal::with_hint(
            Failure::error(format!(
                "failed to fetch endpoints from etcd cluster member list: {words}"
            )),
            &error,
        )
    })?;
    let urls = members.members.into_iter().flat_map(|member| member.client_urls).collect();
    Ok((session, urls))
}

/// How healthy an endpoint is.
struct Health {
    endpoint: String,
    took: String,
    error: Option<String>,
    /// What to do about it.
    hint: Option<String>,
}

impl Json for Health {
    fn is_empty(&self) -> bool {
        false
    }

    fn write(&self, into: &mut String) {
        Object::begin(into)
            .always("endpoint", &self.endpoint)
            .always("health", &self.error.is_none())
            .always("took", &self.took)
            .field("error", &self.error)
            .end();
    }
}

fn endpoint_health(call: &mut Call<'_>) -> Result<()> {
    let (session, endpoints) = open(call)?;
    let display = session.display;
    let mut pending = FuturesUnordered::new();
    for endpoint in endpoints {
        let client = session.alone_at(&endpoint)?;
        pending.push(async move {
            let start: Instant = now();
            let (error, hint) = ailment(&client).await.unzip();
            Health { endpoint, took: since(start), error, hint: hint.flatten() }
        });
    }
    let mut found: Vec<Health> = session.block_on(async {
        let mut found = Vec::new();
        while let Some(health) = pending.next().await {
            found.push(health);
        }
        found
    });
    // In the order in which they answer; with the official tool those that don't are last.
    found.sort_by_key(|health| health.error.is_some());
    let is_healthy = found.iter().all(|health| health.error.is_none());
    let console = &mut *call.console;
    match display.format {
        Format::Simple => {
            for Health { endpoint, took, error, .. } in &found {
                match error {
                    None => console.line(format!(
                        "{endpoint} is healthy: successfully committed proposal: took = {took}"
                    ))?,
                    Some(error) => console.error_line(format_args!(
                        "{endpoint} is unhealthy: failed to commit proposal: {error}"
                    )),
                }
            }
        }
        Format::Json => console.line(json::text(&found))?,
        Format::Fields => {
            let mut writer = Writer::new(display.hex);
            for Health { endpoint, took, error, .. } in &found {
                writer.quoted("Endpoint", endpoint);
                writer.field("Health", error.is_none());
                writer.field("Took", took);
                writer.field("Error", error.as_deref().unwrap_or_default());
                writer.empty_line();
            }
            console.print(writer.finish())?;
        }
        Format::Table => {
            let rows: Vec<Vec<String>> = found
                .iter()
                .map(|health| {
                    vec![
                        health.endpoint.clone(),
                        health.error.is_none().to_string(),
                        health.took.clone(),
                        health.error.clone().unwrap_or_default(),
                    ]
                })
                .collect();
            console.print(table::draw(&["ENDPOINT", "HEALTH", "TOOK", "ERROR"], &rows))?;
        }
        Format::Protobuf => return Err(unsupported(display.format)),
    }
    for hint in found.iter().filter_map(|health| health.hint.as_ref()) {
        console.hint(hint);
    }
    if is_healthy { Ok(()) } else { Err(Failure::error("unhealthy cluster")) }
}

/// How alarms end.
const ALARMED: &str = "NOSPACE: compact, defrag, then `alarm disarm`; CORRUPT: restore the member that `endpoint hashkv` \
                       shows to be different";

/// What ails an endpoint, and what to do about it. A read that goes through the whole cluster has to work, be it refused to this user, and there
/// must be no alarm.
async fn ailment(client: &Client) -> Option<(String, Option<String>)> {
    let read = RangeRequest { key: "health".into(), ..RangeRequest::default() };
    match client.raw(method::kv::RANGE, &read).await {
        Ok(_) => {}
        Err(error) if error.server_error() == Some(ServerError::PermissionDenied) => {}
        Err(error) => return Some((refusal::words(&error), refusal::hint(&error))),
    }
    match client.raw(method::maintenance::ALARM, &AlarmRequest::default()).await {
        Ok(response) if response.alarms.is_empty() => None,
        Ok(response) => {
            let alarms: String = response
                .alarms
                .iter()
                .map(|alarm| format!("{} ", alarm_name(alarm.alarm)))
                .collect();
            Some((format!("Active Alarm(s): {alarms}"), Some(ALARMED.to_owned())))
        }
        Err(error) if error.server_error() == Some(ServerError::PermissionDenied) => None,
        Err(error) => Some(("Unable to fetch the alarm list".to_owned(), refusal::hint(&error))),
    }
}

/// An endpoint with what it answered.
struct Answered<T> {
    endpoint: String,
    name: &'static str,
    answer: T,
}

impl<T: Json> Json for Answered<T> {
    fn is_empty(&self) -> bool {
        false
    }

    fn write(&self, into: &mut String) {
        Object::begin(into)
            .always("Endpoint", &self.endpoint)
            .always(self.name, &self.answer)
            .end();
    }
}

fn endpoint_status(call: &mut Call<'_>) -> Result<()> {
    let (session, endpoints) = open(call)?;
    let mut found = Vec::new();
    let mut has_failed = false;
    for endpoint in endpoints {
        let client = session.alone_at(&endpoint)?;
        match session.block_on(client.raw(method::maintenance::STATUS, &StatusRequest {})) {
            Ok(answer) => found.push(Answered { endpoint, name: "Status", answer }),
            Err(error) => {
                let words = refusal::words(&error);
                call.console.error_line(format_args!(
                    "Failed to get the status of endpoint {endpoint} ({words})"
                ));
                refusal::show_hint(call.console, &error);
                has_failed = true;
            }
        }
    }
    let console = &mut *call.console;
    let rows: Vec<Vec<String>> = found.iter().map(status_row).collect();
    match session.display.format {
        Format::Simple => {
            for row in &rows {
                console.line(row.join(", "))?;
            }
        }
        Format::Json => console.line(json::text(&found))?,
        Format::Table => console.print(table::draw(&STATUS_HEADINGS, &rows))?,
        Format::Fields => {
            let mut writer = Writer::new(session.display.hex);
            for Answered { endpoint, answer, .. } in &found {
                status_fields(endpoint, answer, &mut writer);
            }
            console.print(writer.finish())?;
        }
        Format::Protobuf => return Err(unsupported(session.display.format)),
    }
    if has_failed { Err(Failure::silent(exit::ERROR)) } else { Ok(()) }
}

const STATUS_HEADINGS: [&str; 16] = [
    "ENDPOINT",
    "ID",
    "VERSION",
    "STORAGE VERSION",
    "DB SIZE",
    "IN USE",
    "PERCENTAGE NOT IN USE",
    "QUOTA",
    "IS LEADER",
    "IS LEARNER",
    "RAFT TERM",
    "RAFT INDEX",
    "RAFT APPLIED INDEX",
    "ERRORS",
    "DOWNGRADE TARGET VERSION",
    "DOWNGRADE ENABLED",
];

fn status_row(found: &Answered<StatusResponse>) -> Vec<String> {
    let status = &found.answer;
    let member_id = status.header.as_ref().map_or(0, |header| header.member_id);
    let downgrade = status.downgrade_info.clone().unwrap_or_default();
    vec![
        found.endpoint.clone(),
        format!("{member_id:x}"),
        status.version.clone(),
        status.storage_version.clone(),
        size::shown(status.db_size),
        size::shown(status.db_size_in_use),
        format!("{}%", size::percentage_not_in_use(status.db_size, status.db_size_in_use)),
        size::shown(status.db_size_quota),
        (status.leader == member_id).to_string(),
        status.is_learner.to_string(),
        status.raft_term.to_string(),
        status.raft_index.to_string(),
        status.raft_applied_index.to_string(),
        status.errors.join(", "),
        downgrade.target_version,
        downgrade.enabled.to_string(),
    ]
}

fn status_fields(endpoint: &str, status: &StatusResponse, writer: &mut Writer) {
    let downgrade = status.downgrade_info.clone().unwrap_or_default();
    writer.header(status.header.as_ref());
    writer.quoted("Version", &status.version);
    writer.quoted("StorageVersion", &status.storage_version);
    writer.field("DBSize", status.db_size);
    writer.field("DBSizeInUse", status.db_size_in_use);
    writer.field("DBSizeQuota", status.db_size_quota);
    writer.field("Leader", status.leader);
    writer.field("IsLearner", status.is_learner);
    writer.field("RaftIndex", status.raft_index);
    writer.field("RaftTerm", status.raft_term);
    writer.field("RaftAppliedIndex", status.raft_applied_index);
    writer.field("Errors", format_args!("[{}]", status.errors.join(" ")));
    writer.quoted("Endpoint", endpoint);
    writer.quoted("DowngradeTargetVersion", &downgrade.target_version);
    writer.field("DowngradeEnabled", downgrade.enabled);
    writer.empty_line();
}

fn endpoint_hashkv(call: &mut Call<'_>) -> Result<()> {
    let (session, endpoints) = open(call)?;
    let request = HashKvRequest { revision: call.flags.int("rev") };
    let mut found = Vec::new();
    let mut failure = None;
    for endpoint in endpoints {
        let client = session.alone_at(&endpoint)?;
        match session.block_on(client.raw(method::maintenance::HASH_KV, &request)) {
            Ok(answer) => found.push(Answered { endpoint, name: "HashKV", answer }),
            Err(error) => {
                let words = refusal::words(&error);
                call.console.error_line(format_args!(
                    "Failed to get the hash of endpoint {endpoint} ({words})"
                ));
                failure = Some(refusal::failure(&error));
            }
        }
    }
    let console = &mut *call.console;
    let rows: Vec<Vec<String>> = found
        .iter()
        .map(|Answered { endpoint, answer, .. }| {
            vec![endpoint.clone(), answer.hash.to_string(), answer.hash_revision.to_string()]
        })
        .collect();
    match session.display.format {
        Format::Simple => {
            for row in &rows {
                console.line(row.join(", "))?;
            }
        }
        Format::Json => console.line(json::text(&found))?,
        Format::Table => {
            console.print(table::draw(&["ENDPOINT", "HASH", "HASH REVISION"], &rows))?;
        }
        Format::Fields => {
            let mut writer = Writer::new(session.display.hex);
            for Answered { endpoint, answer, .. } in &found {
                writer.header(answer.header.as_ref());
                writer.quoted("Endpoint", endpoint);
                writer.field("Hash", answer.hash);
                writer.field("HashRevision", answer.hash_revision);
                writer.empty_line();
            }
            console.print(writer.finish())?;
        }
        Format::Protobuf => return Err(unsupported(session.display.format)),
    }
    failure.map_or(Ok(()), Err)
}
