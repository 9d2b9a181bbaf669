//! Who leads.

use etcdkit::concurrency::{Election, Loss, Session};
use etcdkit::{Client, ErrorKind, LossReason, Put, Txn};
use etcdkit_testkit::etcd::Etcd;

use super::{blocked, counted, in_line, session, spawn};
use crate::kv::members::*;

/// The election of a name, for a session.
type Make = fn(&Session, &str) -> Election;

/// Runs `test` with both ways to wait, by a watch and by a call that the server answers, on every version.
async fn each_way(name: &str, test: impl AsyncFn(Client, &Etcd, &'static str, Make)) {
    let ways: [(&str, Make); 2] = [
        ("client", |session, name| Election::new(session, name)),
        ("server", |session, name| Election::on_server(session, name)),
    ];
    on_every_version(async |client, etcd| {
        for (way, make) in ways {
            let name = &*format!("{name}_{way}").leak();
            test(client.clone(), etcd, name, make).await;
        }
    })
    .await;
}

/// Also TestElectionWait and TestElectionSessionRecampaign.
#[tokio::test]
async fn a_leadership_from_campaign_to_resignation() {
    each_way("a_leadership", async |client, _, name, election| {
        let (one, two) = (session(&client).await, session(&client).await);
        let (one, two) = (election(&one, name), election(&two, name));
        assert_eq!(one.leader().await.unwrap(), None);
        let first = one.campaign("one").await.unwrap();
        let leader = two.leader().await.unwrap().unwrap();
        assert_eq!((leader.key(), leader.value()), (&first.key()[..], b"one".as_slice()));
        assert_eq!(leader.create_revision(), first.fencing_token());
        let mut second = Box::pin(two.campaign("two"));
        blocked("the second", &mut second).await;

        first.proclaim("one, ready").await.unwrap();
        assert_eq!(two.leader().await.unwrap().unwrap().value(), b"one, ready");
        first.txn(Txn::new().then([Put::new("a_leaders_work", "1")])).await.unwrap();
        first.resign().await.unwrap();
        let second = in_time("the second", second).await.unwrap();
        assert_eq!(client.election_leader(name).await.unwrap().unwrap().value(), b"two");
        // A candidacy of the same session is the same one, with another value.
        let again = in_time("the same", two.campaign("two again")).await.unwrap();
        assert_eq!(again.fencing_token(), second.fencing_token());
        assert_eq!(two.leader().await.unwrap().unwrap().value(), b"two again");
        again.resign().await.unwrap();
        assert!(second.guard().is_held().await.unwrap());
        client.delete(second.key()).await.unwrap();
        assert_eq!(in_time("the loss", second.lost()).await, Loss::Deleted);
        fails(second.proclaim("late").await, ErrorKind::NotFound);
        // Who was deposed has nothing to resign from.
        second.resign().await.unwrap();
    })
    .await;
}

/// Upstream's campaign does not look whether its own key is still there: an expired candidate wins.
#[tokio::test]
async fn a_candidate_whose_session_expires_while_it_waits_does_not_win() {
    each_way("an_expired_candidate", async |client, _, name, election| {
        let (one, two) = (session(&client).await, session(&client).await);
        let first = election(&one, name).campaign("one").await.unwrap();
        let lease = two.lease();
        let waiting = spawn(async move { election(&two, name).campaign("two").await });
        counted(&client, name, 2).await;
        // There is nobody before it then, and neither is it. The other way round it may win before it expires.
        client.revoke(lease).await.unwrap();
        first.resign().await.unwrap();
        let error = in_time("the candidate", waiting).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    })
    .await;
}

/// The same when only the key was deleted, and the session lives.
#[tokio::test]
async fn a_candidate_whose_key_is_deleted_does_not_win() {
    each_way("a_deleted_candidate", async |client, _, name, election| {
        let (one, two) = (session(&client).await, session(&client).await);
        let first = election(&one, name).campaign("one").await.unwrap();
        let key = format!("{name}/{:x}", two.lease().get());
        let kept = two.clone();
        let waiting = spawn(async move { election(&two, name).campaign("two").await });
        counted(&client, name, 2).await;
        client.delete(&*key).await.unwrap();
        first.resign().await.unwrap();
        let error = in_time("the candidate", waiting).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        assert!(kept.state().is_alive());
        // The session can be a candidate again.
        election(&kept, name).campaign("again").await.unwrap().resign().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_campaign_that_is_given_up_leaves_no_candidate() {
    each_way("a_campaign_given_up", async |client, _, name, election| {
        let (one, two) = (session(&client).await, session(&client).await);
        let first = election(&one, name).campaign("one").await.unwrap();
        let election = election(&two, name);
        let mut campaign = Box::pin(election.campaign("two"));
        in_line("the second", &mut campaign, counted(&client, name, 2)).await;
        blocked("the second", &mut campaign).await;
        drop(campaign);
        counted(&client, name, 1).await;
        drop(first);
        counted(&client, name, 0).await;
    })
    .await;
}

#[tokio::test]
async fn resume_election() {
    each_way("resume_election", async |client, etcd, name, election| {
        let lease = grant(&client).await;
        let before = client.session(lease).await.unwrap();
        let leadership = election(&before, name).campaign("candidate1").await.unwrap();
        let (key, revision) = (leadership.key().clone(), leadership.fencing_token());
        // A program that ends without resigning.
        std::mem::forget(leadership);
        before.orphan();
        assert_eq!(before.lost().await, LossReason::Cancelled);

        let anew = connect(etcd).await;
        let session = anew.session(lease).await.unwrap();
        let election = election(&session, name);
        let mut observed = election.observe();
        assert_eq!(
            in_time("the leader", observed.next()).await.unwrap().unwrap().value(),
            b"candidate1"
        );
        // By the same name as at first: the rule for prefixes is one.
        let leadership = election.resume(&key, revision).await.unwrap();
        leadership.proclaim("candidate1, resumed").await.unwrap();
        let seen = in_time("the leader", observed.next()).await.unwrap().unwrap();
        assert_eq!(
            (seen.value(), seen.create_revision()),
            (b"candidate1, resumed".as_slice(), revision)
        );
        fails(election.resume(&key, revision.next()).await, ErrorKind::NotFound);
        fails(election.resume("elsewhere/1", revision).await, ErrorKind::InvalidArgument);
        leadership.resign().await.unwrap();
        assert_eq!(election.leader().await.unwrap(), None);
    })
    .await;
}

/// Who resumed a leadership that was resigned since took the next one from the candidate whose key it was.
#[tokio::test]
async fn a_leadership_that_was_lost_takes_no_later_one() {
    each_way("a_later_leadership", async |client, _, name, election| {
        let (one, two) = (session(&client).await, session(&client).await);
        let (one, two) = (election(&one, name), election(&two, name));
        let first = one.campaign("first").await.unwrap();
        let resumed = two.resume(first.key(), first.fencing_token()).await.unwrap();
        first.resign().await.unwrap();
        let later = one.campaign("later").await.unwrap();
        resumed.resign().await.unwrap();
        // Which waits until nothing of the same session is left to be deleted.
        let resumed = in_time("the same", two.resume(later.key(), later.fencing_token())).await;
        assert!(later.guard().is_held().await.unwrap());
        resumed.unwrap().resign().await.unwrap();
    })
    .await;
}

/// The keys of the election `a/b` are under those of `a`.
#[tokio::test]
async fn elections_whose_names_begin_alike_are_independent() {
    each_way("elections_alike", async |client, _, name, election| {
        let (one, two) = (session(&client).await, session(&client).await);
        let inner = election(&one, &format!("{name}/b")).campaign("inner").await.unwrap();
        let outer = election(&two, name);
        assert_eq!(outer.leader().await.unwrap(), None);
        let leads = in_time("the outer", outer.campaign("outer")).await.unwrap();
        assert_eq!(outer.leader().await.unwrap().unwrap().value(), b"outer");
        leads.resign().await.unwrap();
        inner.resign().await.unwrap();
    })
    .await;
}

/// Leaders that die one after the other: whoever came next leads, and everybody sees it.
#[tokio::test]
async fn election_failover() {
    each_way("election_failover", async |client, _, name, election| {
        let mut observed = client.election_leaders(name);
        let mut candidates = Vec::new();
        let mut sessions = Vec::new();
        for number in 0..3 {
            let session = session(&client).await;
            let candidate = election(&session, name);
            candidates.push(spawn(async move { candidate.campaign(number.to_string()).await }));
            counted(&client, name, number + 1).await;
            sessions.push(session);
        }
        for (number, (session, candidate)) in sessions.iter().zip(candidates).enumerate() {
            let leads = in_time("the lead", candidate).await.unwrap().unwrap();
            let seen = in_time("the leader", observed.next()).await.unwrap().unwrap();
            assert_eq!(
                (seen.key(), seen.create_revision()),
                (&**leads.key(), leads.fencing_token())
            );
            assert_eq!(seen.value(), number.to_string().as_bytes());
            session.close().await.unwrap();
            let loss = in_time("the loss", leads.lost()).await;
            assert!(
                [Loss::Session(LossReason::Cancelled), Loss::Deleted].contains(&loss),
                "{loss:?}"
            );
        }
        assert_eq!(client.election_leader(name).await.unwrap(), None);
    })
    .await;
}

/// A program that is started anew with its former lease still leads, by the same key.
#[tokio::test]
async fn election_on_session_restart() {
    each_way("election_on_session_restart", async |client, etcd, name, election| {
        let lease = grant(&client).await;
        let before = client.session(lease).await.unwrap();
        let former = election(&before, name).campaign("it").await.unwrap();
        let token = former.fencing_token();
        std::mem::forget(former);
        before.orphan();
        let other = session(&client).await;
        let other = spawn({
            let election = election(&other, name);
            async move { election.campaign("other").await }
        });
        counted(&client, name, 2).await;

        let session = connect(etcd).await.session(lease).await.unwrap();
        let leads = in_time("the lead", election(&session, name).campaign("it")).await.unwrap();
        assert_eq!(leads.fencing_token(), token);
        leads.resign().await.unwrap();
        in_time("the other", other).await.unwrap().unwrap().resign().await.unwrap();
    })
    .await;
}

/// A key that begins like the election's, and is none of it.
#[tokio::test]
async fn election_on_prefix_of_existing_key() {
    each_way("election_on_prefix", async |client, _, name, election| {
        client.put(format!("{name}a"), "value").await.unwrap();
        let session = session(&client).await;
        let leads = in_time("the lead", election(&session, name).campaign("it")).await.unwrap();
        leads.resign().await.unwrap();
    })
    .await;
}
