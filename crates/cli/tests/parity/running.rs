//! Commands that go on until they are told to end: what they print meanwhile, how they end on an interrupt and what they
//! leave behind, on both sides.
//!
//! A scenario is played on each side and writes down what it saw; the two transcripts must be equal.

use std::time::Duration;

use etcdkit_testkit::etcd::Version;
use etcdkit_testkit::wait::eventually;

use super::live::Live;
use super::sides::Side;
use super::table::{self, Line};

/// What one side showed, line by line.
struct Transcript {
    side: Side,
    seen: Vec<String>,
}

impl Transcript {
    fn line(text: &str) -> Line {
        table::read(&format!("$ {text}")).remove(0)
    }

    /// Runs a command to its end.
    async fn run(&mut self, text: &str) {
        let ran = self.side.run(&Self::line(text)).await;
        self.seen.push(format!("{text}: {ran:?}"));
    }

    /// The same, whatever numbers the member tells.
    async fn run_told_numbers(&mut self, text: &str) {
        let mut ran = self.side.run(&Self::line(text)).await;
        ran.stdout = without_numbers(&ran.stdout);
        self.seen.push(format!("{text}: {ran:?}"));
    }

    fn start(&mut self, text: &str) -> Live {
        let name = text.split(' ').next().unwrap_or_default();
        self.seen.push(format!("{name} begins"));
        Live::start(self.side.command(&Self::line(text)))
    }

    /// Notes the next lines of a command.
    async fn read(&mut self, live: &mut Live, count: usize) {
        let lines = live.lines(count).await;
        self.seen.extend(lines.iter().map(|line| without_ids(line)));
    }

    /// Interrupts a command and notes how it ended, without what Go's client logs.
    async fn interrupt(&mut self, live: Live) {
        let ran = live.interrupt().await;
        let (out, err) = (without_ids(&ran.out), super::sides::without_logs(&ran.err));
        self.seen.push(format!("ended with {:?}: {out:?} {err:?}", ran.code));
    }
}

/// Masks the id of a session behind `l/` and `e/`, and where JSON has the whole key.
fn without_ids(line: &str) -> String {
    let id_of = |line: &str| {
        let id = line.strip_prefix("l/").or_else(|| line.strip_prefix("e/"))?;
        id.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| id.to_owned())
    };
    match id_of(line) {
        Some(id) => line.replace(&id, "ID"),
        None => ["\"key\":\"", "\"lease\":", "\"Lease\" : "]
            .into_iter()
            .fold(line.to_owned(), |line, before| super::sides::mask_behind(&line, before)),
    }
}

/// Plays `scenario` on both sides.
async fn compare(scenario: impl AsyncFn(&mut Transcript)) {
    let version = Version::V3_7;
    if !Version::available().contains(&version) {
        println!("skipped: no etcd 3.7.1");
        return;
    }
    let (official, ours) = tokio::join!(Side::official(version), Side::ours(version));
    let mut official = Transcript { side: official, seen: Vec::new() };
    let mut ours = Transcript { side: ours, seen: Vec::new() };
    tokio::join!(scenario(&mut official), scenario(&mut ours));
    assert_eq!(ours.seen.join("\n"), official.seen.join("\n"));
}

/// One session in sixteen has an id with fewer digits.
#[test]
fn a_key_with_a_shorter_id_is_masked_alike() {
    let lock = |key| without_ids(&format!("{{\"kvs\":[{{\"key\":\"{key}\",\"version\":1}}]}}"));
    assert_eq!(lock("bC8zMmE5OWE2MzI4YjRhMDA0"), lock("bC8zMmE5OWE2MzI4YjRhMDA="));
}

#[tokio::test]
async fn locks() {
    compare(async |side| {
        let mut held = side.start("lock l");
        side.read(&mut held, 2).await;
        side.interrupt(held).await;
        side.run("get l --prefix").await;
        let mut held = side.start("lock l --ttl 30 -w json");
        side.read(&mut held, 1).await;
        let waiting = side.start("lock l");
        let mut waits = side.start("watch l/ --prefix --rev 4");
        side.read(&mut waits, 6).await;
        // Its own is the second: it has the answer to what it wrote, without which Go's leaves its key behind.
        side.side.watched(2.0).await;
        side.interrupt(waiting).await;
        side.interrupt(held).await;
        side.run("get l --prefix").await;
        side.run("lock l echo hi").await;
        side.run("lock l -- sh -c 'echo out; echo err >&2; exit 7'").await;
    })
    .await;
}

#[tokio::test]
async fn locks_and_leaders_whose_session_ends() {
    compare(async |side| {
        for (words, name) in [("lock l", "l/"), ("elect e one", "e/")] {
            let mut live = side.start(words);
            let key = live.line().await;
            let lease = key.strip_prefix(name).expect("it is the key").to_owned();
            let revoke = Transcript::line(&format!("lease revoke {lease}"));
            assert_eq!(side.side.run(&revoke).await.code, Some(0));
            let ran = live.ended().await;
            side.seen.push(format!("{ran:?}"));
        }
    })
    .await;
}

#[tokio::test]
async fn elections() {
    compare(async |side| {
        let mut first = side.start("elect e one");
        side.read(&mut first, 2).await;
        let mut observer = side.start("elect -l e -w json");
        side.read(&mut observer, 1).await;
        side.interrupt(observer).await;
        let mut observer = side.start("elect -l e");
        side.read(&mut observer, 2).await;
        let mut second = side.start("elect e two");
        side.interrupt(first).await;
        side.read(&mut second, 2).await;
        side.read(&mut observer, 2).await;
        side.interrupt(second).await;
        side.interrupt(observer).await;
        side.run("get e --prefix").await;
    })
    .await;
}

#[tokio::test]
async fn watches() {
    compare(async |side| {
        side.run("put a 1").await;
        let mut live = side.start("watch -i");
        live.feed("watch a --rev 2\n").await;
        side.read(&mut live, 3).await;
        // As old as the cluster, so that nothing depends on when it begins.
        live.feed("watch b c --rev 3 --prev-kv -- echo ran\nnonsense\n").await;
        side.run("put b 2").await;
        side.read(&mut live, 4).await;
        // Each watch answers.
        live.feed("progress\n").await;
        side.read(&mut live, 2).await;
        side.run("put a 3").await;
        side.read(&mut live, 3).await;
        side.interrupt(live).await;

        let run = "watch a --rev 2 -- sh -c 'echo $ETCD_WATCH_REVISION $ETCD_WATCH_VALUE'";
        let mut live = side.start(run);
        side.read(&mut live, 8).await;
        side.run("del a").await;
        side.read(&mut live, 4).await;
        side.interrupt(live).await;
        let mut live = side.start("watch a --rev 2 -w json");
        side.read(&mut live, 1).await;
        side.interrupt(live).await;

        // A watch that is canceled ends none of the others.
        side.run("compaction 3").await;
        let mut live = side.start("watch -i");
        live.feed("watch a --rev 1\nwatch b --rev 4\n").await;
        side.run("put b 5").await;
        side.read(&mut live, 3).await;
        side.run("put b 6").await;
        side.read(&mut live, 3).await;
        let ran = live.ended().await;
        side.seen.push(format!("{:?}: {:?}", ran.code, super::sides::without_logs(&ran.err)));
    })
    .await;
}

#[tokio::test]
async fn leases() {
    compare(async |side| {
        side.run("lease grant 60").await;
        let mut live = side.start("lease keep-alive {lease}");
        let line = live.line().await;
        side.seen.push(line.replace(side.side.lease(), "LEASE"));
        side.interrupt(live).await;
        side.run("lease timetolive {lease}").await;
    })
    .await;
}

/// Each member looks every 4 s, by a clock of its own, whether there is a downgrade to take part in.
#[tokio::test]
async fn downgrades() {
    compare(async |side| {
        side.run_told_numbers("downgrade enable 3.6").await;
        eventually("the older storage", Duration::from_secs(60), async || {
            let status = side.side.run(&Transcript::line("endpoint status")).await;
            status.stdout.contains(", 3.7.1, 3.6.0, ").then_some(())
        })
        .await;
        side.run("downgrade enable 3.6").await;
        side.run("downgrade enable 3.5").await;
        side.run("endpoint status").await;
        side.run_told_numbers("downgrade cancel").await;
    })
    .await;
}

/// The number of keys is told every 30 s, which is how long this takes.
#[tokio::test]
async fn mirrors() {
    compare(async |side| {
        let mut to = Side::official(Version::V3_7).await;
        for line in ["put other/1 1", "put c/stale 1", "put x 1"] {
            to.run(&Transcript::line(line)).await;
        }
        for line in ["put m/a 1", "put m/b 2", "put other 3"] {
            side.run(line).await;
        }
        let mut live =
            side.start(&format!("make-mirror {} --prefix m/ --dest-prefix c/", to.endpoint()));
        side.read(&mut live, 1).await;
        side.run("put m/c 3").await;
        side.run("del m/a").await;
        let mut copied = Live::start(to.command(&Transcript::line("watch c/ --prefix --rev 5")));
        side.read(&mut copied, 12).await;
        side.interrupt(live).await;
        // What the source never had is left alone.
        side.seen.push(format!("{:?}", to.run(&Transcript::line("get --prefix ''")).await));
    })
    .await;
}

/// Which numbers come out depends on the machine; the lines, and the exit code that follows from them, do not. It takes a
/// minute.
#[tokio::test]
async fn check_perf() {
    const KNOWN: [[&str; 2]; 3] = [
        ["PASS: Throughput is N writes/s", "FAIL: Throughput too low: N writes/s"],
        ["PASS: Slowest request took N", "Slowest request took too long: N"],
        ["PASS: Stddev is N", "Stddev too high: N"],
    ];
    compare(async |side| {
        let ran = side.start("check perf --auto-compact --auto-defrag").ended().await;
        let out = ran.out.replace(&side.side.endpoint(), "ENDPOINT");
        let lines: Vec<String> = out.lines().map(without_numbers).collect();
        let (cleaning, judging) = lines.split_at(lines.len().saturating_sub(4));
        side.seen.extend_from_slice(cleaning);
        let [throughput, slowest, deviation, verdict] = judging else { panic!("{ran:?}") };
        let mut fails = false;
        for (line, [good, bad]) in [throughput, slowest, deviation].into_iter().zip(KNOWN) {
            assert!(line == good || line == bad, "{ran:?}");
            fails |= line == bad;
        }
        assert_eq!(
            (verdict.as_str(), ran.code),
            if fails { ("FAIL", Some(1)) } else { ("PASS", Some(0)) }
        );
        side.run("get / --prefix").await;
    })
    .await;
}

fn without_numbers(line: &str) -> String {
    let is_number = |word: &str| word.starts_with(|c: char| c.is_ascii_digit());
    let words = line.split(' ').map(|word| if is_number(word) { "N" } else { word });
    words.collect::<Vec<_>>().join(" ")
}
