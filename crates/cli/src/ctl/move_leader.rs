//! `move-leader`

use etcdkit::proto::etcdserverpb::{MoveLeaderRequest, StatusRequest};
use etcdkit::proto::method;

use super::session::Session;
use super::{heading, print, refusal};
use crate::command::{Action, Call, Command};
use crate::failure::{Failure, Result};
use crate::notation::number;

pub(super) static MOVE_LEADER: Command = Command {
    usage: "move-leader <transferee-member-id>",
    short: "Transfers leadership to another etcd cluster member.",
    heading: heading::CLUSTER,
    action: Action::Run(move_leader),
    ..Command::BASE
};

fn move_leader(call: &mut Call<'_>) -> Result<()> {
    let [target] = call.arguments.as_slice() else {
        return Err(Failure::bad_arguments("move-leader command needs 1 argument"));
    };
    let target_id = number::read_uint_in_base(target, 16).map_err(Failure::bad_arguments)?;
    let session = Session::open(call)?;
    for endpoint in &session.endpoints {
        let client = session.alone_at(endpoint)?;
        let status = session
            .block_on(client.raw(method::maintenance::STATUS, &StatusRequest {}))
            .map_err(|error| refusal::failure(&error))?;
        let member_id = status.header.map_or(0, |header| header.member_id);
        // Only the leader hands its leadership over.
        if status.leader != member_id {
            continue;
        }
        let request = MoveLeaderRequest { target_id };
        let response = session
            .block_on(client.raw(method::maintenance::MOVE_LEADER, &request))
            .map_err(|error| refusal::failure(&error))?;
        return session.display.show(call.console, &response, |text| {
            print::line(
                text,
                format!("Leadership transferred from {member_id:x} to {target_id:x}"),
            );
        });
    }
    let endpoints = session.endpoints.join(" ");
    Err(Failure::bad_arguments(format!("no leader endpoint given at [{endpoints}]")))
}
