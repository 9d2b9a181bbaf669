//! Elections.

use std::time::Duration;

use etcdkit::ServerError;
use etcdkit::config::Timeouts;

use crate::kv::members::*;

/// TestV3ElectionCampaign, TestV3ElectionObserve.
#[tokio::test]
async fn v3_election_campaign_and_observe() {
    on_every_version(async |client, _| {
        let name = "v3_election_campaign";
        let (one, two) = (grant(&client).await, grant(&client).await);
        let error = client.leader(name).await.unwrap_err();
        assert_eq!(error.server_error(), Some(ServerError::ElectionNoLeader), "{error}");

        let observing = client.clone();
        let mut observer = Box::pin(observing.observe(name));
        let early = tokio::time::timeout(std::time::Duration::from_millis(300), &mut observer);
        assert!(early.await.is_err(), "there is no leader yet");

        let first = client.campaign(name, one, "abc").await.unwrap().into_leader();
        assert_eq!(first.name(), name.as_bytes());
        assert_eq!(first.lease_id(), Some(one));
        let mut observer = in_time("a leader", observer).await.unwrap();
        let seen = observer.next().await.unwrap().unwrap();
        assert_eq!(seen.kv().unwrap().value(), b"abc");
        let leader = client.leader(name).await.unwrap();
        assert_eq!(leader.kv().unwrap().key(), first.key());
        assert_eq!(leader.kv().unwrap().create_revision(), first.revision());

        let second = client.clone();
        let mut second = Box::pin(second.campaign(name, two, "def"));
        let early = tokio::time::timeout(std::time::Duration::from_millis(300), &mut second);
        assert!(early.await.is_err(), "two lead");
        client.proclaim(first.clone(), "xyz").await.unwrap();
        let seen = in_time("the new value", observer.next()).await.unwrap().unwrap();
        assert_eq!(seen.kv().unwrap().value(), b"xyz");

        client.resign(first.clone()).await.unwrap();
        let second = in_time("the second", second).await.unwrap().into_leader();
        let mut seen = in_time("the second", observer.next()).await.unwrap().unwrap();
        while seen.kv().unwrap().value() != b"def" {
            seen = in_time("the second", observer.next()).await.unwrap().unwrap();
        }
        // Who resigned has nothing to say any more.
        let error = client.proclaim(first.clone(), "late").await.unwrap_err();
        assert_eq!(error.server_error(), Some(ServerError::ElectionNotLeader), "{error}");
        client.resign(first).await.unwrap();
        assert_eq!(client.leader(name).await.unwrap().kv().unwrap().key(), second.key());
        client.resign(second).await.unwrap();
    })
    .await;
}

/// Nothing comes of the server before, not even headers.
#[tokio::test]
async fn an_observer_waits_for_the_first_leader_for_longer_than_a_stream_may_rest() {
    on_every_version(async |client, etcd| {
        let name = "an_observer_waits";
        let lease = grant(&client).await;
        let short = Timeouts::new().stream_idle(Duration::from_millis(50));
        let observing =
            tolerant().timeouts(short).endpoints([etcd.client_url()]).connect().await.unwrap();
        let mut observer = Box::pin(observing.observe(name));
        let early = tokio::time::timeout(Duration::from_millis(300), &mut observer);
        if let Ok(outcome) = early.await {
            panic!("there is no leader yet: {outcome:?}");
        }
        client.campaign(name, lease, "abc").await.unwrap();
        let mut observer = in_time("a leader", observer).await.unwrap();
        let seen = observer.next().await.unwrap().unwrap();
        assert_eq!(seen.kv().unwrap().value(), b"abc");
    })
    .await;
}
