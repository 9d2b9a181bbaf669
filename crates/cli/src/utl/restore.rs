//! `snapshot restore`: a data directory out of a snapshot.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use etcdkit_datadir::{Error, ErrorKind, Restore};
use sha2::{Digest, Sha256};

use super::refusal;
use crate::bootstrap::{Members, Url};
use crate::command::{Action, Call, Command, Flag, Kind};
use crate::failure::{Failure, Result};
use crate::notation::os_error;
use crate::progress::Progress;

pub(crate) static RESTORE: Command = COMMAND;

/// As etcdctl had it until 3.6: it works there, and is not listed.
pub(crate) static KEPT_RESTORE: Command = Command { hidden: true, ..COMMAND };

const COMMAND: Command = Command {
    usage: "restore <filename> --data-dir {output dir} [options]",
    short: "Restores an etcd member snapshot to an etcd directory",
    flags: &[
        Flag::uint("bump-revision", "0", "How much to increase the latest revision after restore")
            .kind(Kind::Uint64),
        Flag::text("data-dir", "", "Path to the output data directory"),
        Flag::text(
            "initial-advertise-peer-urls",
            "http://localhost:2380",
            "List of this member's peer URLs to advertise to the rest of the cluster",
        ),
        Flag::text(
            "initial-cluster",
            "default=http://localhost:2380",
            "Initial cluster configuration for restore bootstrap",
        ),
        Flag::text(
            "initial-cluster-token",
            "etcd-cluster",
            "Initial cluster token for the etcd cluster during restore bootstrap",
        ),
        Flag::uint(
            "initial-memory-map-size",
            "10737418240",
            "Initial memory map size of the database in bytes. It uses the default value if not defined or defined to 0",
        )
        .kind(Kind::Uint64),
        Flag::bool(
            "mark-compacted",
            "Mark the latest revision after restore as the point of scheduled compaction (required if --bump-revision > 0, disallowed otherwise)",
        ),
        Flag::text("name", "default", "Human-readable name for this member"),
        Flag::bool(
            "skip-hash-check",
            "Ignore snapshot integrity hash value (required if copied from data directory)",
        ),
        Flag::text("wal-dir", "", "Path to the WAL directory (use --data-dir if none given)"),
    ],
    action: Action::Run(restore),
    ..Command::BASE
};

fn restore(call: &mut Call<'_>) -> Result<()> {
    let [snapshot] = &call.paths()[..] else {
        return Err(Failure::bad_arguments("snapshot restore requires exactly one argument"));
    };
    let flags = &call.flags;
    let bump = flags.uint("bump-revision");
    if (bump > 0) != flags.bool("mark-compacted") {
        return Err(Failure::bad_arguments("--mark-compacted required if --revision-bump > 0"));
    }
    let (name, members) = (flags.text("name"), flags.text("initial-cluster"));
    let own = flags.text("initial-advertise-peer-urls");
    Members::parse(&members)
        .and_then(|members| members.check(&name, &Url::parse_list(&own)?))
        .map_err(Failure::error)?;
    let data_dir = match flags.path("data-dir") {
        folder if folder.as_os_str().is_empty() => PathBuf::from(format!("{name}.etcd")),
        folder => folder,
    };
    let wal_dir = Some(flags.path("wal-dir")).filter(|folder| !folder.as_os_str().is_empty());
    check_places(&data_dir, wal_dir.as_deref())?;
    check_snapshot(snapshot)?;

    let urls: Vec<&str> = own.split(',').map(str::trim).collect();
    let mut restore = Restore::new(snapshot)
        .name(name)
        .data_dir(&data_dir)
        .initial_cluster(members)
        .initial_cluster_token(flags.text("initial-cluster-token"))
        .initial_advertise_peer_urls(urls)
        .bump_revision(bump);
    if flags.bool("skip-hash-check") {
        restore = restore.skip_hash_check();
    }
    if let Some(wal_dir) = wal_dir {
        restore = restore.wal_dir(wal_dir);
    }
    let bar = Progress::new(call.console, "restoring");
    let restored = restore.run_with_progress(&mut |progress| {
        bar.show(progress.done, progress.total);
        ControlFlow::Continue(())
    });
    restored.map(drop).map_err(|error| refused(&error, snapshot))
}

fn check_places(data_dir: &Path, wal_dir: Option<&Path>) -> Result<()> {
    let empty = match fs::read_dir(data_dir) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    };
    if !empty {
        return Err(Failure::error(format!(
            "data-dir {data_dir:?} not empty or could not be read"
        ))
        .with_hint("restore makes a new folder: give another --data-dir, or move this one away"));
    }
    if let Some(wal_dir) = wal_dir.filter(|folder| folder.exists()) {
        return Err(Failure::error(format!("wal-dir {wal_dir:?} exists")));
    }
    Ok(())
}

/// What the official tool finds out first: whether the file can be read, and has room for a hash.
fn check_snapshot(path: &Path) -> Result<()> {
    let length = File::open(path).and_then(|file| file.metadata()).map(|metadata| metadata.len());
    match length {
        Err(error) => {
            Err(Failure::error(format!("open {}: {}", path.display(), os_error::text(&error))))
        }
        Ok(length) if length < HASH as u64 => {
            Err(Failure::error(format!("seek {}: invalid argument", path.display()))
                .with_hint(format!("{} has {length} bytes: it is no snapshot", path.display())))
        }
        Ok(_) => Ok(()),
    }
}

/// Bytes of the hash that follows the database in a snapshot.
const HASH: usize = 32;

fn refused(error: &Error, snapshot: &Path) -> Failure {
    match error.kind() {
        ErrorKind::ChecksumMissing => {
            Failure::error("snapshot missing hash but --skip-hash-check=false").with_hint(
                "a copy of member/snap/db has no hash, and is taken with --skip-hash-check; a file that 'snapshot save' \
                 made is cut off",
            )
        }
        ErrorKind::ChecksumMismatch => match hashes(snapshot) {
            Ok((stored, computed)) => {
                Failure::error(format!("expected sha256 [{stored}], got [{computed}]"))
                    .with_hint("the snapshot is not what was saved: fetch it again")
            }
            Err(_) => Failure::error(error.to_string()),
        },
        ErrorKind::NotADatabase | ErrorKind::Corrupt | ErrorKind::Truncated => refusal::database(error),
        _ => Failure::error(refusal::system(error).unwrap_or_else(|| error.to_string())),
    }
}

/// The hash that a snapshot ends with, and that of what is before it, as numbers.
fn hashes(path: &Path) -> io::Result<(String, String)> {
    let mut file = File::open(path)?;
    let length = file.seek(SeekFrom::End(0))?.saturating_sub(HASH as u64);
    file.seek(SeekFrom::Start(0))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    let mut database = file.by_ref().take(length);
    loop {
        match database.read(&mut buffer)? {
            0 => break,
            read => hash.update(&buffer[..read]),
        }
    }
    let mut stored = [0; HASH];
    file.read_exact(&mut stored)?;
    let numbers = |bytes: &[u8]| bytes.iter().map(u8::to_string).collect::<Vec<_>>().join(" ");
    Ok((numbers(&stored), numbers(&hash.finalize())))
}
