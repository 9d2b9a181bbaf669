//! What happens to the members, and to the connections of those who watch.

use std::collections::BTreeMap;

use etcdkit::Revision;

use super::*;

pub(super) struct Field {
    pub(super) cluster: Cluster,
    /// In front of each member, for the clients that watch.
    proxies: Vec<Proxy>,
    members: Vec<u64>,
}

impl Field {
    pub(super) async fn new(cluster: Cluster, proxies: Vec<Proxy>) -> Self {
        let mut members = Vec::new();
        for index in 0..proxies.len() {
            members.push(cluster.member_id(index).await);
        }
        Self { cluster, proxies, members }
    }
}

/// One fault after the other until the time is over, and then all connections reset; after it everything works again.
pub(super) async fn faults(
    field: &Field,
    until: Instant,
    longest: Duration,
    random: &mut fastrand::Rng,
    shared: &Shared,
    direct: &Client,
) {
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    let mut frozen = Duration::ZERO;
    while now() < until {
        let index = random.usize(0..3);
        let member = &field.cluster[index];
        let proxy = &field.proxies[index];
        let short = Duration::from_millis(random.u64(200..1500));
        let fault = match random.usize(0..10) {
            0 => {
                member.kill().await;
                pause(short).await;
                member.start().await;
                "killed"
            }
            1 | 2 => {
                let share = random.f64();
                let time = Duration::from_secs(1).max(longest.mul_f64(share * share));
                member.pause();
                pause(time).await;
                member.resume();
                frozen = frozen.max(time);
                "frozen"
            }
            3 => {
                field.proxies.iter().for_each(Proxy::reset);
                "connections reset"
            }
            4 => {
                proxy.freeze();
                pause(longest.min(short * 8)).await;
                proxy.unfreeze();
                proxy.reset();
                "silence"
            }
            5 => {
                proxy.half_open();
                pause(longest.min(short * 8)).await;
                proxy.heal();
                proxy.reset();
                "black hole"
            }
            6 | 7 => {
                compact(shared, direct, false).await;
                "compaction"
            }
            8 => {
                compact(shared, direct, true).await;
                "compaction that may overtake"
            }
            _ => {
                let _ = direct.move_leader(field.members[index]).await;
                "leader moved"
            }
        };
        *counts.entry(fault).or_default() += 1;
        pause(Duration::from_millis(random.u64(100..700))).await;
    }
    // Few of the faults are sure to end a connection, and each watch is to be resumed at least once.
    field.proxies.iter().for_each(Proxy::reset);
    println!("faults: {counts:?}, frozen for up to {frozen:?}");
}

/// Compacts what has been recorded: as far as each watch has been read, or further.
async fn compact(shared: &Shared, direct: &Client, overtake: bool) {
    let at = {
        let mut asked = shared.compaction.lock().await;
        let mut at = shared.replay.read.load(Ordering::Acquire);
        if overtake {
            shared.overtaking.fetch_max(at, Ordering::AcqRel);
        } else {
            let positions = shared.positions.iter().map(|it| it.load(Ordering::Acquire));
            at = at.min(positions.min().unwrap_or(at));
        }
        *asked = at.max(*asked);
        at
    };
    // It may be compacted already, or the quorum away.
    let _ = direct.compact(Revision::new(at.max(1))).await;
}
