//! What members count.

use std::collections::BTreeMap;

use http::Method;
use serde::Deserialize;

use crate::answer;
use crate::client::Client;
use crate::error::Result;
use crate::members::request;

/// The statistics of a cluster's members. For those of a certain one, see [`Client::only`].
///
/// ```no_run
/// # async fn example(client: etcdkit_v2::Client) -> etcdkit_v2::Result<()> {
/// let stats = client.stats();
/// println!("{} sets succeeded", stats.store().await?.sets_success());
/// println!("{} followers", stats.leader().await?.followers().len());
/// # Ok(())
/// # }
/// ```
///
/// Dropping the future of a call aborts it.
#[derive(Clone, Debug)]
pub struct Stats {
    client: Client,
}

impl Stats {
    pub(crate) fn new(client: Client) -> Self {
        Self { client }
    }

    /// What a member knows of itself.
    ///
    /// # Errors
    ///
    /// No endpoint could serve the call.
    pub async fn member(&self) -> Result<MemberStats> {
        answer::json(&self.client.call(&request(Method::GET, "/v2/stats/self")).await?, &[200])
    }

    /// What the leader knows of its followers. A member that does not lead is asked who does.
    ///
    /// # Errors
    ///
    /// [`NoLeader`](crate::ErrorKind::NoLeader) while one is elected.
    pub async fn leader(&self) -> Result<LeaderStats> {
        let request = request(Method::GET, "/v2/stats/leader");
        let mut answer = self.client.call(&request).await?;
        if answer.status == 403 {
            let leader = self.client.members().leader().await?;
            if let Some(url) = leader.client_urls().first() {
                answer = self.client.only(url)?.call(&request).await?;
            }
        }
        answer::json(&answer, &[200])
    }

    /// What a member's store counts.
    ///
    /// # Errors
    ///
    /// No endpoint could serve the call.
    pub async fn store(&self) -> Result<StoreStats> {
        answer::json(&self.client.call(&request(Method::GET, "/v2/stats/store")).await?, &[200])
    }
}

/// What a member knows of itself.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct MemberStats {
    name: String,
    id: String,
    state: String,
    #[serde(rename = "startTime")]
    start_time: String,
    #[serde(rename = "leaderInfo")]
    leader_info: LeaderInfo,
    #[serde(rename = "recvAppendRequestCnt")]
    append_requests_received: u64,
    #[serde(rename = "sendAppendRequestCnt")]
    append_requests_sent: u64,
}

impl MemberStats {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its id, in hexadecimal.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// `StateLeader`, `StateFollower` or `StateCandidate`.
    #[must_use]
    pub fn state(&self) -> &str {
        &self.state
    }

    /// When it was started, as an RFC 3339 date.
    #[must_use]
    pub fn start_time(&self) -> &str {
        &self.start_time
    }

    /// Whom it follows.
    #[must_use]
    pub fn leader_info(&self) -> &LeaderInfo {
        &self.leader_info
    }

    /// How many requests to append it received.
    #[must_use]
    pub fn append_requests_received(&self) -> u64 {
        self.append_requests_received
    }

    /// How many requests to append it sent.
    #[must_use]
    pub fn append_requests_sent(&self) -> u64 {
        self.append_requests_sent
    }
}

/// Whom a member follows.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct LeaderInfo {
    leader: String,
    uptime: String,
    #[serde(rename = "startTime")]
    start_time: String,
}

impl LeaderInfo {
    /// The leader's id, in hexadecimal.
    #[must_use]
    pub fn leader(&self) -> &str {
        &self.leader
    }

    /// For how long it has led, as Go writes durations.
    #[must_use]
    pub fn uptime(&self) -> &str {
        &self.uptime
    }

    /// Since when it has led, as an RFC 3339 date.
    #[must_use]
    pub fn start_time(&self) -> &str {
        &self.start_time
    }
}

/// What the leader knows of its followers.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct LeaderStats {
    leader: String,
    followers: BTreeMap<String, FollowerStats>,
}

impl LeaderStats {
    /// The leader's id, in hexadecimal.
    #[must_use]
    pub fn leader(&self) -> &str {
        &self.leader
    }

    /// Each follower, by its id in hexadecimal.
    #[must_use]
    pub fn followers(&self) -> &BTreeMap<String, FollowerStats> {
        &self.followers
    }
}

/// What the leader knows of one follower.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct FollowerStats {
    latency: Latency,
    counts: FollowerCounts,
}

impl FollowerStats {
    /// How fast it answers.
    #[must_use]
    pub fn latency(&self) -> Latency {
        self.latency
    }

    /// How often it answered.
    #[must_use]
    pub fn counts(&self) -> FollowerCounts {
        self.counts
    }
}

/// How fast a follower answers, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Latency {
    current: f64,
    average: f64,
    #[serde(rename = "standardDeviation")]
    standard_deviation: f64,
    minimum: f64,
    maximum: f64,
}

impl Latency {
    /// The latest.
    #[must_use]
    pub fn current(&self) -> f64 {
        self.current
    }

    /// The average.
    #[must_use]
    pub fn average(&self) -> f64 {
        self.average
    }

    /// How much it varies.
    #[must_use]
    pub fn standard_deviation(&self) -> f64 {
        self.standard_deviation
    }

    /// The least.
    #[must_use]
    pub fn minimum(&self) -> f64 {
        self.minimum
    }

    /// The most.
    #[must_use]
    pub fn maximum(&self) -> f64 {
        self.maximum
    }
}

/// How often a follower answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct FollowerCounts {
    success: u64,
    fail: u64,
}

impl FollowerCounts {
    /// Successfully.
    #[must_use]
    pub fn success(&self) -> u64 {
        self.success
    }

    /// Not successfully, or not at all.
    #[must_use]
    pub fn fail(&self) -> u64 {
        self.fail
    }
}

/// What a member's store has counted since the member was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct StoreStats {
    #[serde(rename = "getsSuccess")]
    gets_success: u64,
    #[serde(rename = "getsFail")]
    gets_fail: u64,
    #[serde(rename = "setsSuccess")]
    sets_success: u64,
    #[serde(rename = "setsFail")]
    sets_fail: u64,
    #[serde(rename = "deleteSuccess")]
    deletes_success: u64,
    #[serde(rename = "deleteFail")]
    deletes_fail: u64,
    #[serde(rename = "updateSuccess")]
    updates_success: u64,
    #[serde(rename = "updateFail")]
    updates_fail: u64,
    #[serde(rename = "createSuccess")]
    creates_success: u64,
    #[serde(rename = "createFail")]
    creates_fail: u64,
    #[serde(rename = "compareAndSwapSuccess")]
    compare_and_swaps_success: u64,
    #[serde(rename = "compareAndSwapFail")]
    compare_and_swaps_fail: u64,
    #[serde(rename = "compareAndDeleteSuccess")]
    compare_and_deletes_success: u64,
    #[serde(rename = "compareAndDeleteFail")]
    compare_and_deletes_fail: u64,
    #[serde(rename = "expireCount")]
    expirations: u64,
    watchers: u64,
}

impl StoreStats {
    /// Reads that succeeded.
    #[must_use]
    pub fn gets_success(&self) -> u64 {
        self.gets_success
    }

    /// Reads that failed.
    #[must_use]
    pub fn gets_fail(&self) -> u64 {
        self.gets_fail
    }

    /// Writes that succeeded.
    #[must_use]
    pub fn sets_success(&self) -> u64 {
        self.sets_success
    }

    /// Writes that failed.
    #[must_use]
    pub fn sets_fail(&self) -> u64 {
        self.sets_fail
    }

    /// Deletions that succeeded.
    #[must_use]
    pub fn deletes_success(&self) -> u64 {
        self.deletes_success
    }

    /// Deletions that failed.
    #[must_use]
    pub fn deletes_fail(&self) -> u64 {
        self.deletes_fail
    }

    /// Updates that succeeded.
    #[must_use]
    pub fn updates_success(&self) -> u64 {
        self.updates_success
    }

    /// Updates that failed.
    #[must_use]
    pub fn updates_fail(&self) -> u64 {
        self.updates_fail
    }

    /// Creations that succeeded.
    #[must_use]
    pub fn creates_success(&self) -> u64 {
        self.creates_success
    }

    /// Creations that failed.
    #[must_use]
    pub fn creates_fail(&self) -> u64 {
        self.creates_fail
    }

    /// Comparisons with a write that succeeded.
    #[must_use]
    pub fn compare_and_swaps_success(&self) -> u64 {
        self.compare_and_swaps_success
    }

    /// Comparisons with a write that failed.
    #[must_use]
    pub fn compare_and_swaps_fail(&self) -> u64 {
        self.compare_and_swaps_fail
    }

    /// Comparisons with a deletion that succeeded.
    #[must_use]
    pub fn compare_and_deletes_success(&self) -> u64 {
        self.compare_and_deletes_success
    }

    /// Comparisons with a deletion that failed.
    #[must_use]
    pub fn compare_and_deletes_fail(&self) -> u64 {
        self.compare_and_deletes_fail
    }

    /// Keys whose time was up.
    #[must_use]
    pub fn expirations(&self) -> u64 {
        self.expirations
    }

    /// Watches that wait.
    #[must_use]
    pub fn watchers(&self) -> u64 {
        self.watchers
    }
}
