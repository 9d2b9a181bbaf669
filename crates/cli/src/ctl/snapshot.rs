//! `snapshot save`: a copy of a member's backend in a file.

use std::future::pending;
use std::path::Path;
use std::time::Duration;

use etcdkit::maintenance::{SaveSnapshot, SavedSnapshot};
use etcdkit::{CallOptions, Error, ErrorKind};

use super::session::Session;
use super::{heading, refusal};
use crate::command::{Action, Call, Command};
use crate::failure::{Failure, Result, exit};
use crate::notation::os_string;
use crate::progress::Progress;
use crate::signals::{self, Signal};
use crate::utl;

pub(super) static SNAPSHOT: Command = Command {
    usage: "snapshot",
    short: "Manages etcd node snapshots",
    heading: heading::CLUSTER,
    example: EXAMPLE,
    // The last two were taken from etcdctl by 3.6, and are kept here.
    commands: &[&SNAPSHOT_SAVE, &utl::KEPT_RESTORE, &utl::KEPT_STATUS],
    ..Command::BASE
};

static SNAPSHOT_SAVE: Command = Command {
    usage: "save <filename>",
    short: "Stores an etcd node backend snapshot to a given file",
    example: EXAMPLE,
    action: Action::Run(snapshot_save),
    ..Command::BASE
};

const EXAMPLE: &str = "  # Save snapshot to a given file
  etcdctl snapshot save /backup/etcd-snapshot.db
  
  # Get snapshot from given address and save it to file
  etcdctl snapshot save --endpoints=127.0.0.1:3000 /backup/etcd-snapshot.db
  
  # Get snapshot from given address with certificates
  etcdctl --endpoints=https://127.0.0.1:2379 --cacert=/etc/etcd/ca.crt --cert=/etc/etcd/etcd.crt --key=/etc/etcd/etcd.key snapshot save /backup/etcd-snapshot.db
  
  # Get snapshot with certain user and password
  etcdctl --user=root --password=password123 snapshot save /backup/etcd-snapshot.db
  
  # Get snapshot from given address with timeout
  etcdctl --endpoints=https://127.0.0.1:2379 --dial-timeout=20s snapshot save /backup/etcd-snapshot.db
  
  # Save snapshot with desirable time format
  etcdctl snapshot save /mnt/backup/etcd/backup_$(date +%Y%m%d_%H%M%S).db";

fn snapshot_save(call: &mut Call<'_>) -> Result<()> {
    let [path] = call
        .paths()
        .try_into()
        .map_err(|_| Failure::bad_arguments("snapshot save expects one argument <filename>"))?;
    let session = Session::open(call)?;
    if session.endpoints.len() != 1 {
        let endpoints = session.endpoints.join(" ");
        return Err(Failure::new(
            exit::INTERRUPTED,
            format!("snapshot must be requested to one selected node, not multiple [{endpoints}]"),
        ));
    }
    check_writable(&path)?;
    // Large ones take their time, unless a time was set.
    let limit = call.flags.is_given("command-timeout").then(|| session.timeout());
    let options = match limit {
        Some(limit) => CallOptions::new().timeout(limit),
        None => CallOptions::new().no_timeout(),
    };
    let client = session.client.with_options(options);
    let progress = Progress::new(call.console, "saving");
    let save = SaveSnapshot::to(&path)
        .replace()
        .on_progress(move |now| progress.show(now.received, now.total));
    let ended = session.block_on(async {
        tokio::select! {
            // Signals are waited for before there is a draft that one could leave behind.
            biased;
            signal = signals::interrupted() => Ended::By(signal),
            saved = client.save_snapshot(save) => Ended::Saving(saved),
            () = over(limit) => Ended::Late,
        }
    });
    let saved = match ended {
        Ended::Saving(saved) => saved.map_err(|error| failure(&error))?,
        Ended::Late => return Err(Failure::new(exit::INTERRUPTED, "context deadline exceeded")),
        Ended::By(signal) => {
            // Waits for the thread that writes the draft, which is removed.
            drop(session);
            signal.end_process();
            return Err(Failure::silent(signal.exit_code()));
        }
    };
    call.console.print("Snapshot saved at ")?;
    call.console.line(os_string::into_bytes(path.into_os_string()))?;
    if let Some(version) = saved.version {
        call.console.line(format!("Server version {version}"))?;
    }
    Ok(())
}

/// How saving ends.
enum Ended {
    Saving(etcdkit::Result<SavedSnapshot>),
    Late,
    By(Signal),
}

/// Waits until the time is up, if there is a limit to it.
async fn over(limit: Option<Duration>) {
    match limit {
        Some(limit) => tokio::time::timeout(limit, pending::<()>()).await.unwrap_or_default(),
        None => pending().await,
    }
}

fn failure(error: &Error) -> Failure {
    let words = match error.kind() {
        ErrorKind::Unavailable | ErrorKind::Timeout => "context deadline exceeded".to_owned(),
        _ => refusal::words(error),
    };
    refusal::with_hint(Failure::new(exit::INTERRUPTED, words), error)
}

/// Fails as the official tool does where no file can be made.
fn check_writable(path: &Path) -> Result<()> {
    let mut part = path.to_path_buf().into_os_string();
    part.push(".part");
    let (path_shown, part) = (path.display(), part.display());
    let refused = |why: String| Err(Failure::new(exit::INTERRUPTED, why));
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if !folder.is_none_or(Path::is_dir) {
        return refused(format!("could not open {part} (open {part}: no such file or directory)"));
    }
    // A link to one is replaced, though.
    if path.symlink_metadata().is_ok_and(|there| there.is_dir()) {
        return refused(format!(
            "could not rename {part} to {path_shown} (rename {part} {path_shown}: file exists)"
        ));
    }
    Ok(())
}
