//! A backend that is full, and how it comes back.

use etcdkit::maintenance::{AlarmKind, RaisedAlarm};
use etcdkit::{Compact, ErrorKind, ServerError};

use crate::kv::members::*;

const QUOTA: u64 = 1 << 20;

#[tokio::test]
async fn alarm() {
    let limited = |etcd: etcdkit_testkit::etcd::Builder<_>| etcd.quota_backend_bytes(QUOTA);
    on_own_member_with(limited, async |client, etcd| {
        assert!(client.alarm_list().await.unwrap().alarms().is_empty());
        assert!(client.alarm_disarm_all().await.unwrap().is_empty());
        let value = vec![b'a'; 100 << 10];
        let full = in_time("a full backend", async {
            loop {
                if let Err(error) = client.put("fill", value.clone()).await {
                    break error;
                }
            }
        })
        .await;
        assert_eq!(full.kind(), ErrorKind::ResourceExhausted, "{full}");
        assert_eq!(full.server_error(), Some(ServerError::NoSpace));

        let own = client.status().await.unwrap();
        let raised = RaisedAlarm::new(own.member(), AlarmKind::NoSpace);
        assert_eq!(client.alarm_list().await.unwrap().alarms(), [raised]);
        assert!(own.errors().iter().any(|error| error.contains("NOSPACE")), "{own:?}");
        // TestAlarmlistOnMemberRestart.
        etcd.restart().await;
        assert_eq!(client.alarm_list().await.unwrap().alarms(), [raised]);

        let now = client.get("fill").await.unwrap().revision();
        client.call(Compact::new(now).physical()).await.unwrap();
        client.defragment().await.unwrap();
        assert_eq!(client.alarm_disarm_all().await.unwrap(), [raised]);
        assert!(client.alarm_list().await.unwrap().alarms().is_empty());
        client.put("fill", "a little").await.unwrap();
        // One that is not raised.
        assert!(client.alarm_disarm(raised).await.unwrap().alarms().is_empty());
        // By hand.
        client.call(etcdkit::maintenance::Alarm::activate(raised)).await.unwrap();
        refused(client.put("fill", "").await, ServerError::NoSpace);
        assert_eq!(client.alarm_disarm(raised).await.unwrap().alarms(), [raised]);
        client.put("fill", "").await.unwrap();
    })
    .await;
}
