//! Several etcd members that form one cluster. Built on [`etcd`](crate::etcd), which knows how to run one.

use std::ffi::OsStr;
use std::ops::Index;
use std::time::Duration;

use crate::etcd::{Builder, Etcd, Permit, Version, join};
use crate::wait::eventually;

/// An election takes a second or two; two busy cores may take many times as long.
const LEADER_DEADLINE: Duration = Duration::from_secs(60);

/// A cluster of etcd members, which are numbered from 0. Dropping it kills them and removes their data.
///
/// ```no_run
/// # async fn example() {
/// use etcdkit_testkit::cluster::Cluster;
/// use etcdkit_testkit::etcd::Version;
///
/// let cluster = Cluster::builder(Version::V3_6).members(3).start().await;
/// let old = cluster.wait_leader().await;
/// cluster[old].kill().await;
/// assert_ne!(cluster.wait_leader().await, old);
/// # }
/// ```
#[derive(Debug)]
pub struct Cluster {
    members: Vec<Etcd>,
    _permit: Permit,
}

impl Cluster {
    /// Configures a cluster of three members of the given version.
    pub const fn builder(version: Version) -> Builder<Self> {
        Builder::cluster(version)
    }

    pub(crate) const fn new(members: Vec<Etcd>, permit: Permit) -> Self {
        Self { members, _permit: permit }
    }

    /// All members, those that are down included.
    #[must_use]
    pub fn members(&self) -> &[Etcd] {
        &self.members
    }

    /// Every member's client URL.
    #[must_use]
    pub fn endpoints(&self) -> Vec<String> {
        self.members.iter().map(Etcd::client_url).collect()
    }

    /// The index of the member that the running members follow, if they agree on one.
    ///
    /// Members that are down or paused have no say.
    pub async fn leader(&self) -> Option<usize> {
        let mut leader = None;
        for (index, member) in
            self.members.iter().enumerate().filter(|(_, member)| member.is_responsive())
        {
            // A member that lost its leader has none until the next election, and one that was frozen may for a
            // moment still believe that it leads.
            if member.metric("etcd_server_has_leader").await? == 0.0 {
                return None;
            }
            if member.metric("etcd_server_is_leader").await? == 1.0
                && leader.replace(index).is_some()
            {
                return None;
            }
        }
        leader
    }

    /// Waits until there is a [`leader`](Self::leader) and returns its index.
    ///
    /// # Panics
    ///
    /// When there is none for a minute.
    pub async fn wait_leader(&self) -> usize {
        eventually("a leader", LEADER_DEADLINE, async || self.leader().await).await
    }

    /// The indices of the running members that do not lead.
    ///
    /// # Panics
    ///
    /// When there is no leader for a minute.
    pub async fn followers(&self) -> Vec<usize> {
        let leader = self.wait_leader().await;
        let running = |&index: &usize| index != leader && self.members[index].is_responsive();
        (0..self.members.len()).filter(running).collect()
    }

    /// Starts every member that is down and waits until all serve their clients.
    ///
    /// # Panics
    ///
    /// When one does not.
    pub async fn start_all(&self) {
        self.members.iter().for_each(Etcd::spawn);
        for member in &self.members {
            member.ready().await;
        }
    }

    /// Adds a learner to the cluster, starts it and returns its index.
    ///
    /// # Panics
    ///
    /// When the cluster refuses it, or it does not start.
    pub async fn add_learner(&mut self) -> usize {
        let leader = &self.members[self.wait_leader().await];
        let existing: Vec<String> = self
            .members
            .iter()
            .map(|member| format!("{}={}", member.name(), member.peer_url()))
            .collect();
        let index = self.members.len();
        let learner = join(leader.settings(), format!("m{index}"), &existing.join(","));
        let peer_url = format!("--peer-urls={}", learner.peer_url());
        // The leader takes nobody in while one of its connections to the others is younger than five seconds.
        eventually("the cluster to be healthy", LEADER_DEADLINE, async || {
            let add = ["member", "add", learner.name(), "--learner", &peer_url];
            let output = leader.try_etcdctl(add).await;
            let said = String::from_utf8_lossy(&output.stderr);
            let young = said.contains("unhealthy cluster");
            assert!(output.status.success() || young, "the learner is refused: {said}");
            (!young).then_some(())
        })
        .await;
        learner.start().await;
        self.members.push(learner);
        index
    }

    /// Makes a learner a voting member, as soon as it has caught up with the leader.
    ///
    /// # Panics
    ///
    /// When it cannot be promoted for a minute.
    pub async fn promote(&self, index: usize) {
        let leader = &self.members[self.wait_leader().await];
        let id = format!("{:x}", self.member_id(index).await);
        eventually("a learner to catch up", LEADER_DEADLINE, async || {
            let output = leader.try_etcdctl(["member", "promote", &id]).await;
            output.status.success().then_some(())
        })
        .await;
    }

    /// The id that the cluster knows a member by.
    ///
    /// # Panics
    ///
    /// When the cluster does not know it.
    pub async fn member_id(&self, index: usize) -> u64 {
        let list = self.members[self.wait_leader().await].etcdctl(["member", "list"]).await;
        // 8211f1d0f64f3269, started, m0, http://127.0.0.1:20001, http://127.0.0.1:20000, false
        let peer_url = self.members[index].peer_url();
        let line = list.lines().find(|line| line.split(", ").any(|field| field == peer_url));
        let id = line.and_then(|line| u64::from_str_radix(line.split(',').next()?, 16).ok());
        id.unwrap_or_else(|| panic!("member {index} is not in:\n{list}"))
    }

    /// Cuts a member off from all others; clients still reach it. The cluster must have been started with
    /// [`gates`](Builder::gates).
    ///
    /// # Panics
    ///
    /// When it was not, or has no leader to ask for the member's id.
    pub async fn isolate(&self, index: usize) {
        let id = self.member_id(index).await;
        for (other, member) in self.members.iter().enumerate() {
            let gate = member.gate().expect("the cluster was started with gates");
            if other == index {
                gate.shut_to_everyone();
            } else {
                gate.shut_to(id);
            }
        }
    }

    /// Ends what [`isolate`](Self::isolate) did, for all members.
    pub fn reunite(&self) {
        self.members.iter().filter_map(Etcd::gate).for_each(|gate| gate.open());
    }

    /// Runs `etcdctl` against the leader, and returns what it printed.
    ///
    /// # Panics
    ///
    /// When it fails, with its error.
    pub async fn etcdctl<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> String {
        self.members[self.wait_leader().await].etcdctl(arguments).await
    }
}

impl Index<usize> for Cluster {
    type Output = Etcd;

    fn index(&self, index: usize) -> &Etcd {
        &self.members[index]
    }
}
