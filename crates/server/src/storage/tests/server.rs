//! A server whose disk is slow, full, or broken.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use etcdkit_proto::etcdserverpb::alarm_request::AlarmAction;
use etcdkit_proto::etcdserverpb::{
    AlarmRequest, AlarmType, CompactionRequest, LeaseGrantRequest, LeaseRevokeRequest, PutRequest,
    RangeRequest, ResponseHeader,
};
use etcdkit_proto::{Code, ServerError, method};
use futures_util::FutureExt;
use futures_util::future::{join, join_all, poll_immediate};
use prost::Message as _;

use super::medium::{Drive, Loss};
use super::power::{entries, load};
use crate::budget::Budget;
use crate::caller::Caller;
use crate::clock::Clock;
use crate::config::Config;
use crate::node::Node;
use crate::service::unary;
use crate::state::State;
use crate::status::{Result, Status};
use crate::storage::{Batch, Load, Source, Storage, StorageError};
use crate::task::{Task, spawn};

/// A node on a drive, and the task that commits for it.
fn started(drive: &Drive) -> (Arc<Node>, Task) {
    let node = node();
    let committer = committing(&node, drive.disk());
    (node, committer)
}

fn node() -> Arc<Node> {
    let mut state = State::new(Arc::new(Config::default()), 7);
    state.keep_journal();
    Arc::new(Node::new(state, Clock::new(), true))
}

fn committing(node: &Arc<Node>, storage: impl Storage) -> Task {
    let node = Arc::clone(node);
    spawn(async move { node.commit(Box::new(storage)).await })
}

async fn put(node: &Node, key: &str, size: usize) -> Result<i64> {
    let request = PutRequest {
        key: key.to_owned().into(),
        value: vec![7; size].into(),
        ..PutRequest::default()
    };
    let put = node.write(|state| state.put(None, &request)).await?;
    Ok(put.header.unwrap_or_default().revision)
}

fn no_space<T: std::fmt::Debug>(outcome: Result<T>) {
    assert_eq!(
        outcome.map_err(|status| status.message).unwrap_err(),
        ServerError::NoSpace.message()
    );
}

async fn disarm(node: &Node) {
    let request = AlarmRequest {
        action: AlarmAction::Deactivate as i32,
        member_id: node.state().identity.member,
        alarm: AlarmType::NoSpace as i32,
    };
    node.write(|state| state.alarm(None, &request)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_on_a_full_disk_answers_so_and_is_what_is_on_the_disk() {
    let drive = Drive::formatted();
    let (node, committer) = started(&drive);
    assert_eq!(put(&node, "before", 10).await, Ok(2));
    let grant = LeaseGrantRequest { id: 5, ttl: 60 };
    node.write(|state| state.lease_grant(None, &grant, node.now())).await.unwrap();
    drive.limit(Some(100));
    // Many at once, in one batch or several: who is told of a success finds it later, nobody else does.
    let names: Vec<String> = (0..20).map(|number| format!("large-{number}")).collect();
    let outcomes = join_all(names.iter().map(|name| put(&node, name, 300_000))).await;
    let mut written = Vec::new();
    for (name, outcome) in names.iter().zip(outcomes) {
        match outcome {
            Ok(_) => written.push(name),
            failed => no_space(failed),
        }
    }
    assert!(written.len() < 5, "{written:?}");
    assert!(node.state().has_alarm(AlarmType::NoSpace));
    // Now it is refused before anything is tried, and reads go on.
    no_space(put(&node, "small", 1).await);
    node.read(|state| Ok(state.lease_leases(None))).await.unwrap().unwrap();
    let check = |node: &Node, what: &str| {
        let state = node.state();
        let revision = state.published();
        assert_eq!(state.store.revision(), revision, "{what}");
        assert!(state.store.contains(b"before", revision), "{what}");
        for name in &names {
            let found = state.store.contains(name.as_bytes(), revision);
            assert_eq!(found, written.contains(&name), "{what}: {name}");
        }
        assert!(state.lessor.contains(5), "{what}");
    };
    check(&node, "after the failure");
    assert_eq!(node.state().published(), 2 + i64::try_from(written.len()).unwrap());

    drive.limit(None);
    disarm(&node).await;
    let revision = put(&node, "after", 300_000).await.unwrap();
    assert_eq!(revision, 3 + i64::try_from(written.len()).unwrap(), "a revision is missing");
    check(&node, "after there was room");
    node.stop();
    committer.ended().await;
    let drive = drive.after(Loss::Everything, &mut fastrand::Rng::with_seed(0));
    let index = |entry: &(_, Vec<u8>, _)| entry.1 == b"consistent_index";
    let mut on_disk = entries(&load(&mut drive.disk()));
    let mut in_memory = entries(&node.state());
    on_disk.retain(|entry| !index(entry));
    in_memory.retain(|entry| !index(entry));
    assert_eq!(on_disk, in_memory);
}

/// A disk that is full at its first batch, and takes its time with the second.
#[derive(Debug)]
struct Slow {
    node: Arc<Node>,
    batches: u32,
    go_on: Receiver<()>,
}

impl Storage for Slow {
    fn load(&mut self, _: &mut Load<'_>) -> Result<(), StorageError> {
        assert!(!self.node.is_locked());
        Ok(())
    }

    fn commit(&mut self, _: &Batch) -> Result<(), StorageError> {
        assert!(!self.node.is_locked());
        self.batches += 1;
        if self.batches == 1 {
            return Err(StorageError::Full("the disk".to_owned()));
        }
        self.go_on.recv().map_err(|_| StorageError::Broken("the test ended".to_owned()))
    }

    fn fill(&mut self, _: &mut Source<'_>) -> Result<(), StorageError> {
        Ok(())
    }
}

/// The state was locked until the disk had taken the alarm.
#[tokio::test(flavor = "multi_thread")]
async fn while_a_full_disk_takes_the_alarm_only_who_asks_for_that_waits() {
    let node = node();
    let (go_on, wait) = channel();
    let slow = Slow { node: Arc::clone(&node), batches: 0, go_on: wait };
    let _committer = committing(&node, slow);
    no_space(put(&node, "a", 10).await);
    assert_eq!(node.state().published(), 1);
    let mut alarmed = Box::pin(node.read(|state| Ok(state.has_alarm(AlarmType::NoSpace))));
    assert_eq!(poll_immediate(&mut alarmed).await, None, "it may not be durable");
    go_on.send(()).unwrap();
    assert_eq!(alarmed.await, Ok(true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_cannot_be_ended_for_lack_of_room_is_tried_again_later() {
    let drive = Drive::formatted();
    let (node, _committer) = started(&drive);
    let grant = LeaseGrantRequest { id: 5, ttl: 60 };
    node.write(|state| state.lease_grant(None, &grant, node.now())).await.unwrap();
    drive.limit(Some(10));
    // In one batch with what there is no room for.
    let large =
        PutRequest { key: "large".into(), value: vec![7; 300_000].into(), ..Default::default() };
    let ended = node.write(|state| {
        state.put(None, &large)?;
        state.lease_revoke(None, &LeaseRevokeRequest { id: 5 })
    });
    no_space(ended.await);
    let state = node.state();
    let left = state.lessor.time_to_live(5, node.now()).expect("it is back").remaining;
    assert!(left <= Duration::from_secs(3) && left > Duration::from_secs(1), "{left:?}");
}

/// A renewal ends what has expired first. With nothing to end, it was answered with "request timed out".
#[tokio::test]
async fn where_no_lease_has_expired_nothing_is_waited_for() {
    let drive = Drive::formatted();
    let (node, _committer) = started(&drive);
    assert_eq!(node.expire().await, Ok(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_answered_or_shown_before_it_is_durable() {
    let drive = Drive::formatted();
    let (node, _committer) = started(&drive);
    assert_eq!(put(&node, "before", 10).await, Ok(2));
    drive.hold_syncs(true);
    let syncs = drive.syncs();
    let mut write = Box::pin(put(&node, "held", 10));
    assert_eq!(poll_immediate(&mut write).await, None);
    // What is not about keys waits; keys are those of before.
    let mut read = Box::pin(node.read(|state| Ok(state.store.revision())));
    assert_eq!(poll_immediate(&mut read).await, None);
    let mut refused =
        Box::pin(node.write(|state| state.lease_revoke(None, &LeaseRevokeRequest { id: 9 })));
    assert_eq!(poll_immediate(&mut refused).await, None);
    let range = RangeRequest { key: "held".into(), ..RangeRequest::default() };
    let shown = |node: &Node| {
        let state = node.state();
        (
            state.published(),
            state.range(None, &range).map(|found| found.response(ResponseHeader::default()).count),
        )
    };
    assert_eq!(shown(&node), (2, Ok(0)));
    assert_eq!(drive.syncs(), syncs);
    drive.hold_syncs(false);
    assert_eq!(write.await, Ok(3));
    assert_eq!(shown(&node), (3, Ok(1)));
    assert_eq!(read.await, Ok(3));
    assert_eq!(refused.await.unwrap_err().message, ServerError::LeaseNotFound.message());
}

/// Nobody said any more that there was something to remove.
#[tokio::test(flavor = "multi_thread")]
async fn a_compaction_that_nobody_waits_for_goes_on_when_it_is_published() {
    let drive = Drive::formatted();
    let (node, _committer) = started(&drive);
    put(&node, "a", 10).await.unwrap();
    let revision = put(&node, "a", 10).await.unwrap();
    drive.hold_syncs(true);
    let compact = CompactionRequest { revision, physical: false }.encode_to_vec();
    let caller = Caller::default();
    let mut hold = Budget::new(&node.held).answer();
    let call = unary(&node, method::kv::COMPACT.path(), &caller, compact.into(), &mut hold);
    assert!(call.now_or_never().is_none(), "it is durable already");
    drive.hold_syncs(false);
    put(&node, "b", 10).await.unwrap();
    assert!(node.compacted.notified().now_or_never().is_some(), "nobody goes on with it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_defragments_while_it_writes() {
    let drive = Drive::formatted();
    let (node, _committer) = started(&drive);
    for number in 0..40 {
        put(&node, &format!("key-{}", number % 4), 100_000).await.unwrap();
    }
    let revision = node.state().store.revision();
    let compact = CompactionRequest { revision, physical: false };
    node.write(|state| state.compact(None, &compact)).await.unwrap();
    while node.state_mut().compact_some() {}
    node.write(|_| Ok(())).await.unwrap();
    let size = || node.commits().size().unwrap();
    let before = size();
    let (defragmented, written) = join(node.commits().defragment(), put(&node, "a", 10)).await;
    assert_eq!((defragmented, written), (Ok(()), Ok(revision + 1)));
    put(&node, "b", 10).await.unwrap();
    assert!(size() < before / 2, "{before} to {}", size());
    let mut found =
        load(&mut drive.after(Loss::Everything, &mut fastrand::Rng::with_seed(0)).disk());
    assert_eq!(found.store.revision(), revision + 2);
    assert!(!found.compact_some());
}

/// On one thread all writes of a round are applied before the committer gets its turn, however busy the machine is.
#[tokio::test]
async fn writes_at_once_share_their_syncs() {
    let drive = Drive::formatted();
    let (node, _committer) = started(&drive);
    let names: Vec<String> = (0..128).map(|number| format!("key-{number}")).collect();
    let mut acknowledged = 0;
    for _ in 0..20 {
        let outcomes = join_all(names.iter().map(|name| put(&node, name, 100))).await;
        acknowledged += outcomes.iter().filter(|outcome| outcome.is_ok()).count() as u64;
    }
    assert_eq!(acknowledged, 2560);
    let syncs = drive.syncs();
    assert!((20..=acknowledged / 16).contains(&syncs), "{syncs} for {acknowledged}");
    assert!(syncs >= node.observed.batches.total());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_sync_failed_answers_nothing_any_more() {
    let drive = Drive::formatted();
    let (node, committer) = started(&drive);
    assert_eq!(put(&node, "before", 10).await, Ok(2));
    drive.fail_syncs(true);
    let broken = |status: Status| {
        assert_eq!(status.code, Code::Unavailable);
        assert!(status.message.contains("storage is broken"), "{status}");
    };
    broken(put(&node, "lost", 10).await.unwrap_err());
    drive.fail_syncs(false);
    broken(put(&node, "later", 10).await.unwrap_err());
    broken(node.read(|_| Ok(())).await.unwrap_err());
    committer.ended().await;
    // What was published is what was durable.
    assert_eq!(node.state().published(), 2);
}
