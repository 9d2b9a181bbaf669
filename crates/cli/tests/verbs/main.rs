//! The commands of `etcdkit` at work, on each version of etcd and on `serve`: what they print, what they change, and how they
//! end.
//!
//! [`target`] is what they run on, [`tool`] runs them. `parity` compares words with the official tools; here it counts that
//! they do on every server what they say.
#![cfg(unix)]
#![allow(clippy::print_stdout, reason = "a skipped test says so")]

mod cluster;
mod keys;
mod streams;
mod target;
mod tool;
mod users;

use etcdkit_testkit::etcd::Version;

use target::Kind;

async fn all(kind: Kind) {
    if let Kind::Etcd(version) = kind
        && !Version::available().contains(&version)
    {
        println!("skipped: no etcd {version}");
        return;
    }
    let target = kind.start().await;
    keys::are_written_read_and_deleted(&target).await;
    keys::change_in_transactions(&target).await;
    keys::are_compacted(&target).await;
    streams::a_watch_prints_events_and_runs_commands(&target).await;
    streams::an_interactive_watch_takes_lines(&target).await;
    streams::a_lease_is_kept_alive(&target).await;
    streams::a_lock_is_held_until_an_interrupt(&target).await;
    streams::a_leader_is_elected_and_observed(&target).await;
    streams::a_mirror_copies_and_follows(&target, &kind.start().await).await;
    streams::a_benchmark_that_is_interrupted_reports_and_leaves_nothing(&target).await;
    cluster::members_and_endpoints_are_told(&target).await;
    cluster::a_learner_comes_and_goes(&target).await;
    cluster::an_alarm_is_listed_and_disarmed(&target).await;
    cluster::a_snapshot_is_saved_and_restored(&target).await;
    users::have_passwords_roles_and_permissions(&target).await;
}

#[tokio::test]
async fn on_etcd_3_4() {
    all(Kind::Etcd(Version::V3_4)).await;
}

#[tokio::test]
async fn on_etcd_3_5() {
    all(Kind::Etcd(Version::V3_5)).await;
}

#[tokio::test]
async fn on_etcd_3_6() {
    all(Kind::Etcd(Version::V3_6)).await;
}

#[tokio::test]
async fn on_etcd_3_7() {
    all(Kind::Etcd(Version::V3_7)).await;
}

#[tokio::test]
async fn on_serve() {
    all(Kind::Serve).await;
}
