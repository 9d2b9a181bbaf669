//! Makes a large snapshot and times what is done with it: `measure make FILE MIB`, `measure status FILE`,
//! `measure restore FILE DIRECTORY`, `measure verify FILE`, `measure hashkv FILE`, `measure defragment FILE TO`.
//!
//! It prints the seconds and the peak of anonymous memory, so that both can be held against etcdutl's.

use std::error::Error;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::ops::ControlFlow;
use std::time::Instant;

use etcdkit_datadir::bbolt::{Bbolt, Writer};
use etcdkit_datadir::schema::{Backend, Revision, RevisionKey, bucket};
use etcdkit_datadir::{HashKv, Restore, Status, defragment, snapshot};
use etcdkit_proto::mvccpb::KeyValue;
use prost::Message;
use sha2::{Digest, Sha256};

#[expect(clippy::print_stdout, reason = "a report")]
#[expect(clippy::disallowed_methods, reason = "a stopwatch")]
fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let start = Instant::now();
    match arguments.as_slice() {
        ["make", file, mib] => make(file, mib.parse()?)?,
        ["status", file] => println!("{:?}", Status::of(&mut Backend::open_path(file)?)?),
        ["hashkv", file] => {
            println!("{:?}", HashKv::newest().compute(&mut Backend::open_path(file)?)?)
        }
        ["verify", file] => println!("{}", snapshot::verify(&mut File::open(file)?)?),
        ["restore", file, folder] => {
            let mut stages = Vec::new();
            let restored =
                Restore::new(*file).data_dir(*folder).run_with_progress(&mut |progress| {
                    if stages.last() != Some(&progress.stage) {
                        println!("{:.3} s {:?}", start.elapsed().as_secs_f64(), progress.stage);
                        stages.push(progress.stage);
                    }
                    ControlFlow::Continue(())
                })?;
            println!("{restored:?}");
        }
        ["defragment", file, to] => {
            defragment::copy(&mut Bbolt::open(File::open(file)?)?, File::create(to)?)?
                .sync_all()?;
        }
        _ => return Err("see the first lines of this program".into()),
    }
    println!("{:.3} s", start.elapsed().as_secs_f64());
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let lines =
        status.lines().filter(|line| line.starts_with("VmHWM") || line.starts_with("RssAnon"));
    lines.for_each(|line| println!("{line}"));
    Ok(())
}

/// A database of 1 KiB values in which half of all keys were written twice and some were deleted.
fn make(path: &str, mib: u64) -> Result<(), Box<dyn Error>> {
    let file = File::options().create(true).truncate(true).read(true).write(true).open(path)?;
    let mut writer = Writer::new(file)?;
    for name in bucket::ALL {
        writer.begin_bucket(name.as_bytes())?;
        match name {
            bucket::KEY => keys(&mut writer, mib << 20)?,
            bucket::META => {
                writer.put(
                    b"confState",
                    br#"{"voters":[10276657743932975437],"auto_leave":false}"#,
                )?;
                writer.put(b"consistent_index", &9_u64.to_be_bytes())?;
                writer.put(b"storageVersion", b"3.6.0")?;
                writer.put(b"term", &2_u64.to_be_bytes())?;
            }
            bucket::CLUSTER => writer.put(b"clusterVersion", b"3.6.0")?,
            bucket::AUTH => writer.put(b"authRevision", &1_u64.to_be_bytes())?,
            _ => {}
        }
        writer.end_bucket()?;
    }
    let mut file = writer.finish()?;
    file.seek(SeekFrom::Start(0))?;
    let mut sha256 = Sha256::new();
    let mut chunk = vec![0; 1 << 20];
    loop {
        let count = std::io::Read::read(&mut file, &mut chunk)?;
        if count == 0 {
            break;
        }
        sha256.update(&chunk[..count]);
    }
    file.write_all(&sha256.finalize())?;
    file.sync_all()?;
    Ok(())
}

fn keys(writer: &mut Writer<File>, bytes: u64) -> Result<(), Box<dyn Error>> {
    let mut random = fastrand::Rng::with_seed(7);
    let mut value = vec![0; 1024];
    for number in 0..bytes / 1200 {
        random.fill(&mut value);
        let tombstone = number % 10 == 9;
        let main = i64::try_from(number)? + 2;
        let key = format!("/registry/pods/namespace/{:08}", number / 3 * 2);
        let kv = KeyValue { key: key.into(), ..KeyValue::default() };
        let kv = if tombstone {
            kv
        } else {
            let (create_revision, mod_revision) = (main, main);
            KeyValue {
                create_revision,
                mod_revision,
                version: 1,
                value: value.clone().into(),
                ..kv
            }
        };
        let key = RevisionKey { revision: Revision { main, sub: 0 }, tombstone };
        writer.put(&key.encode(), &kv.encode_to_vec())?;
    }
    Ok(())
}
