//! `defrag`: has members give space back to the file system.

use etcdkit::proto::etcdserverpb::DefragmentRequest;
use etcdkit::proto::method;

use super::{endpoint, heading, refusal};
use crate::command::{Action, Call, Command, Flag};
use crate::failure::{Failure, Result, exit};
use crate::pause::{now, since};
use crate::progress::Progress;
use crate::utl;

pub(super) static DEFRAG: Command = Command {
    usage: "defrag",
    short: "Defragments the storage of the etcd members with given endpoints",
    heading: heading::CLUSTER,
    flags: &[
        Flag::bool("cluster", "use all endpoints from the cluster member list"),
        // Taken from etcdctl by 3.6, and kept here.
        utl::defrag::DATA_DIR.hidden(),
    ],
    action: Action::Run(defrag),
    ..Command::BASE
};

fn defrag(call: &mut Call<'_>) -> Result<()> {
    if call.flags.is_given(utl::defrag::DATA_DIR.name) {
        return utl::defrag::defrag(call);
    }
    let (session, endpoints) = endpoint::open(call)?;
    let mut has_failed = false;
    for endpoint in endpoints {
        let client = session.alone_at(&endpoint)?;
        let progress = Progress::new(call.console, format!("defragmenting {endpoint}"));
        let start = now();
        let defragmenting = client.raw(method::maintenance::DEFRAGMENT, &DefragmentRequest {});
        let result = session.block_on(progress.wait(defragmenting));
        let took = since(start);
        drop(progress);
        match result {
            Ok(_) => call
                .console
                .line(format!("Finished defragmenting etcd member[{endpoint}]. took {took}"))?,
            Err(error) => {
                let words = refusal::words(&error);
                call.console.error_line(format_args!(
                    "Failed to defragment etcd member[{endpoint}]. took {took}. ({words})"
                ));
                refusal::show_hint(call.console, &error);
                has_failed = true;
            }
        }
    }
    if has_failed { Err(Failure::silent(exit::ERROR)) } else { Ok(()) }
}
