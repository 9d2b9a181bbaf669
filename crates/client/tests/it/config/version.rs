//! Clusters that are too old.

use std::time::Duration;

use etcdkit::ErrorKind;
use etcdkit::proto::etcdserverpb::StatusResponse;
use etcdkit_testkit::etcd::Version;
use etcdkit_testkit::peer::EtcdLike;

use super::{header, message};
use crate::kv::members::*;

#[tokio::test]
async fn reject_old_cluster() {
    for version in Version::available() {
        let _named = Named::new(version);
        let etcd = shared(version).await;
        let client = tolerant().endpoints([etcd.client_url()]).reject_old_cluster();
        let outcome = client.connect().await;
        if version.at_least(3, 6) {
            outcome.unwrap().get("foo").await.unwrap();
        } else {
            let error = outcome.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
            let text = error.to_string();
            assert!(text.contains(version.number()) && text.contains(&etcd.client_url()), "{text}");
        }
    }
}

/// One old member among many is enough, whichever connects first; one that can't be reached is not old.
#[tokio::test]
async fn client_reject_old_cluster() {
    let table: [(&[&str], bool); 9] = [
        (&["3.7.1"], true),
        (&["3.6.0", "3.7.0"], true),
        (&["3.7.0", "3.8.0-alpha.0"], true),
        (&["3.5.33"], false),
        (&["3.7.0", "3.7.0", "3.5.0"], false),
        (&["3.5.0", "3.7.0"], false),
        (&["3.6.0-rc.0"], false),
        (&["3.7.0", "gibberish"], false),
        (&["3.7.0", "down"], true),
    ];
    for (versions, fine) in table {
        let mut members = Vec::new();
        let mut endpoints = Vec::new();
        for &version in versions {
            if version == "down" {
                endpoints.push("http://127.0.0.1:1".to_owned());
                continue;
            }
            let etcd = EtcdLike::start().await;
            let status = StatusResponse {
                header: header(),
                version: version.to_owned(),
                leader: 1,
                ..StatusResponse::default()
            };
            etcd.answer_with(move |call| call.path.ends_with("/Status").then(|| message(&status)));
            endpoints.push(etcd.endpoint());
            members.push(etcd);
        }
        let client = tolerant().endpoints(endpoints).reject_old_cluster();
        let outcome = client.connect_timeout(Duration::from_secs(20)).connect().await;
        match outcome {
            Ok(_) => assert!(fine, "{versions:?} are accepted"),
            Err(error) => {
                assert!(!fine, "{versions:?}: {error}");
                assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
            }
        }
    }
}
