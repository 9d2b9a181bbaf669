//! What fails while the power stays on.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use redb::StorageBackend;

use crate::storage::disk::Medium;
use crate::storage::{Batch, Bucket, Disk, Load, Storage, StorageError};

use super::medium::{Drive, Loss};

fn batch(key: &[u8], size: usize) -> Batch {
    let mut batch = Batch::default();
    batch.put(Bucket::Key, key, vec![7; size]);
    batch
}

fn keys(disk: &mut Disk) -> Vec<Vec<u8>> {
    let mut keys = Vec::new();
    let mut each = |_, key: &[u8], _: &[u8]| {
        keys.push(key.to_vec());
        Ok(())
    };
    disk.load(&mut each).unwrap();
    keys
}

#[test]
fn a_full_disk_changes_nothing_and_goes_on_when_there_is_room() {
    let drive = Drive::formatted();
    let mut disk = drive.disk();
    disk.commit(&batch(b"before", 100)).unwrap();
    drive.limit(Some(100));
    for _ in 0..3 {
        let outcome = disk.commit(&batch(b"large", 32 << 20));
        assert!(matches!(outcome, Err(StorageError::Full(_))), "{outcome:?}");
        assert_eq!(keys(&mut disk), [b"before"]);
    }
    // There is still room for what is small.
    disk.commit(&batch(b"small", 100)).unwrap();
    drive.limit(None);
    disk.commit(&batch(b"large", 32 << 20)).unwrap();
    drop(disk);
    let drive = drive.after(Loss::Everything, &mut fastrand::Rng::with_seed(0));
    assert_eq!(keys(&mut drive.disk()), [&b"before"[..], b"large", b"small"]);
}

#[test]
fn a_sync_that_failed_is_not_tried_again() {
    let drive = Drive::formatted();
    let mut disk = drive.disk();
    disk.commit(&batch(b"before", 100)).unwrap();
    drive.fail_syncs(true);
    let outcome = disk.commit(&batch(b"lost", 100));
    assert!(matches!(outcome, Err(StorageError::Broken(_))), "{outcome:?}");
    drive.fail_syncs(false);
    let syncs = drive.syncs();
    for _ in 0..2 {
        let outcome = disk.commit(&batch(b"after", 100));
        assert!(matches!(outcome, Err(StorageError::Broken(_))), "{outcome:?}");
    }
    assert!(disk.load(&mut |_, _, _| Ok(())).is_err());
    assert!(disk.defragment().is_err());
    drop(disk);
    assert_eq!(drive.syncs(), syncs, "it was synced again");
    let drive = drive.after(Loss::Everything, &mut fastrand::Rng::with_seed(0));
    assert_eq!(keys(&mut drive.disk()), [b"before"]);
}

#[test]
fn a_storage_is_filled_whole_or_not_at_all() {
    let drive = Drive::formatted();
    let mut disk = drive.disk();
    let entries = |count: u64, then: Option<StorageError>| {
        let mut then = then;
        move |each: &mut Load<'_>| {
            for number in 0..count {
                each(Bucket::Key, &number.to_be_bytes(), &[7; 1000])?;
            }
            then.take().map_or_else(|| each(Bucket::Meta, b"term", &[2]), Err)
        }
    };
    let damaged = StorageError::Corrupt("the source".to_owned());
    let error = disk.fill(&mut entries(100, Some(damaged))).unwrap_err();
    assert!(matches!(error, StorageError::Corrupt(_)), "{error}");
    drive.limit(Some(100));
    let error = disk.fill(&mut entries(10_000, None)).unwrap_err();
    assert!(matches!(error, StorageError::Full(_)), "{error}");
    assert!(keys(&mut disk).is_empty());
    drive.limit(None);
    disk.fill(&mut entries(10_000, None)).unwrap();
    disk.commit(&batch(b"later", 1)).unwrap();
    let drive = drive.after(Loss::Everything, &mut fastrand::Rng::with_seed(0));
    assert_eq!(keys(&mut drive.disk()).len(), 10_002);
}

#[test]
fn a_folder_is_open_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let mut first = Disk::open(&path).unwrap();
    let error = Disk::open(&path).unwrap_err();
    assert!(matches!(error, StorageError::InUse(_)), "{error}");
    assert!(error.to_string().contains("stop the other server"), "{error}");
    first.commit(&batch(b"a", 1)).unwrap();
    drop(first);
    assert_eq!(keys(&mut Disk::open(&path).unwrap()), [b"a"]);
}

/// A drive that knows how often it had been synced when it was let go.
#[derive(Debug)]
struct Held(Drive, Arc<AtomicU64>);

impl Medium for Held {
    fn open(&self) -> io::Result<Box<dyn StorageBackend>> {
        self.0.open()
    }

    fn name(&self) -> String {
        self.0.name()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.1.store(self.0.syncs(), Ordering::Relaxed);
    }
}

#[test]
fn a_folder_is_not_let_go_before_the_database_in_it_is_closed() {
    let (drive, let_go) = (Drive::formatted(), Arc::default());
    let mut disk = Disk::on(Box::new(Held(drive.clone(), Arc::clone(&let_go)))).unwrap();
    disk.commit(&batch(b"a", 1)).unwrap();
    let before = drive.syncs();
    drop(disk);
    assert!(drive.syncs() > before, "closing writes nothing");
    assert_eq!(let_go.load(Ordering::Relaxed), drive.syncs());
}

#[cfg(unix)]
#[test]
fn a_folder_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    drop(Disk::open(&path).unwrap());
    for (path, mode) in
        [(path.clone(), 0o700), (path.join("lock"), 0o600), (path.join("etcdkit.redb"), 0o600)]
    {
        let found = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(found, mode, "{}", path.display());
    }
}

#[test]
fn what_is_no_storage_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let open = |name: &str| Disk::open(folder.path().join(name)).unwrap_err();
    std::fs::create_dir_all(folder.path().join("etcd/member/snap")).unwrap();
    let error = open("etcd");
    assert!(matches!(error, StorageError::Unsupported(_)), "{error}");

    for (name, content) in [("empty", Vec::new()), ("text", vec![b'x'; 10_000])] {
        std::fs::create_dir(folder.path().join(name)).unwrap();
        let file = folder.path().join(name).join("etcdkit.redb");
        std::fs::write(file, content).unwrap();
        let error = open(name);
        assert!(matches!(error, StorageError::Corrupt(_)), "{name}: {error}");
        assert!(error.to_string().contains("etcdkit.redb"), "{name}: {error}");
    }
    std::fs::write(folder.path().join("file"), "").unwrap();
    let error = open("file");
    assert!(error.to_string().contains("cannot create"), "{error}");
}

#[test]
fn a_damaged_file_is_an_error_and_no_panic() {
    let folder = tempfile::tempdir().unwrap();
    let mut disk = Disk::open(folder.path()).unwrap();
    for key in 0..100_u8 {
        disk.commit(&batch(&[key], 200)).unwrap();
    }
    drop(disk);
    let file = folder.path().join("etcdkit.redb");
    let sound = std::fs::read(&file).unwrap();
    let written: Vec<usize> = (0..sound.len()).filter(|at| sound[*at] != 0).collect();
    let mut random = fastrand::Rng::with_seed(3);
    let mut refused = 0;
    for _ in 0..300 {
        let mut bytes = sound.clone();
        for _ in 0..random.usize(1..20) {
            bytes[written[random.usize(..written.len())]] = random.u8(..);
        }
        bytes.truncate(random.usize(bytes.len() / 2..bytes.len() * 3 / 2));
        std::fs::write(&file, bytes).unwrap();
        let outcome =
            Disk::open(folder.path()).and_then(|mut disk| disk.load(&mut |_, _, _| Ok(())));
        refused += usize::from(outcome.is_err());
    }
    assert!(refused > 100, "{refused}");
}

#[test]
fn a_creation_that_was_cut_off_is_done_again() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("etcdkit.redb.new"), "half").unwrap();
    let mut disk = Disk::open(folder.path()).unwrap();
    assert!(keys(&mut disk).is_empty());
    assert!(!folder.path().join("etcdkit.redb.new").exists());
}

#[test]
fn defragmenting_gives_space_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut disk = Disk::open(folder.path()).unwrap();
    for key in 0..200_u8 {
        disk.commit(&batch(&[key], 100_000)).unwrap();
    }
    for key in 0..199_u8 {
        let mut batch = Batch::default();
        batch.delete(Bucket::Key, [key]);
        disk.commit(&batch).unwrap();
    }
    let before = disk.size().unwrap();
    disk.defragment().unwrap();
    let after = disk.size().unwrap();
    assert!(after < before / 4, "{before} to {after}");
    assert_eq!(std::fs::metadata(folder.path().join("etcdkit.redb")).unwrap().len(), after);
    assert_eq!(keys(&mut disk), [[199]]);
}
