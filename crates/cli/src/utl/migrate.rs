//! `migrate`: a data directory for another version of etcd.

use etcdkit_datadir::schema::Version;
use etcdkit_datadir::{Error, ErrorKind, Migrate};

use super::{lock, refusal};
use crate::command::{Action, Call, Command, Flag};
use crate::failure::{Failure, Result};
use crate::notation::number;

pub(crate) static MIGRATE: Command = Command {
    usage: "migrate",
    short: "Migrates schema of etcd data dir files to make them compatible with different etcd version",
    heading: "Commands for files",
    flags: &[
        Flag::text("data-dir", "", "Path to the etcd data dir").required(),
        Flag::bool(
            "force",
            "Ignore migration failure and forcefully override storage version. Not recommended.",
        ),
        Flag::text(
            "target-version",
            "",
            r#"Target etcd version to migrate contents of data dir. Minimal value 3.5. Format "X.Y" for example 3.6."#,
        )
        .required(),
    ],
    action: Action::Run(migrate),
    ..Command::BASE
};

/// The oldest version that notes enough to be migrated.
const OLDEST: Version = Version::new(3, 5);

fn migrate(call: &mut Call<'_>) -> Result<()> {
    let text = call.flags.text("target-version");
    let target = parse(&text)?;
    if target < OLDEST {
        return Err(Failure::bad_arguments(format!(
            "target version {text:?} not supported. Minimal \"3.5\""
        )));
    }
    let data_dir = call.flags.path("data-dir");
    if let Some(missing) = refusal::stat(&data_dir.join("member").join("snap").join("db")) {
        return Err(Failure::error(missing));
    }
    let mut migrate = Migrate::new(data_dir, target);
    if call.flags.bool("force") {
        migrate = migrate.force();
    }
    let done = lock::when_free(call, || migrate.run())?;
    done.map(drop).map_err(|error| refused(&error, target))
}

/// Reads `X.Y`.
fn parse(text: &str) -> Result<Version> {
    let [major, minor] = text.split('.').collect::<Vec<_>>()[..] else {
        return Err(Failure::bad_arguments(format!(
            "wrong target version format, expected \"X.Y\", got {text:?}"
        )));
    };
    let number = |digits: &str| {
        let number = number::read_in_base(digits.as_bytes(), 10).map_err(|why| {
            Failure::bad_arguments(format!("failed to parse target version: {why}"))
        })?;
        // Below zero is older than anything.
        Ok::<u64, Failure>(u64::try_from(number).unwrap_or_default())
    };
    Ok(Version::new(number(major)?, number(minor)?))
}

fn refused(error: &Error, target: Version) -> Failure {
    match error.kind() {
        ErrorKind::Unsupported if target.major == OLDEST.major => Failure::error(format!(
            "cannot create migration plan: version \"{target}\" is not supported"
        )),
        ErrorKind::Unsupported => Failure::error("cannot create migration plan: changing major storage version is not supported"),
        ErrorKind::Refused => Failure::error(
            "cannot downgrade storage, WAL contains newer entries",
        )
        .with_hint("start the newer etcd and let it write a snapshot (--snapshot-count), or use --force if you know better"),
        _ => Failure::error(refusal::without_path(error)),
    }
}
