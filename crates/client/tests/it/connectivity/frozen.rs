//! A follower that stops answering without breaking a connection.

use std::fmt;
use std::time::Duration;

use etcdkit_testkit::clock::Moment;
use etcdkit_testkit::etcd::Version;
use etcdkit_testkit::proxy::{Direction, Proxy};

use super::fronts::{Fronts, Sightings, wait_ready};
use super::history::{History, Kind};
use super::load::Load;
use super::{alone, hold, newest_and_3_5, seconds, within};

/// What a connection attempt and the probe on it may send: HTTP/2's preface and settings, and one small call.
const ATTEMPT: u64 = 600;

/// A machine with more to do than it can notices a deadline late.
const LATE: Duration = Duration::from_secs(1);

/// What a second brings to a member that is used: a third of two hundred calls, and more.
const SHARE: u64 = 60 * 100;

#[derive(Clone, Copy, Debug)]
enum How {
    /// SIGSTOP.
    Stopped,
    /// The network forwards nothing.
    BlackHole,
}

struct Figures {
    version: Version,
    how: How,
    lasted: Duration,
    longest_get: Duration,
    failed_gets: usize,
    in_flight: usize,
    failed_puts: usize,
    last_failed_began: Duration,
    longest_failed: Duration,
    found_out: Duration,
    admitted: Duration,
    attempts: u64,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {:?} {:?}: {} gets failed, longest get {:.2?}; {} puts in flight at the freeze, {} failed (the last began {:.2?} after it, the longest took {:.2?}); found out after {:.2?}, admitted {:.2?} after the thaw, {} connections tried meanwhile",
            self.version,
            self.how,
            self.lasted,
            self.failed_gets,
            self.longest_get,
            self.in_flight,
            self.failed_puts,
            self.last_failed_began,
            self.longest_failed,
            self.found_out,
            self.admitted,
            self.attempts,
        )
    }
}

async fn check(version: Version, how: How, lasts: Duration) -> Figures {
    let _alone = alone().await;
    let fronts = Fronts::start(version).await;
    let index = fronts.cluster.followers().await[0];
    let (member, proxy) = (&fronts.cluster[index], &fronts.proxies[index]);
    let endpoint = fronts.endpoint(index);
    let client = fronts.client().await;
    let sightings = Sightings::of(&client, endpoint.clone());
    let load = Load::start(client.clone(), "load/").await;
    hold(seconds(1)).await;

    let frozen = Moment::now();
    match how {
        How::Stopped => member.pause(),
        How::BlackHole => proxy.freeze(),
    }
    wait_ready(&client, &endpoint, false, seconds(10)).await;
    let before = Sent::by(proxy);
    hold(lasts.saturating_sub(frozen.elapsed())).await;
    let after = Sent::by(proxy);
    let thawed = Moment::now();
    match how {
        How::Stopped => member.resume(),
        How::BlackHole => proxy.unfreeze(),
    }
    wait_ready(&client, &endpoint, true, seconds(10)).await;
    // It may lose its leader once more before it keeps up, and is left alone for as long.
    within("the member getting its share again", seconds(30), async {
        loop {
            let calls = proxy.bytes(Direction::ToServer);
            hold(seconds(1)).await;
            if proxy.bytes(Direction::ToServer) - calls > SHARE {
                break;
            }
        }
    })
    .await;
    let history = load.stop().await;
    client.close().await;
    let sightings = sightings.all().await;

    let figures =
        figures(version, how, lasts, &history, &sightings, (frozen, thawed), after.0 - before.0);
    let context = || format!("{figures}\n{}", history.describe(frozen));
    assert_eq!(figures.failed_gets, 0, "{}", context());
    assert!(figures.longest_get <= seconds(2), "{}", context());
    // Those in flight at the freeze, and what the open loop and the worker send while there is no reason for doubt.
    let doubt = 100 / 10 + 1;
    assert!(figures.failed_puts <= figures.in_flight + doubt, "{}", context());
    for put in history.failed(Kind::Put).iter().filter(|put| put.started < thawed) {
        let failure = put.failure.as_ref().expect("it failed");
        assert!(failure.maybe_applied, "{failure:?}\n{}", context());
        assert_eq!(failure.endpoint, endpoint, "{failure:?}\n{}", context());
        assert!(put.took() <= seconds(3), "{failure:?}\n{}", context());
    }
    let late = history.calls.iter().find(|call| call.took() > seconds(10) + LATE);
    assert!(late.is_none(), "{late:?} outlived its deadline\n{}", context());
    // Only attempts to connect, each with its probe, reach the member before it answers.
    let (tried, sent) = (after.0 - before.0, after.1 - before.1);
    assert!(sent <= (tried + 1) * ATTEMPT, "{sent} B in {tried} connections\n{}", context());
    history.check_store(&fronts.direct().await, "load/").await;
    figures
}

/// How many connections a proxy has accepted, and how many bytes they brought.
struct Sent(u64, u64);

impl Sent {
    fn by(proxy: &Proxy) -> Self {
        Self(proxy.connections(), proxy.bytes(Direction::ToServer))
    }
}

fn figures(
    version: Version,
    how: How,
    lasted: Duration,
    history: &History,
    sightings: &[(Moment, bool, String)],
    (frozen, thawed): (Moment, Moment),
    attempts: u64,
) -> Figures {
    let first = |since: Moment, ready: bool| {
        let found = sightings.iter().find(|(at, is, _)| *at >= since && *is == ready);
        found.map_or(Duration::MAX, |(at, _, _)| *at - since)
    };
    let failed = history.failed(Kind::Put);
    Figures {
        version,
        how,
        lasted,
        longest_get: history.longest(Kind::Get),
        failed_gets: history.failed(Kind::Get).len(),
        in_flight: history.open_at(Kind::Put, frozen),
        failed_puts: failed.len(),
        last_failed_began: failed.iter().map(|put| put.started - frozen).max().unwrap_or_default(),
        longest_failed: failed.iter().map(|put| put.took()).max().unwrap_or_default(),
        found_out: first(frozen, false),
        admitted: first(thawed, true),
        attempts,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_follower_costs_no_get_and_only_the_puts_in_flight() {
    for version in newest_and_3_5() {
        println!("{}", check(version, How::Stopped, seconds(8)).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_black_holed_follower_costs_no_get_and_only_the_puts_in_flight() {
    for version in newest_and_3_5() {
        println!("{}", check(version, How::BlackHole, seconds(8)).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: cargo xtask soak"]
async fn soak_a_stopped_or_black_holed_follower_for_20_s() {
    for version in Version::available() {
        for how in [How::Stopped, How::BlackHole] {
            println!("{}", check(version, how, seconds(20)).await);
        }
    }
}
