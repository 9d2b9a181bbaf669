use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs, io, process};

/// A member's folder: its data, its log and its sockets. Removed on drop.
///
/// It lies in memory where that is possible: etcd syncs every write, and a tmpfs makes that free.
#[derive(Debug)]
pub(super) struct Home {
    path: PathBuf,
}

impl Home {
    pub(super) fn new() -> io::Result<Self> {
        static SWEEP: Once = Once::new();
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let base = base();
        SWEEP.call_once(|| sweep(&base));
        let sequence = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = base.join(format!("{}{}-{sequence}", prefix(), process::id()));
        // A process with the same id may have died and left it.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path)?;
        Ok(Self { path })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // Nothing can be done about a folder that stays: the next process sweeps it.
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn base() -> PathBuf {
    let shared = Path::new("/dev/shm");
    if shared.is_dir() { shared.to_owned() } else { env::temp_dir() }
}

/// Process ids mean something only within their pid namespace, and `/dev/shm` may be shared between namespaces.
fn prefix() -> String {
    let namespace = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    let digits: String = namespace.to_string_lossy().chars().filter(char::is_ascii_digit).collect();
    format!("etcdkit-{digits}-")
}

/// Removes the folders of processes that were killed: each holds a 64 MiB log segment in memory.
fn sweep(base: &Path) {
    let prefix = prefix();
    let Ok(entries) = fs::read_dir(base) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let owner = name
            .to_str()
            .and_then(|name| name.strip_prefix(&prefix))
            .and_then(|rest| rest.split_once('-'))
            .and_then(|(process, _)| process.parse::<u32>().ok());
        if let Some(owner) = owner
            && Path::new("/proc/self").exists()
            && !Path::new("/proc").join(owner.to_string()).exists()
        {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folders_of_dead_processes_are_swept_and_those_of_the_living_kept() {
        let base = Home::new().unwrap();
        let [dead, living, foreign] = [
            format!("{}4194999-0", prefix()),
            format!("{}{}-9", prefix(), process::id()),
            "other".to_owned(),
        ]
        .map(|name| base.path().join(name));
        for folder in [&dead, &living, &foreign] {
            fs::create_dir(folder).unwrap();
        }
        sweep(base.path());
        assert!(!dead.exists());
        assert!(living.exists());
        assert!(foreign.exists());
    }

    #[test]
    fn a_dropped_home_is_gone() {
        let home = Home::new().unwrap();
        let path = home.path().to_owned();
        fs::write(path.join("file"), "x").unwrap();
        drop(home);
        assert!(!path.exists());
    }
}
