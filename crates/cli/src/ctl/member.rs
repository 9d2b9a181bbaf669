//! `member`: who belongs to the cluster.

use etcdkit::proto::etcdserverpb::*;
use etcdkit::proto::method;

use super::kv::consistency_is_serializable;
use super::print::fields::Fields;
use super::print::json::{Json, Object};
use super::print::{self, Format, table};
use super::session::Session;
use super::{heading, urls};
use crate::command::{Action, Call, Command, Flag};
use crate::failure::{Failure, Result, exit};
use crate::notation::number;

pub(super) static MEMBER: Command = Command {
    usage: "member",
    short: "Membership related commands. Use `etcdctl member --help` to see subcommands",
    heading: heading::CLUSTER,
    long: "Membership related commands",
    commands: &[&MEMBER_ADD, &MEMBER_LIST, &MEMBER_PROMOTE, &MEMBER_REMOVE, &MEMBER_UPDATE],
    ..Command::BASE
};

static MEMBER_ADD: Command = Command {
    usage: "add <memberName> [options]",
    short: "Adds a member into the cluster",
    flags: &[
        Flag::bool("learner", "indicates if the new member is raft learner"),
        Flag::text("peer-urls", "", "comma separated peer URLs for the new member."),
    ],
    action: Action::Run(member_add),
    ..Command::BASE
};

static MEMBER_LIST: Command = Command {
    usage: "list",
    short: "Lists all members in the cluster",
    long: "When --write-out is set to simple, this command prints out comma-separated member lists for each endpoint.
The items in the lists are ID, Status, Name, Peer Addrs, Client Addrs, Is Learner.",
    flags: &[
        Flag::text("consistency", "l", "Linearizable(l) or Serializable(s)"),
    ],
    action: Action::Run(member_list),
    ..Command::BASE
};

static MEMBER_PROMOTE: Command = Command {
    usage: "promote <memberID>",
    short: "Promotes a non-voting member in the cluster",
    long: "Promotes a non-voting learner member to a voting one in the cluster.",
    action: Action::Run(member_promote),
    ..Command::BASE
};

static MEMBER_REMOVE: Command = Command {
    usage: "remove <memberID>",
    short: "Removes a member from the cluster",
    action: Action::Run(member_remove),
    ..Command::BASE
};

static MEMBER_UPDATE: Command = Command {
    usage: "update <memberID> [options]",
    short: "Updates a member in the cluster",
    flags: &[Flag::text("peer-urls", "", "comma separated peer URLs for the updated member.")],
    action: Action::Run(member_update),
    ..Command::BASE
};

const HEADINGS: [&str; 6] = ["ID", "STATUS", "NAME", "PEER ADDRS", "CLIENT ADDRS", "IS LEARNER"];

fn member_list(call: &mut Call<'_>) -> Result<()> {
    // The official tool names the default whatever was given.
    let linearizable = !consistency_is_serializable(&call.flags)
        .map_err(|_| Failure::new(exit::BAD_FEATURE, "unknown consistency flag \"l\""))?;
    let session = Session::open(call)?;
    let response =
        session.call(method::cluster::MEMBER_LIST, &MemberListRequest { linearizable })?;
    let rows: Vec<Vec<String>> = response.members.iter().map(row).collect();
    match session.display.format {
        Format::Table => Ok(call.console.print(table::draw(&HEADINGS, &rows))?),
        _ => show(&session, call, &response, response.header.as_ref(), |text| {
            for row in &rows {
                print::line(text, row.join(", "));
            }
        }),
    }
}

fn row(member: &Member) -> Vec<String> {
    // Whoever never started has told nobody its name.
    let status = if member.name.is_empty() { "unstarted" } else { "started" };
    vec![
        format!("{:x}", member.id),
        status.to_owned(),
        member.name.clone(),
        member.peer_urls.join(","),
        member.client_urls.join(","),
        member.is_learner.to_string(),
    ]
}

fn member_add(call: &mut Call<'_>) -> Result<()> {
    let name = match call.texts().as_slice() {
        [] => return Err(Failure::bad_arguments("member name not provided")),
        [name] => name.clone(),
        [..] => return Err(Failure::bad_arguments("too many arguments")),
    };
    let peer_urls = peer_urls(call)?;
    let is_learner = call.flags.bool("learner");
    let session = Session::open(call)?;
    let request = MemberAddRequest { peer_urls: peer_urls.clone(), is_learner };
    let response = session.call(method::cluster::MEMBER_ADD, &request)?;
    let cluster_id = cluster_id(response.header.as_ref());
    let member = response.member.clone().unwrap_or_default();
    show(&session, call, &response, response.header.as_ref(), |text| {
        let learner = if is_learner { "as learner " } else { "" };
        print::line(
            text,
            format!("Member {:16x} added {learner}to cluster {cluster_id:16x}", member.id),
        );
    })?;
    if session.display.format != Format::Simple {
        return Ok(());
    }
    let mut members = response.members;
    if members.is_empty() {
        let request = MemberListRequest { linearizable: true };
        members = session.call(method::cluster::MEMBER_LIST, &request)?.members;
    }
    let mut cluster: Vec<String> = Vec::new();
    for other in &members {
        let name = if other.id == member.id { &name } else { &other.name };
        cluster.extend(other.peer_urls.iter().map(|url| format!("{name}={url}")));
    }
    let console = &mut *call.console;
    console.print("\n")?;
    console.line(format!("ETCD_NAME=\"{name}\""))?;
    console.line(format!("ETCD_INITIAL_CLUSTER=\"{}\"", cluster.join(",")))?;
    console.line(format!("ETCD_INITIAL_ADVERTISE_PEER_URLS=\"{}\"", peer_urls.join(",")))?;
    Ok(console.line("ETCD_INITIAL_CLUSTER_STATE=\"existing\"")?)
}

fn member_remove(call: &mut Call<'_>) -> Result<()> {
    let id = member_id(call)?;
    let session = Session::open(call)?;
    let response = session.call(method::cluster::MEMBER_REMOVE, &MemberRemoveRequest { id })?;
    let cluster_id = cluster_id(response.header.as_ref());
    show(&session, call, &response, response.header.as_ref(), |text| {
        print::line(text, format!("Member {id:16x} removed from cluster {cluster_id:16x}"));
    })
}

fn member_update(call: &mut Call<'_>) -> Result<()> {
    let id = member_id(call)?;
    let request = MemberUpdateRequest { id, peer_urls: peer_urls(call)? };
    let session = Session::open(call)?;
    let response = session.call(method::cluster::MEMBER_UPDATE, &request)?;
    let cluster_id = cluster_id(response.header.as_ref());
    show(&session, call, &response, response.header.as_ref(), |text| {
        print::line(text, format!("Member {id:16x} updated in cluster {cluster_id:16x}"));
    })
}

fn member_promote(call: &mut Call<'_>) -> Result<()> {
    let id = member_id(call)?;
    let session = Session::open(call)?;
    let response = session.call(method::cluster::MEMBER_PROMOTE, &MemberPromoteRequest { id })?;
    let cluster_id = cluster_id(response.header.as_ref());
    show(&session, call, &response, response.header.as_ref(), |text| {
        print::line(text, format!("Member {id:16x} promoted in cluster {cluster_id:16x}"));
    })
}

fn member_id(call: &Call<'_>) -> Result<u64> {
    let [id] = call.arguments.as_slice() else {
        return Err(Failure::bad_arguments("member ID is not provided"));
    };
    number::read_uint_in_base(id, 16).map_err(|why| {
        Failure::bad_arguments(format!("bad member ID arg ({why}), expecting ID in Hex"))
    })
}

fn peer_urls(call: &Call<'_>) -> Result<Vec<String>> {
    let given = call.flags.text("peer-urls");
    if given.is_empty() {
        return Err(Failure::bad_arguments("member peer urls not provided"));
    }
    let urls: Vec<String> = given.split(',').map(str::to_owned).collect();
    urls::check(&urls)?;
    Ok(urls)
}

fn cluster_id(header: Option<&ResponseHeader>) -> u64 {
    header.map_or(0, |header| header.cluster_id)
}

/// Shows an answer; with `--hex` its ids are strings in JSON, which is so for members alone.
fn show<M>(
    session: &Session,
    call: &mut Call<'_>,
    response: &M,
    header: Option<&ResponseHeader>,
    simple: impl FnOnce(&mut Vec<u8>),
) -> Result<()>
where
    M: prost::Message + Json + Fields + Members,
{
    if session.display.format != Format::Json || !session.display.hex {
        return session.display.show(call.console, response, simple);
    }
    let mut text = String::new();
    let mut object = Object::begin(&mut text);
    object.field("header", &header.map(HexHeader));
    let (member, members) = response.members();
    object.field("member", &member.map(HexMember));
    object.field("members", &members.iter().map(HexMember).collect::<Vec<_>>());
    object.end();
    Ok(call.console.line(text)?)
}

/// An answer about members.
trait Members {
    /// The one that it is about, if it is in the answer, and all.
    fn members(&self) -> (Option<&Member>, &[Member]);
}

macro_rules! members {
    ($($message:ty)*) => {
        $(impl Members for $message {
            fn members(&self) -> (Option<&Member>, &[Member]) {
                (None, &self.members)
            }
        })*
    };
}

members!(MemberListResponse MemberRemoveResponse MemberUpdateResponse MemberPromoteResponse);

impl Members for MemberAddResponse {
    fn members(&self) -> (Option<&Member>, &[Member]) {
        (self.member.as_ref(), &self.members)
    }
}

struct HexHeader<'a>(&'a ResponseHeader);

impl Json for HexHeader<'_> {
    fn is_empty(&self) -> bool {
        false
    }

    fn write(&self, into: &mut String) {
        Object::begin(into)
            .always("cluster_id", &hex(self.0.cluster_id))
            .always("member_id", &hex(self.0.member_id))
            .field("revision", &self.0.revision)
            .field("raft_term", &self.0.raft_term)
            .end();
    }
}

struct HexMember<'a>(&'a Member);

impl Json for HexMember<'_> {
    fn is_empty(&self) -> bool {
        false
    }

    fn write(&self, into: &mut String) {
        Object::begin(into)
            .always("ID", &hex(self.0.id))
            .field("name", &self.0.name)
            .field("peerURLs", &self.0.peer_urls)
            .field("clientURLs", &self.0.client_urls)
            .field("isLearner", &self.0.is_learner)
            .end();
    }
}

fn hex(id: u64) -> String {
    format!("{id:x}")
}
