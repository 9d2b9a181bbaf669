//! `member`, `endpoint`, `alarm`, `defrag`, `snapshot`.

use etcdkit::Client;
use etcdkit::proto::etcdserverpb::alarm_request::AlarmAction;
use etcdkit::proto::etcdserverpb::{AlarmRequest, AlarmType};
use etcdkit::proto::method;
use etcdkit_testkit::etcd::Version;
use serde_json::json;

use super::target::{Kind, Target};

pub(crate) async fn members_and_endpoints_are_told(target: &Target) {
    let tool = &target.tool;
    let listed = tool.says(&["member", "list"]).await;
    let cells: Vec<&str> = listed.trim_end().split(", ").collect();
    let [id, "started", _, peer, client, "false"] = cells[..] else { panic!("{listed}") };
    assert!(peer.starts_with("http://") && client.ends_with(&tool.endpoint), "{listed}");
    let listed = tool.json(&["member", "list"]).await;
    let number = u64::from_str_radix(id, 16).expect("hexadecimal");
    assert_eq!(listed["members"][0]["ID"], json!(number));

    let healthy = tool.says(&["endpoint", "health"]).await;
    let expected =
        format!("{} is healthy: successfully committed proposal: took = ", tool.endpoint);
    assert!(healthy.starts_with(&expected), "{healthy}");
    let healthy = tool.json(&["endpoint", "health", "--cluster"]).await;
    assert_eq!(healthy[0]["health"], json!(true), "{healthy}");

    let status = tool.json(&["endpoint", "status"]).await;
    let status = &status[0]["Status"];
    assert_eq!(
        (&status["leader"], &status["header"]["member_id"]),
        (&json!(number), &json!(number))
    );
    if let Kind::Etcd(version) = target.kind {
        assert_eq!(status["version"], json!(version.number()));
    }
    assert!(status["dbSize"].as_i64() > Some(0), "{status}");
    let row = tool.says(&["endpoint", "status"]).await;
    let expected =
        format!("{}, {id}, {}, ", tool.endpoint, status["version"].as_str().expect("text"));
    assert!(row.starts_with(&expected), "{row}");
    assert!(tool.says(&["endpoint", "status", "-w", "table"]).await.contains(id));

    let hashes = tool.json(&["endpoint", "hashkv"]).await;
    let hash = hashes[0]["HashKV"]["hash"].as_u64().expect("a number");
    let row = tool.says(&["endpoint", "hashkv"]).await;
    assert!(row.starts_with(&format!("{}, {hash}", tool.endpoint)), "{row}");

    let said = tool.says(&["defrag"]).await;
    let expected = format!("Finished defragmenting etcd member[{}]. took ", tool.endpoint);
    assert!(said.starts_with(&expected), "{said}");
    let refused = tool.fails(1, &["move-leader", "1"]).await;
    assert!(refused.starts_with("Error: "), "{refused}");
    if target.kind.at_least(3, 6) {
        let refused = tool.fails(1, &["downgrade", "validate", "3.1"]).await;
        assert!(refused.contains("invalid downgrade target version"), "{refused}");
    }
}

pub(crate) async fn a_learner_comes_and_goes(target: &Target) {
    let tool = &target.tool;
    let urls = "--peer-urls=http://127.0.0.1:1";
    let added = tool.says(&["member", "add", "new", urls, "--learner"]).await;
    let id = added.split_whitespace().nth(1).expect("it is named").to_owned();
    assert!(added.starts_with(&format!("Member {id:>16} added as learner to cluster ")), "{added}");
    assert!(added.contains("ETCD_INITIAL_CLUSTER_STATE=\"existing\"\n"), "{added}");
    let listed = tool.says(&["member", "list"]).await;
    assert!(
        listed.contains(&format!("{id}, unstarted, , http://127.0.0.1:1, , true\n")),
        "{listed}"
    );
    let moved = tool.says(&["member", "update", &id, "--peer-urls=http://127.0.0.1:2"]).await;
    assert!(moved.starts_with(&format!("Member {id:>16} updated in cluster ")), "{moved}");
    let refused = tool.fails(1, &["member", "promote", &id]).await;
    assert!(refused.contains("in sync with leader"), "{refused}");
    let removed = tool.says(&["member", "remove", &id]).await;
    assert!(removed.starts_with(&format!("Member {id:>16} removed from cluster ")), "{removed}");
}

pub(crate) async fn an_alarm_is_listed_and_disarmed(target: &Target) {
    let tool = &target.tool;
    assert_eq!(tool.says(&["alarm", "list"]).await, "");
    let listed = tool.json(&["member", "list"]).await;
    let id = listed["members"][0]["ID"].as_u64().expect("a number");
    let mut raise = AlarmRequest { member_id: id, ..Default::default() };
    raise.set_action(AlarmAction::Activate);
    raise.set_alarm(AlarmType::NoSpace);
    let client = Client::connect([tool.endpoint.as_str()]).await.expect("it serves");
    client.raw(method::maintenance::ALARM, &raise).await.expect("it is raised");

    let row = format!("memberID:{id} alarm:NOSPACE \n");
    assert_eq!(tool.says(&["alarm", "list"]).await, row);
    assert_eq!(tool.json(&["alarm", "list"]).await["alarms"][0]["alarm"], json!(1));
    let refused = tool.fails(1, &["put", "full", "v"]).await;
    assert_eq!(refused, "Error: etcdserver: mvcc: database space exceeded\n");
    let unhealthy = tool.fails(1, &["endpoint", "health"]).await;
    assert!(unhealthy.contains("Active Alarm(s): NOSPACE"), "{unhealthy}");
    assert_eq!(tool.says(&["alarm", "disarm"]).await, row);
    assert_eq!(tool.says(&["alarm", "list"]).await, "");
    assert_eq!(tool.says(&["put", "full", "v"]).await, "OK\n");
}

pub(crate) async fn a_snapshot_is_saved_and_restored(target: &Target) {
    let tool = &target.tool;
    tool.says(&["put", "saved", "in time"]).await;
    let said = tool.says(&["snapshot", "save", "backup.db"]).await;
    let mut expected = "Snapshot saved at backup.db\n".to_owned();
    if target.kind.at_least(3, 6) {
        let status = tool.json(&["endpoint", "status"]).await;
        let version = status[0]["Status"]["version"].as_str().expect("text").to_owned();
        let version = version.rsplit_once('.').map_or(version.as_str(), |(minor, _)| minor);
        expected.push_str(&format!("Server version {version}.0\n"));
    }
    assert_eq!(said, expected);
    tool.says(&["put", "saved", "too late"]).await;
    let status = tool.json(&["snapshot", "status", "backup.db"]).await;
    assert!(
        status["revision"].as_i64() > Some(0) && status["totalKey"].as_i64() > Some(0),
        "{status}"
    );

    // What `serve` saves is taken by any etcd; there is none on a machine without.
    let kind = match target.kind {
        Kind::Serve => Kind::Etcd(Version::newest()),
        etcd @ Kind::Etcd(_) => etcd,
    };
    let folder = tool.folder().join("restored.etcd");
    let data_dir = folder.to_str().expect("text");
    tool.says(&["snapshot", "restore", "backup.db", "--data-dir", data_dir]).await;
    let restored = kind.start_with(&[&format!("--data-dir={data_dir}")]).await;
    assert_eq!(restored.tool.says(&["get", "saved"]).await, "saved\nin time\n");

    let snapshot = tool.folder().join("backup.db");
    let served =
        Kind::Serve.start_with(&[&format!("--from-snapshot={}", snapshot.display())]).await;
    assert_eq!(served.tool.says(&["get", "saved"]).await, "saved\nin time\n");
}
