//! Which cluster answers: the client belongs to the one that it met first, and says so when that changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use etcdkit::proto::etcdserverpb::{RangeResponse, RangeStreamResponse};
use etcdkit::transport::{EndpointState, EndpointStatus};
use etcdkit::{Cause, Client, ErrorKind, Get};
use etcdkit_testkit::peer::{Answer, EtcdLike};
use prost::Message;

use super::support::{
    self, CLUSTER, PUT, RANGE, RANGE_STREAM, STATUS, assert_says, get_answer_at, header_at, soon,
    status,
};

/// A member of that cluster, of that version.
async fn member(cluster: u64, version: &'static str) -> EtcdLike {
    support::etcd_that(move |call| match &*call.path {
        STATUS => Some(Answer::Message(status(cluster, version, false))),
        RANGE => Some(Answer::Message(get_answer_at(cluster, 5))),
        _ => None,
    })
    .await
}

fn is_of_another_cluster(state: &EndpointState) -> bool {
    matches!(state.status(), EndpointStatus::Failed(Cause::OtherCluster(_)))
}

#[tokio::test]
async fn a_member_of_another_cluster_is_never_used() {
    let (ours, other) = (member(CLUSTER, "3.7.1").await, member(0xc2, "3.7.1").await);
    let client = soon("connecting", support::builder([ours.endpoint()]).connect()).await.unwrap();
    let both = [ours.endpoint(), other.endpoint()];
    soon("the endpoints", client.set_endpoints(both)).await.unwrap();
    let found_out = support::until(&client, |states| states.iter().any(is_of_another_cluster));
    soon("the difference to show", found_out).await;
    for _ in 0..20 {
        soon("the get", client.get("k")).await.unwrap();
    }
    assert_eq!(ours.calls(RANGE), 20);
    assert_eq!(other.calls(RANGE), 0);
    let states = client.endpoint_states();
    assert!(states[0].is_ready());
    let EndpointStatus::Failed(cause) = states[1].status() else { panic!("{states:?}") };
    assert_says(&cause.to_string(), "belongs to cluster c2, and this client to cluster c1");
}

#[tokio::test]
async fn endpoints_that_all_lead_to_another_cluster_are_an_error() {
    let (ours, one, two) =
        (member(CLUSTER, "3.7.1").await, member(0xc2, "3.7.1").await, member(0xc2, "3.7.1").await);
    let client = soon("connecting", support::builder([ours.endpoint()]).connect()).await.unwrap();
    let others = [one.endpoint(), two.endpoint()];
    soon("the endpoints", client.set_endpoints(others)).await.unwrap();
    let error = soon("the put", client.put("k", "v")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ClusterChanged, "{error}");
    assert!(!error.maybe_applied());
    for endpoint in [one.endpoint(), two.endpoint()] {
        assert_says(&error.to_string(), &endpoint);
    }
    assert_says(&error.to_string(), "make a new client if the cluster was replaced");
    assert_eq!(one.calls(PUT) + two.calls(PUT), 0);

    soon("the endpoints", client.set_endpoints([ours.endpoint()])).await.unwrap();
    soon("the put", client.put("k", "v")).await.unwrap();
}

/// The endpoint is the same, what stands behind it is another cluster: it shows when the connection is made anew, or,
/// if it is not (a proxy), with the next answer.
#[tokio::test]
async fn a_cluster_that_is_replaced_behind_its_endpoint_is_an_error() {
    let etcd = member(CLUSTER, "3.7.1").await;
    let client = support::builder([etcd.endpoint()]).build().unwrap();
    soon("the get", client.get("k")).await.unwrap();
    etcd.queue(RANGE, Answer::Message(get_answer_at(0xc2, 5)));
    let error = soon("the get", client.get("k")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ClusterChanged, "{error}");
    assert_says(&error.to_string(), "belongs to cluster c2, and this client to cluster c1");

    etcd.answer_with(|call| match &*call.path {
        STATUS => Some(Answer::Message(status(0xc2, "3.7.1", false))),
        path => support::healthy(path),
    });
    etcd.queue(PUT, Answer::CloseConnection);
    soon("the lost put", client.put("k", "v")).await.unwrap_err();
    let before = etcd.calls(RANGE);
    let error = soon("the get", client.get("k")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ClusterChanged, "{error}");
    assert_eq!(etcd.calls(RANGE), before);
}

#[tokio::test]
async fn a_piece_of_another_cluster_ends_a_streamed_read() {
    let etcd = support::etcd_that(|call| {
        let range_response =
            Some(RangeResponse { header: Some(header_at(0xc2, 5)), ..RangeResponse::default() });
        let piece = RangeStreamResponse { range_response };
        (call.path == RANGE_STREAM).then(|| Answer::message(piece.encode_to_vec()))
    })
    .await;
    let client = support::builder([etcd.endpoint()]).build().unwrap();
    soon("the get", client.get("k")).await.unwrap();
    let mut pieces = soon("opening", client.get_stream(Get::all())).await.unwrap();
    let error = soon("a piece", pieces.next()).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ClusterChanged, "{error}");
    assert_eq!(error.rpc(), Some(RANGE_STREAM));
    assert!(soon("the end", pieces.next()).await.is_none());
}

#[tokio::test]
async fn a_history_that_goes_back_is_an_error_once() {
    let revision = Arc::new(AtomicI64::new(100));
    let now = Arc::clone(&revision);
    let etcd = support::etcd_that(move |call| {
        let revision = now.load(Ordering::SeqCst);
        (call.path == RANGE).then(|| Answer::Message(get_answer_at(CLUSTER, revision)))
    })
    .await;
    let client = support::builder([etcd.endpoint()]).build().unwrap();
    soon("the first get", client.get("k")).await.unwrap();
    revision.store(40, Ordering::SeqCst);
    // A member that lags behind is none.
    soon("any member's state", client.get(Get::new("k").serializable())).await.unwrap();
    let error = soon("the get after the restore", client.get("k")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ClusterChanged, "{error}");
    assert_says(&error.to_string(), "the history went back from revision 100 to 40");
    assert!(!error.maybe_applied());
    for later in [40, 41] {
        revision.store(later, Ordering::SeqCst);
        soon("the get in the new history", client.get("k")).await.unwrap();
    }
}

/// The put is in the new history: the error says that it happened.
#[tokio::test]
async fn a_write_into_a_history_that_went_back_has_been_applied() {
    let etcd = member(CLUSTER, "3.7.1").await;
    etcd.queue(RANGE, Answer::Message(get_answer_at(CLUSTER, 100)));
    let client = support::builder([etcd.endpoint()]).build().unwrap();
    soon("the get", client.get("k")).await.unwrap();
    let error = soon("the put", client.put("k", "v")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ClusterChanged, "{error}");
    assert!(error.maybe_applied());
    assert_eq!(etcd.calls(PUT), 1);
    assert_eq!(header_at(CLUSTER, 1).cluster_id, CLUSTER);
}

async fn connect(versions: &[&'static str]) -> Result<Client, etcdkit::Error> {
    let mut members = Vec::new();
    for version in versions {
        members.push(member(CLUSTER, version).await);
    }
    let endpoints: Vec<_> = members.iter().map(EtcdLike::endpoint).collect();
    soon("connecting", support::builder(endpoints).reject_old_cluster().connect()).await
}

#[tokio::test]
async fn test_client_reject_old_cluster() {
    for (versions, old) in [
        (&["3.7.1"][..], None),
        (&["3.6.0"], None),
        (&["3.7.1", "3.6.14"], None),
        (&["4.1.0"], None),
        (&["3.5.33"], Some("runs etcd 3.5.33; ")),
        (&["3.4.23", "3.4.23"], Some("runs etcd 3.4.23; ")),
        (&["3.7.1", "3.5.0"], Some("runs etcd 3.5.0; ")),
        (&["3.5.0", "3.7.1"], Some("runs etcd 3.5.0; ")),
        (&["3.6.0-rc.4"], Some("runs etcd 3.6.0-rc.4; ")),
        (&["xyz"], Some("runs etcd xyz; ")),
        (&["3.7.1", ""], Some("does not tell its version")),
    ] {
        match (connect(versions).await, old) {
            (Ok(_), None) => {}
            (Err(error), Some(old)) => {
                assert_eq!(error.kind(), ErrorKind::Unsupported, "{versions:?}: {error}");
                assert_says(&error.to_string(), old);
                assert_says(&error.to_string(), "older than 3.6.0");
            }
            (outcome, _) => panic!("{versions:?}: {outcome:?}"),
        }
    }
    // Nobody asked, so any version will do.
    let old = member(CLUSTER, "3.4.23").await;
    soon("connecting", support::builder([old.endpoint()]).connect()).await.unwrap();
}
