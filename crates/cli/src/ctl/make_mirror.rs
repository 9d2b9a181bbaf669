//! `make-mirror`: keeps a copy of keys in another cluster.

use std::cell::Cell;
use std::time::Duration;

use etcdkit::mirror::Mirror;
use etcdkit::proto::etcdserverpb::RangeRequest;
use etcdkit::proto::method;

use super::kv::Keys;
use super::session::{Access, Session, credentials};
use super::{heading, refusal};
use crate::command::{Action, Call, Command, Flag};
use crate::console::Console;
use crate::failure::{Failure, Result};
use crate::progress::Progress;

/// How often the number of keys is printed.
const INTERVAL: Duration = Duration::from_secs(30);

/// What the official tool has not: for destinations that belong to the mirror alone.
const DELETE_EXTRA: &str = "delete-extra";

pub(super) static MAKE_MIRROR: Command = Command {
    usage: "make-mirror [options] <destination>",
    short: "Makes a mirror at the destination etcd cluster",
    heading: heading::UTILITY,
    flags: &[
        Flag::bool(
            DELETE_EXTRA,
            "delete what the destination has under its prefix and the source has not",
        )
        .hidden(),
        Flag::text(
            "dest-cacert",
            "",
            "Verify certificates of TLS enabled secure servers using this CA bundle",
        ),
        Flag::text(
            "dest-cert",
            "",
            "Identify secure client using this TLS certificate file for the destination cluster",
        ),
        Flag::bool("dest-insecure-transport", "Disable transport security for client connections")
            .default("true"),
        Flag::text("dest-key", "", "Identify secure client using this TLS key file"),
        Flag::text(
            "dest-password",
            "",
            "Destination password for authentication (if this option is used, --user option shouldn't include password)",
        ),
        Flag::text(
            "dest-prefix",
            "",
            "destination prefix to mirror a prefix to a different prefix in the destination cluster",
        ),
        Flag::text(
            "dest-user",
            "",
            "Destination username[:password] for authentication (prompt if password is not supplied)",
        ),
        Flag::uint(
            "max-txn-ops",
            "128",
            "Maximum number of operations permitted in a transaction during syncing updates.",
        ),
        Flag::bool("no-dest-prefix", "mirror key-values to the root of the destination cluster"),
        Flag::text("prefix", "", "Key-value prefix to mirror"),
        Flag::int("rev", "0", "Specify the kv revision to start to mirror"),
    ],
    action: Action::Run(make_mirror),
    ..Command::BASE
};

fn make_mirror(call: &mut Call<'_>) -> Result<()> {
    let [destination] = call
        .texts()
        .try_into()
        .map_err(|_| Failure::bad_arguments("make-mirror takes one destination argument"))?;
    let flags = &call.flags;
    let password = flags.is_given("dest-password").then(|| flags.text("dest-password"));
    let user = flags.text("dest-user");
    let user = credentials(call.console, &user, password)?;
    let flags = &call.flags;
    let access = Access {
        cert: flags.text("dest-cert"),
        key: flags.text("dest-key"),
        cacert: flags.text("dest-cacert"),
        insecure_transport: flags.bool("dest-insecure-transport"),
        skip_verification: false,
        user,
        token: String::new(),
        server_name: None,
    };
    let from = flags.bytes("prefix");
    let to = match (flags.bool("no-dest-prefix"), flags.bytes("dest-prefix")) {
        (true, given) if !given.is_empty() => {
            return Err(Failure::bad_arguments(
                "`--dest-prefix` and `--no-dest-prefix` cannot be set at the same time, choose one",
            ));
        }
        (true, _) => Vec::new(),
        (false, given) if given.is_empty() => from.clone(),
        (false, given) => given,
    };
    let (revision, delete_extra) = (flags.int("rev"), flags.bool(DELETE_EXTRA));
    if delete_extra && revision > 1 {
        return Err(Failure::bad_arguments(
            "`--delete-extra` and `--rev` cannot be set at the same time: nothing is compared when a mirror goes on at a revision",
        ));
    }
    let keys_at_once = usize::try_from(flags.uint("max-txn-ops")).unwrap_or(usize::MAX);
    let session = Session::open(call)?;
    let destination = session.connect(&call.flags, &[destination], &access)?;
    let console = &mut *call.console;
    let bar = Progress::new(console, "copying").counting("keys");
    let total = if bar.is_seen() { count(&session, &from)? } else { 0 };
    session.block_on(async {
        let mut mirror =
            Mirror::new(&session.patient(), from, &destination, to).keys_at_once(keys_at_once);
        if delete_extra {
            mirror = mirror.delete_extra();
        }
        if revision > 1 {
            // What was before the revision is in the copy already.
            mirror = mirror.from_revision(revision - 1);
        }
        let written = Cell::new(0);
        let mut bar = Some(bar);
        let copying = mirror.run(|progress| {
            written.set(progress.written);
            match &bar {
                Some(bar) if !progress.complete => bar.show(progress.compared, total),
                _ => bar = None,
            }
        });
        tokio::select! {
            result = copying => match result {
                Ok(endless) => match endless {},
                Err(error) => Err(refusal::failure(&error)),
            },
            result = tell(console, &written) => result,
        }
    })
}

/// How many keys there are to copy.
fn count(session: &Session, prefix: &[u8]) -> Result<u64> {
    let Keys { key, range_end } = Keys::prefix(prefix);
    let request = RangeRequest { key, range_end, count_only: true, ..RangeRequest::default() };
    let found = session.call_forever(method::kv::RANGE, &request)?;
    Ok(u64::try_from(found.count).unwrap_or(0))
}

/// Prints now and then how many keys have been written.
async fn tell(console: &mut Console, written: &Cell<u64>) -> Result<()> {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        console.line(written.get().to_string())?;
        console.flush()?;
    }
}
