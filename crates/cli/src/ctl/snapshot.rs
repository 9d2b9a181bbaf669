//! `snapshot save`: a copy of a member's backend in a file.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use etcdkit::maintenance::SaveSnapshot;
use etcdkit::{CallOptions, Error, ErrorKind};

use super::session::Session;
use super::{endpoint, heading, refusal};
use crate::command::{Action, Call, Command};
use crate::failure::{Failure, Result, exit};
use crate::progress::Progress;
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
        .texts()
        .try_into()
        .map_err(|_| Failure::bad_arguments("snapshot save expects one argument <filename>"))?;
    let session = Session::open(call)?;
    let [endpoint] = session.endpoints.as_slice() else {
        let endpoints = session.endpoints.join(" ");
        return Err(Failure::new(
            exit::INTERRUPTED,
            format!("snapshot must be requested to one selected node, not multiple [{endpoints}]"),
        ));
    };
    let path = PathBuf::from(path);
    check_writable(&path)?;
    // What is there already is replaced only by a snapshot that is complete.
    let draft = if path.exists() { beside(&path, ".new") } else { path.clone() };
    let mut options = CallOptions::new().endpoint(endpoint::parse(endpoint)?);
    // Large ones take their time, unless a time was set.
    options = if call.flags.is_given("command-timeout") {
        options.timeout(session.timeout())
    } else {
        options.no_timeout()
    };
    let client = session.client.with_options(options);
    let progress = Progress::new(call.console, "saving");
    let save =
        SaveSnapshot::to(&draft).on_progress(move |now| progress.show(now.received, now.total));
    let saving = client.save_snapshot(save);
    let saved = session.block_on(async {
        if call.flags.is_given("command-timeout") {
            let saved = tokio::time::timeout(session.timeout(), saving).await;
            saved.map_err(|_| Failure::new(exit::INTERRUPTED, "context deadline exceeded"))
        } else {
            Ok(saving.await)
        }
    })?;
    let saved = saved.map_err(|error| failure(&error))?;
    if draft != path {
        std::fs::rename(&draft, &path).map_err(|error| {
            let shown = path.display();
            Failure::new(exit::INTERRUPTED, format!("could not rename to {shown} ({error})"))
        })?;
    }
    call.console.line(format!("Snapshot saved at {}", path.display()))?;
    if let Some(version) = saved.version {
        call.console.line(format!("Server version {version}"))?;
    }
    Ok(())
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
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if folder.is_none_or(Path::is_dir) {
        return Ok(());
    }
    let part = beside(path, ".part");
    let part = part.display();
    Err(Failure::new(
        exit::INTERRUPTED,
        format!("could not open {part} (open {part}: no such file or directory)"),
    ))
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}
