//! `defrag`: a data directory's database without its free pages.

use std::ops::ControlFlow;

use etcdkit_datadir::defragment;

use super::{lock, refusal};
use crate::command::{Action, Call, Command, Flag};
use crate::failure::{Failure, Result};
use crate::progress::Progress;

pub(crate) static DEFRAG: Command = Command {
    usage: "defrag",
    short: "Defragments the storage of the etcd",
    flags: &[DATA_DIR.required()],
    action: Action::Run(defrag),
    ..Command::BASE
};

/// The flag. etcdctl had it too, until 3.6, and keeps it here.
pub(crate) const DATA_DIR: Flag =
    Flag::text("data-dir", "", "Required. Defragments a data directory not in use by etcd.");

/// Defragments the data directory of the flag [`DATA_DIR`].
pub(crate) fn defrag(call: &mut Call<'_>) -> Result<()> {
    let folder = &*call.flags.path("data-dir");
    let failed = |why: &str| {
        let shown = folder.display();
        Failure::error(format!("Failed to defragment etcd data[{shown}] ({why})"))
    };
    if let Some(missing) = refusal::stat(&folder.join("member").join("snap").join("db")) {
        return Err(failed(&missing).with_hint(
            "--data-dir is the folder that etcd was started with: it has a folder 'member' in it",
        ));
    }
    let bar = Progress::new(call.console, "defragmenting");
    let done = lock::when_free(call, || {
        defragment::data_dir(folder, &mut |progress| {
            bar.show(progress.done, progress.total);
            ControlFlow::Continue(())
        })
    })?;
    done.map(drop).map_err(|error| failed(&error.to_string()))
}
