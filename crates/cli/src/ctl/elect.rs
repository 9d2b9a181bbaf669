//! `elect`: runs for leader, or watches who leads.

use etcdkit::concurrency::{Election, SessionOptions};
use etcdkit::proto::etcdserverpb::RangeResponse;
use etcdkit::{Client, Error};

use super::lock::{give_back, hold, interrupted, listen, read, show, ttl};
use super::print::{Display, Format};
use super::session::Session;
use super::{heading, refusal};
use crate::command::{Action, Call, Command, Flag};
use crate::console::Console;
use crate::failure::{Failure, Result};
use crate::signals;

/// The time to live of a candidate's session, in seconds.
const TTL: i64 = 60;

pub(super) static ELECT: Command = Command {
    usage: "elect <election-name> [proposal]",
    short: "Observes and participates in leader election",
    heading: heading::CONCURRENCY,
    flags: &[Flag::bool("listen", "observation mode").short(b'l')],
    action: Action::Run(elect),
    ..Command::BASE
};

fn elect(call: &mut Call<'_>) -> Result<()> {
    let listen = call.flags.bool("listen");
    let (name, proposal) = match call.arguments.as_slice() {
        [name] => (name.clone(), None),
        [name, proposal] => (name.clone(), Some(proposal.clone())),
        _ => {
            return Err(Failure::bad_arguments(
                "elect takes one election name argument and an optional proposal argument",
            ));
        }
    };
    match proposal {
        Some(_) if listen => Err(Failure::bad_arguments("proposal given but -l is set")),
        Some(proposal) => {
            let session = Session::open(call)?;
            let (client, display) = (session.patient(), session.display);
            session.block_on(campaign(&client, display, call.console, name, proposal))
        }
        None if listen => {
            let session = Session::open(call)?;
            session.block_on(observe(&session.patient(), session.display, call.console, name))
        }
        None => Err(Failure::bad_arguments("no proposal argument but -l not set")),
    }
}

/// Leads until interrupted.
async fn campaign(
    client: &Client,
    display: Display,
    console: &mut Console,
    name: Vec<u8>,
    proposal: Vec<u8>,
) -> Result<()> {
    let failed = |error: Error| refusal::failure(&error);
    let session = client.session(SessionOptions::new().ttl(ttl(TTL))).await.map_err(failed)?;
    let mut signals = listen()?;
    let election = Election::new(&session, name);
    let leadership = tokio::select! {
        leadership = election.campaign(proposal) => leadership.map_err(failed)?,
        _ = signals.next() => {
            drop(election);
            give_back(&session, async { Ok(()) }).await?;
            return Err(interrupted());
        }
    };
    let lost = async {
        leadership.lost().await;
        Failure::error("elect: session expired")
    };
    let outcome = hold(client, display, console, leadership.key(), lost, &mut signals).await;
    let resigned = give_back(&session, leadership.resign()).await;
    outcome?;
    resigned.map(drop)
}

/// Prints each leader until interrupted.
async fn observe(
    client: &Client,
    display: Display,
    console: &mut Console,
    name: Vec<u8>,
) -> Result<()> {
    let mut leaders = client.election_leaders(name);
    let observing = async {
        while let Some(leader) = leaders.next().await {
            let leader = leader.map_err(|error| refusal::failure(&error))?;
            // What it said is in no answer: who wants to see a header gets that of one to a question for the key.
            let header = match display.format {
                Format::Simple => None,
                _ => read(client, &leader.key_bytes()).await?.header,
            };
            let kvs = vec![leader.into()];
            show(display, console, &RangeResponse { header, kvs, ..RangeResponse::default() })?;
        }
        Err(Failure::error("elect: observer lost"))
    };
    tokio::select! {
        ended = observing => ended,
        _ = signals::interrupted() => Ok(()),
    }
}
