//! Going down by a minor version.

use etcdkit::maintenance::{Downgrade, Version};
use etcdkit::{ErrorKind, ServerError};
use etcdkit_testkit::etcd;

use crate::kv::members::*;

#[tokio::test]
async fn downgrade_validate_enable_cancel() {
    for version in etcd::Version::available() {
        let _named = Named::new(version);
        let etcd = etcd::Etcd::builder(version).start().await;
        let client = connect(&etcd).await;
        let below = Version::new(3, version.minor() - 1, 0);
        let validated = client.downgrade(Downgrade::validate(below)).await;
        if !version.at_least(3, 5) {
            fails(validated, ErrorKind::Unsupported);
            continue;
        }
        let cluster = validated.unwrap().version().unwrap();
        assert_eq!((cluster.major, cluster.minor), (3, version.minor()));
        for far in [Version::new(3, version.minor(), 0), Version::new(3, version.minor() - 2, 0)] {
            let outcome = client.downgrade(Downgrade::validate(far)).await;
            refused(outcome, ServerError::InvalidDowngradeTargetVersion);
        }
        // It works on 3.5 only in part, and is not offered there.
        if !version.at_least(3, 6) {
            continue;
        }
        client.downgrade(Downgrade::enable(below)).await.unwrap();
        refused(client.downgrade(Downgrade::enable(below)).await, ServerError::DowngradeInProcess);
        assert_eq!(client.status().await.unwrap().downgrade_target(), Some(below));
        client.downgrade(Downgrade::cancel()).await.unwrap();
        assert_eq!(client.status().await.unwrap().downgrade_target(), None);
        client.downgrade(Downgrade::cancel()).await.unwrap();
    }
}
