//! A member that dies, and a leader that stops: how soon reads go on.

use std::fmt;
use std::time::Duration;

use etcdkit_testkit::clock::Moment;
use etcdkit_testkit::etcd::Version;

use super::fronts::{Fronts, wait_ready};
use super::history::{Call, History, Kind};
use super::load::Load;
use super::{alone, hold, millis, newest_and_3_5, seconds};

#[derive(Debug)]
struct Figures {
    version: Version,
    in_flight: usize,
    failed_puts: usize,
    failed_gets: usize,
    longest_get: Duration,
    /// How long the cluster had no leader that could be seen.
    election: Duration,
    /// How long after the fault the first get that began after it succeeded.
    reads_again: Duration,
    /// The same for puts.
    writes_again: Duration,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} gets failed, longest {:.2?}; {} puts in flight, {} failed; a leader after {:.2?}, reads after {:.2?}, writes after {:.2?}",
            self.version,
            self.failed_gets,
            self.longest_get,
            self.in_flight,
            self.failed_puts,
            self.election,
            self.reads_again,
            self.writes_again,
        )
    }
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    FollowerKilled,
    LeaderKilled,
    LeaderStopped,
}

async fn check(version: Version, fault: Fault) -> (Figures, History) {
    let _alone = alone().await;
    let fronts = Fronts::start(version).await;
    let cluster = &fronts.cluster;
    let index = match fault {
        Fault::FollowerKilled => cluster.followers().await[0],
        Fault::LeaderKilled | Fault::LeaderStopped => cluster.wait_leader().await,
    };
    let client = fronts.client().await;
    let load = Load::start(client.clone(), "load/").await;
    hold(seconds(1)).await;

    let before = Moment::now();
    match fault {
        Fault::LeaderStopped => cluster[index].pause(),
        _ => cluster[index].kill().await,
    }
    let failed = Moment::now();
    cluster.wait_leader().await;
    let elected = Moment::now();
    hold(seconds(4)).await;
    if matches!(fault, Fault::LeaderStopped) {
        cluster[index].resume();
        wait_ready(&client, &fronts.endpoint(index), true, seconds(10)).await;
        hold(seconds(1)).await;
    }
    let history = load.stop().await;
    client.close().await;

    let figures = Figures {
        version,
        in_flight: history.open_at(Kind::Put, before),
        failed_puts: history.failed(Kind::Put).len(),
        failed_gets: history.failed(Kind::Get).len(),
        longest_get: history.longest(Kind::Get),
        election: elected - failed,
        reads_again: history.first_success(Kind::Get, failed).unwrap_or(Duration::MAX),
        writes_again: history.first_success(Kind::Put, failed).unwrap_or(Duration::MAX),
    };
    let context = || format!("{fault:?}: {figures}\n{}", history.describe(failed));
    assert_eq!(figures.failed_gets, 0, "{}", context());
    for put in history.failed(Kind::Put) {
        let failure = put.failure.as_ref().expect("it failed");
        assert!(failure.maybe_applied, "{failure:?}\n{}", context());
    }
    history.check_store(&fronts.direct().await, "load/").await;
    (figures, history)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_follower_costs_no_get() {
    for version in newest_and_3_5() {
        let (figures, history) = check(version, Fault::FollowerKilled).await;
        println!("follower killed: {figures}");
        // Those in flight, and what is sent while the process dies and until that is noticed.
        assert!(figures.failed_puts <= figures.in_flight + 11, "{figures}");
        assert!(figures.longest_get <= seconds(2), "{figures}");
        assert!(history.of(Kind::Put).map(Call::took).max() <= Some(seconds(2)), "{figures}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_go_on_within_500_ms_of_a_new_leader() {
    for version in newest_and_3_5() {
        let (figures, _) = check(version, Fault::LeaderKilled).await;
        println!("leader killed: {figures}");
        assert!(figures.reads_again <= figures.election + millis(500), "{figures}");
        assert!(figures.longest_get <= figures.election + seconds(2), "{figures}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_go_on_soon_after_a_stopped_leader_is_replaced() {
    for version in newest_and_3_5() {
        let (figures, _) = check(version, Fault::LeaderStopped).await;
        println!("leader stopped: {figures}");
        assert!(figures.reads_again <= figures.election + seconds(2), "{figures}");
        assert!(figures.longest_get <= figures.election + seconds(2), "{figures}");
    }
}
