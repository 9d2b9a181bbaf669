//! Real etcd processes: that members start, fail and come back as tests ask, for each version that is in the cache.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use etcdkit_testkit::certs::TestCa;
use etcdkit_testkit::cluster::Cluster;
use etcdkit_testkit::etcd::{Etcd, Tls, Version};
use etcdkit_testkit::wait::eventually;
use tokio::fs;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::{TcpStream, UnixStream};
use tokio::process::Command;
use tokio::time::timeout;

async fn value(etcd: &Etcd, key: &str) -> String {
    etcd.etcdctl(["get", key, "--print-value-only"]).await
}

#[tokio::test]
async fn every_version_serves_and_keeps_its_data_when_it_is_killed_or_stopped() {
    for version in Version::available() {
        let etcd = Etcd::builder(version).start().await;
        let expected = format!("etcdctl version: {version}");
        assert_eq!(etcd.etcdctl(["version"]).await.lines().next(), Some(expected.as_str()));
        let url = etcd.client_url();
        etcd.etcdctl(["put", "a", "1"]).await;

        etcd.kill().await;
        assert!(!etcd.is_running());
        assert!(TcpStream::connect(etcd.client_addr()).await.is_err(), "{version}: nobody listens");
        etcd.start().await;
        assert_eq!(etcd.client_url(), url);
        assert_eq!(value(&etcd, "a").await, "1\n", "{version}: after a kill");

        etcd.restart().await;
        assert_eq!(value(&etcd, "a").await, "1\n", "{version}: after a restart");
    }
}

#[tokio::test]
async fn a_paused_member_answers_when_it_is_resumed() {
    let etcd = Etcd::start_newest().await;
    etcd.pause();
    assert!(etcd.is_running());
    assert!(!etcd.is_responsive());
    // The kernel still accepts connections for it; an answer never comes.
    TcpStream::connect(etcd.client_addr()).await.unwrap();
    assert!(etcd.metrics().await.is_err());
    let mut put = Box::pin(etcd.etcdctl(["put", "a", "1"]));
    assert!(
        timeout(Duration::from_millis(300), &mut put).await.is_err(),
        "answered while it was paused"
    );
    etcd.resume();
    assert_eq!(put.await, "OK\n");
    assert_eq!(etcd.metric("etcd_server_has_leader").await, Some(1.0));
}

#[tokio::test]
async fn a_paused_member_can_be_stopped_and_killed() {
    let etcd = Etcd::start_newest().await;
    etcd.pause();
    etcd.stop().await;
    etcd.start().await;
    etcd.pause();
    etcd.kill().await;
    assert!(!etcd.is_running());
}

#[tokio::test]
async fn a_dropped_member_leaves_neither_process_nor_data() {
    let etcd = Etcd::start_newest().await;
    let (address, data) = (etcd.client_addr(), etcd.data_dir());
    assert!(data.is_dir());
    drop(etcd);
    assert!(TcpStream::connect(address).await.is_err());
    assert!(!data.exists());
}

#[tokio::test]
async fn a_member_dies_with_the_process_that_started_it() {
    let program = env!("CARGO_BIN_EXE_run-etcd");
    let mut child = Command::new(program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = lines.next_line().await.unwrap().unwrap();
    let (address, data) = line.split_once(' ').unwrap();
    let address: SocketAddr = address.parse().unwrap();
    TcpStream::connect(address).await.unwrap();
    child.kill().await.unwrap();
    eventually("etcd's end", Duration::from_secs(30), async || {
        TcpStream::connect(address).await.is_err().then_some(())
    })
    .await;
    // What a killed process leaves behind is swept by the next one; here there is one already.
    fs::remove_dir_all(data.strip_suffix("/data").unwrap()).await.unwrap();
}

#[tokio::test]
async fn settings_reach_etcd() {
    for version in Version::available() {
        let etcd = Etcd::builder(version)
            .heartbeat(Duration::from_millis(50))
            .election_timeout(Duration::from_millis(500))
            .quota_backend_bytes(16 << 20)
            .max_request_bytes(1 << 16)
            .max_txn_ops(1)
            .grpc_keepalive_min_time(Duration::from_millis(1500))
            .snapshot_count(100)
            .initial_cluster_token("a-token")
            .auth_token("simple")
            .auth_token_ttl(Duration::from_secs(2))
            .argument("--max-snapshots=3")
            .ipv6()
            .unix_socket()
            .start()
            .await;
        assert!(etcd.client_addr().is_ipv6());
        UnixStream::connect(etcd.unix_socket().unwrap()).await.unwrap();
        let large = "x".repeat(100_000);
        let refused = etcd.try_etcdctl(["put", "a", &large]).await;
        let error = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(error.contains("etcdserver: request is too large"), "{version}: {error}");
        let quota = etcd.metric("etcd_server_quota_backend_bytes").await;
        assert_eq!(quota, Some(f64::from(16 << 20)), "{version}");
    }
}

#[tokio::test]
async fn clients_use_tls_and_show_certificates() {
    let ca = TestCa::new();
    let (server, client) = (ca.server("127.0.0.1"), ca.client("root"));
    let tls = Tls::new(server.cert_path(), server.key_path(), ca.cert_path());
    let mutual = tls.clone().client_certificate(client.cert_path(), client.key_path());
    for version in Version::available() {
        let etcd = Etcd::builder(version).tls(tls.clone()).start().await;
        assert!(etcd.client_url().starts_with("https://127.0.0.1:"));
        assert_eq!(etcd.etcdctl(["put", "a", "1"]).await, "OK\n", "{version}");
        assert_eq!(etcd.metric("etcd_server_has_leader").await, Some(1.0), "{version}");

        let cluster = Cluster::builder(version).members(2).tls(mutual.clone()).start().await;
        assert_eq!(cluster.etcdctl(["put", "a", "1"]).await, "OK\n", "{version}");
    }
}

#[tokio::test]
async fn versions_before_3_6_serve_v2() {
    for version in Version::available().into_iter().filter(|version| !version.at_least(3, 6)) {
        let etcd = Etcd::builder(version).enable_v2().start().await;
        assert!(etcd.is_running());
    }
}

#[tokio::test]
async fn a_cluster_elects_another_leader_when_the_first_is_killed_or_frozen() {
    for version in Version::available() {
        let cluster = Cluster::builder(version).members(3).start().await;
        assert_eq!(cluster.endpoints().len(), 3);
        let first = cluster.wait_leader().await;
        let followers = cluster.followers().await;
        assert_eq!(followers.len(), 2);
        assert!(!followers.contains(&first));
        cluster.etcdctl(["put", "a", "1"]).await;

        cluster[first].pause();
        let second = cluster.wait_leader().await;
        assert_ne!(second, first, "{version}: a frozen member leads");
        cluster[first].resume();

        cluster[second].kill().await;
        let third = cluster.wait_leader().await;
        assert_ne!(third, second, "{version}: a dead member leads");
        cluster.start_all().await;
        assert_eq!(value(&cluster[second], "a").await, "1\n");
    }
}

#[tokio::test]
async fn a_cluster_comes_back_when_all_of_it_was_killed() {
    let cluster = Cluster::builder(Version::newest()).start().await;
    cluster.etcdctl(["put", "a", "1"]).await;
    for member in cluster.members() {
        member.kill().await;
    }
    assert_eq!(cluster.leader().await, None);
    cluster.start_all().await;
    assert_eq!(cluster.etcdctl(["get", "a", "--print-value-only"]).await, "1\n");
}

#[tokio::test]
async fn a_learner_joins_and_is_promoted() {
    for version in Version::available() {
        let mut cluster = Cluster::builder(version).members(1).start().await;
        cluster.etcdctl(["put", "a", "1"]).await;
        let learner = cluster.add_learner().await;
        assert_eq!(cluster[learner].metric("etcd_server_is_learner").await, Some(1.0), "{version}");
        cluster.promote(learner).await;
        assert_eq!(value(&cluster[learner], "a").await, "1\n", "{version}");
    }
}

#[tokio::test]
async fn an_isolated_member_is_out_of_the_quorum_until_it_is_reunited() {
    let cluster = Cluster::builder(Version::newest()).gates().start().await;
    let old = cluster.wait_leader().await;
    cluster.isolate(old).await;
    // The others elect one of their own, and the old leader finds that it has none.
    eventually("a new leader", Duration::from_secs(30), async || {
        for (index, member) in cluster.members().iter().enumerate() {
            let leads = member.metric("etcd_server_is_leader").await? == 1.0;
            if leads && index != old {
                return Some(());
            }
        }
        None
    })
    .await;
    eventually("the old leader to step down", Duration::from_secs(30), async || {
        (cluster[old].metric("etcd_server_has_leader").await? == 0.0).then_some(())
    })
    .await;
    cluster.reunite();
    assert_ne!(cluster.wait_leader().await, old);
}
