//! Everyone who leads, as others see it.

use etcdkit::Compact;
use etcdkit::concurrency::{Election, Leaders};
use etcdkit_testkit::proxy::Proxy;

use super::session;
use crate::kv::lost::eager;
use crate::kv::members::*;

async fn next(leaders: &mut Leaders) -> String {
    let leader = in_time("a leader", leaders.next()).await.expect("it goes on").unwrap();
    leader.value_str().unwrap().to_owned()
}

/// Also TestElectionObserveFreshResponsesOnProclaim.
#[tokio::test]
async fn every_leader_and_every_value_is_seen() {
    on_every_version(async |client, _| {
        let name = "every_leader";
        let mut leaders = client.election_leaders(name);
        let mut seen = Vec::new();
        let mut expected = Vec::new();
        for index in 0..3 {
            let session = session(&client).await;
            let leadership =
                Election::new(&session, name).campaign(format!("{index}")).await.unwrap();
            if index == 0 {
                // What came before the first look would not be seen.
                seen.push(next(&mut leaders).await);
            }
            leadership.proclaim(format!("{index}, ready")).await.unwrap();
            leadership.resign().await.unwrap();
            expected.extend([format!("{index}"), format!("{index}, ready")]);
        }
        while seen.len() < expected.len() {
            seen.push(next(&mut leaders).await);
        }
        assert_eq!(seen, expected);
    })
    .await;
}

/// Also TestElectionObserveCompacted: upstream's observer ends without a word when its revision is compacted.
#[tokio::test]
async fn an_observer_survives_lost_connections_and_compactions() {
    on_own_member(async |client, etcd| {
        let name = "an_observer_survives";
        let proxy = Proxy::start(etcd.client_addr()).await;
        let mut leaders = eager(&proxy).await.election_leaders(name);
        let session = session(&client).await;
        let leadership = Election::new(&session, name).campaign("first").await.unwrap();
        assert_eq!(next(&mut leaders).await, "first");
        proxy.reset();
        leadership.proclaim("second").await.unwrap();
        assert_eq!(next(&mut leaders).await, "second");
        proxy.refuse().await;
        proxy.reset();
        leadership.proclaim("compacted").await.unwrap();
        leadership.proclaim("last").await.unwrap();
        client.compact(Compact::new(revision(&client).await)).await.unwrap();
        proxy.listen_again().await;
        assert_eq!(next(&mut leaders).await, "last");
    })
    .await;
}
