//! `lease`: grant, revoke, look at and keep alive.

use std::time::Duration;

use etcdkit::proto::etcdserverpb::*;
use etcdkit::proto::method;
use etcdkit::{CallOptions, ErrorKind, KeepAlive, KeepAliveOnce, LeaseId, ServerError};
use prost::Message;

use super::heading;
use super::print::fields::Writer;
use super::print::json::{Json, Object};
use super::print::{self, Display, Format, unsupported};
use super::refusal;
use super::session::Session;
use crate::command::{Action, Call, Command, Flag};
use crate::console::Console;
use crate::failure::{Failure, Result, exit};
use crate::notation::number;

pub(super) static LEASE: Command = Command {
    usage: "lease",
    short: "Lease related commands. Use `etcdctl lease --help` to see subcommands",
    heading: heading::KEY_VALUE,
    long: "Lease related commands",
    commands: &[&LEASE_GRANT, &LEASE_KEEP_ALIVE, &LEASE_LIST, &LEASE_REVOKE, &LEASE_TIMETOLIVE],
    ..Command::BASE
};

static LEASE_GRANT: Command = Command {
    usage: "grant <ttl>",
    short: "Creates leases",
    action: Action::Run(lease_grant),
    ..Command::BASE
};

static LEASE_KEEP_ALIVE: Command = Command {
    usage: "keep-alive [options] <leaseID>",
    short: "Keeps leases alive (renew)",
    flags: &[Flag::bool(
        "once",
        "Resets the keep-alive time to its original value and cobrautl.Exits immediately",
    )],
    action: Action::Run(lease_keep_alive),
    ..Command::BASE
};

static LEASE_LIST: Command = Command {
    usage: "list",
    short: "List all active leases",
    action: Action::Run(lease_list),
    ..Command::BASE
};

static LEASE_REVOKE: Command = Command {
    usage: "revoke <leaseID>",
    short: "Revokes leases",
    action: Action::Run(lease_revoke),
    ..Command::BASE
};

static LEASE_TIMETOLIVE: Command = Command {
    usage: "timetolive <leaseID> [options]",
    short: "Get lease information",
    flags: &[Flag::bool("keys", "Get keys attached to this lease")],
    action: Action::Run(lease_timetolive),
    ..Command::BASE
};

fn lease_grant(call: &mut Call<'_>) -> Result<()> {
    let [ttl] = call.arguments.as_slice() else {
        return Err(Failure::bad_arguments("lease grant command needs TTL argument"));
    };
    let ttl = number::read_in_base(ttl, 10)
        .map_err(|why| Failure::bad_arguments(format!("bad TTL ({why})")))?;
    let session = Session::open(call)?;
    let request = LeaseGrantRequest { ttl, id: 0 };
    let response = session.try_call(method::lease::GRANT, &request).map_err(|error| {
        let words = refusal::words(&error);
        refusal::with_hint(
            Failure::new(exit::ERROR, format!("failed to grant lease ({words})")),
            &error,
        )
    })?;
    let simple = format!("lease {:016x} granted with TTL({}s)", response.id, response.ttl);
    let form = Form {
        simple,
        json: &|object| {
            object
                .always("ID", &response.id)
                .always("TTL", &response.ttl)
                .always("Error", &response.error);
        },
        fields: &|writer| {
            writer.lease("ID", response.id);
            writer.field("TTL", response.ttl);
        },
    };
    form.print(session.display, call.console, response.header.as_ref())
}

fn lease_revoke(call: &mut Call<'_>) -> Result<()> {
    let [id] = call.arguments.as_slice() else {
        return Err(Failure::bad_arguments("lease revoke command needs 1 argument"));
    };
    let id = lease_id(id)?;
    let session = Session::open(call)?;
    let response =
        session.try_call(method::lease::REVOKE, &LeaseRevokeRequest { id }).map_err(|error| {
            let words = refusal::words(&error);
            refusal::with_hint(Failure::error(format!("failed to revoke lease ({words})")), &error)
        })?;
    session.display.show(call.console, &response, |text| {
        print::line(text, format!("lease {id:016x} revoked"));
    })
}

fn lease_timetolive(call: &mut Call<'_>) -> Result<()> {
    let [id] = call.arguments.as_slice() else {
        return Err(Failure::bad_arguments("lease timetolive command needs lease ID as argument"));
    };
    let (id, keys) = (lease_id(id)?, call.flags.bool("keys"));
    let session = Session::open(call)?;
    let request = LeaseTimeToLiveRequest { id, keys };
    let response = session.call(method::lease::TIME_TO_LIVE, &request)?;
    let form = Form {
        simple: time_to_live(&response, keys),
        json: &|object| {
            object
                .always("id", &response.id)
                .always("ttl", &response.ttl)
                .always("granted-ttl", &response.granted_ttl)
                .always("keys", &(!response.keys.is_empty()).then_some(&response.keys));
        },
        fields: &|writer| {
            writer.lease("ID", response.id);
            writer.field("TTL", response.ttl);
            writer.field("GrantedTTL", response.granted_ttl);
            for key in &response.keys {
                writer.quoted("Key", key);
            }
        },
    };
    form.print(session.display, call.console, response.header.as_ref())
}

fn time_to_live(response: &LeaseTimeToLiveResponse, keys: bool) -> Vec<u8> {
    let id = response.id;
    if response.granted_ttl == 0 && response.ttl == -1 {
        return format!("lease {id:016x} already expired").into_bytes();
    }
    let mut text = format!(
        "lease {id:016x} granted with TTL({}s), remaining({}s)",
        response.granted_ttl, response.ttl
    )
    .into_bytes();
    if keys {
        text.extend_from_slice(b", attached keys([");
        text.extend_from_slice(&response.keys.join(&b' '));
        text.extend_from_slice(b"])");
    }
    text
}

fn lease_list(call: &mut Call<'_>) -> Result<()> {
    let session = Session::open(call)?;
    let response = session.call(method::lease::LEASES, &LeaseLeasesRequest {})?;
    let mut simple = format!("found {} leases", response.leases.len());
    for lease in &response.leases {
        simple.push_str(&format!("\n{:016x}", lease.id));
    }
    let form = Form {
        simple,
        json: &|object| {
            let leases: Vec<Listed> =
                response.leases.iter().map(|lease| Listed(lease.id)).collect();
            object.always("leases", &leases);
        },
        fields: &|writer| {
            for lease in &response.leases {
                writer.lease("ID", lease.id);
            }
        },
    };
    form.print(session.display, call.console, response.header.as_ref())
}

/// A lease in a list, whose field has another name than the message's.
struct Listed(i64);

impl Json for Listed {
    fn is_empty(&self) -> bool {
        false
    }

    fn write(&self, into: &mut String) {
        Object::begin(into).always("id", &self.0).end();
    }
}

fn lease_keep_alive(call: &mut Call<'_>) -> Result<()> {
    let [id] = call.arguments.as_slice() else {
        return Err(Failure::bad_arguments("lease keep-alive command needs lease ID as argument"));
    };
    let id = lease_id(id)?;
    let session = Session::open(call)?;
    let console = &mut *call.console;
    let Some(lease) = LeaseId::new(id) else {
        return Err(Failure::new(exit::BAD_CONNECTION, ServerError::LeaseNotFound.message()));
    };
    if call.flags.bool("once") {
        let client = session.client.with_options(CallOptions::new().timeout(session.timeout()));
        let renewal = session.block_on(client.call(KeepAliveOnce::new(lease)));
        let renewal = renewal.map_err(|error| {
            refusal::with_hint(Failure::new(exit::BAD_CONNECTION, refusal::words(&error)), &error)
        })?;
        return kept_alive(session.display, console, id, &renewal);
    }
    session.block_on(async {
        match follow(&session, console, id, KeepAlive::new(lease)).await? {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                let failure = Failure::new(exit::BAD_CONNECTION, refusal::words(&error));
                return Err(refusal::with_hint(failure, &error));
            }
            _ => {}
        }
        if session.display.format == Format::Simple {
            console.line(format!("lease {id:016x} expired or revoked."))?;
        }
        Ok(())
    })
}

/// Prints renewals until there are no more, and returns why.
async fn follow(
    session: &Session,
    console: &mut Console,
    id: i64,
    request: KeepAlive,
) -> Result<etcdkit::Result<()>> {
    let mut renewals = match session.patient().open(request).await {
        Ok(renewals) => renewals,
        Err(error) => return Ok(Err(error)),
    };
    while let Some(renewal) = renewals.next().await {
        match renewal {
            Ok(renewal) => {
                kept_alive(session.display, console, id, &renewal)?;
                console.flush()?;
            }
            Err(error) => return Ok(Err(error)),
        }
    }
    Ok(Ok(()))
}

fn kept_alive(
    display: Display,
    console: &mut Console,
    id: i64,
    renewal: &etcdkit::LeaseRenewal,
) -> Result<()> {
    let ttl = seconds(renewal.ttl);
    let header = super::print::wire_header(renewal.header);
    let form = Form {
        simple: format!("lease {id:016x} keepalived with TTL({ttl})"),
        json: &|object| {
            object.always("ID", &id).always("TTL", &ttl);
        },
        fields: &|writer| {
            writer.lease("ID", id);
            writer.field("TTL", ttl);
        },
    };
    form.print(display, console, Some(&header))
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

fn lease_id(argument: &[u8]) -> Result<i64> {
    number::read_in_base(argument, 16).map_err(|why| {
        Failure::bad_arguments(format!("bad lease ID arg ({why}), expecting ID in Hex"))
    })
}

/// An answer about leases in each format. In JSON the official tool puts the fields of the header beside the others, and
/// in protobuf it writes nothing but the header.
struct Form<'a, T> {
    simple: T,
    json: &'a dyn Fn(&mut Object<'_>),
    fields: &'a dyn Fn(&mut Writer),
}

impl<T: AsRef<[u8]>> Form<'_, T> {
    fn print(
        self,
        display: Display,
        console: &mut Console,
        header: Option<&ResponseHeader>,
    ) -> Result<()> {
        match display.format {
            Format::Simple => console.line(self.simple)?,
            // The rest of the answer is left out, as it is there.
            Format::Protobuf => {
                console.print(header.cloned().unwrap_or_default().encode_to_vec())?
            }
            Format::Table => return Err(unsupported(display.format)),
            Format::Json => {
                let mut text = String::new();
                let mut object = Object::begin(&mut text);
                if let Some(header) = header {
                    object
                        .field("cluster_id", &header.cluster_id)
                        .field("member_id", &header.member_id)
                        .field("revision", &header.revision)
                        .field("raft_term", &header.raft_term);
                }
                (self.json)(&mut object);
                object.end();
                console.line(text)?;
            }
            Format::Fields => {
                let mut writer = Writer::new(display.hex);
                writer.header(header);
                (self.fields)(&mut writer);
                console.print(writer.finish())?;
            }
        }
        Ok(())
    }
}
