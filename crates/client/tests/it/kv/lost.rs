//! Calls to a member that is down, goes, or comes back.

use std::time::Duration;

use etcdkit::config::Reconnect;
use etcdkit::{Client, ErrorKind, Get};
use etcdkit_testkit::etcd::{Etcd, Version};
use etcdkit_testkit::proxy::Proxy;
use etcdkit_testkit::wait::eventually;
use tokio::task::JoinSet;

use super::members::*;

/// Waits until the client knows that its member is gone.
pub(super) async fn noticed(client: &Client) {
    let mut states = client.watch_endpoint_states();
    in_time("the loss to be noticed", async {
        while let Some(now) = states.next().await {
            if now.iter().all(|state| !state.is_ready()) {
                return;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn kv_get_retry() {
    on_own_member(async |client, etcd| {
        client.put("foo", "bar").await.unwrap();
        etcd.kill().await;
        noticed(&client).await;
        let patient = client.with_options(within(DEADLINE));
        let (answer, ()) = tokio::join!(patient.get("foo"), etcd.start());
        assert_eq!(answer.unwrap().first().unwrap().value(), b"bar");
    })
    .await;
}

#[tokio::test]
async fn kv_put_fail_get_retry() {
    on_own_member(async |client, etcd| {
        etcd.kill().await;
        noticed(&client).await;
        let hurried = client.with_options(within(Duration::from_millis(300)));
        let error = hurried.put("foo", "bar").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(!error.maybe_applied(), "it was never sent: {error}");
        assert!(error.to_string().contains(&etcd.client_url()), "{error}");
        let patient = client.with_options(within(DEADLINE));
        let (answer, ()) = tokio::join!(patient.get("foo"), etcd.start());
        assert!(answer.unwrap().is_empty(), "the put that failed left something");
    })
    .await;
}

#[tokio::test]
async fn kv_get_stopped_server_and_close() {
    stopped_server_and_close(async |client: &Client| client.get("abc").await.map(drop)).await;
}

#[tokio::test]
async fn kv_put_stopped_server_and_close() {
    stopped_server_and_close(async |client: &Client| client.put("abc", "1").await.map(drop)).await;
}

async fn stopped_server_and_close(call: impl AsyncFn(&Client) -> etcdkit::Result<()>) {
    on_own_member(async |client, etcd: Etcd| {
        etcd.stop().await;
        let hurried = client.with_options(within(Duration::from_millis(300)));
        for _ in 0..2 {
            let error = call(&hurried).await.unwrap_err();
            let expected = [ErrorKind::Unavailable, ErrorKind::Timeout];
            assert!(expected.contains(&error.kind()), "{error}");
        }
        at_most(Duration::from_secs(5), "closing", client.close()).await;
    })
    .await;
}

/// A client through `proxy` that reconnects as fast as it can.
pub(crate) async fn eager(proxy: &Proxy) -> Client {
    let pause = Duration::from_millis(1);
    tolerant()
        .endpoints([proxy.addr().to_string()])
        .reconnect(Reconnect::new().first(pause).max(4 * pause))
        .connect()
        .await
        .expect("the member serves")
}

/// Resets all connections, again and again.
async fn keep_resetting(proxy: &Proxy) -> ! {
    let mut tick = tokio::time::interval(Duration::from_millis(5));
    loop {
        tick.tick().await;
        proxy.reset();
    }
}

#[tokio::test]
async fn kv_put_at_most_once() {
    on_every_version(async |direct, etcd| {
        let key = "kv_put_at_most_once";
        let proxy = Proxy::start(etcd.client_addr()).await;
        let client = eager(&proxy).await;
        let (mut answered, mut maybe) = (0, 0);
        let puts = async {
            for _ in 0..50 {
                match client.put(key, "bar").await {
                    Ok(_) => answered += 1,
                    Err(error) if error.maybe_applied() => maybe += 1,
                    Err(_) => {}
                }
            }
        };
        tokio::select! {
            () = in_time("50 puts", puts) => {}
            never = keep_resetting(&proxy) => never,
        }
        let version = direct.get(key).await.unwrap().first().map_or(0, |kv| kv.version());
        assert!(
            (answered..=answered + maybe).contains(&version),
            "{version} puts were applied: {answered} were answered, and {maybe} may have been"
        );
    })
    .await;
}

/// The same with many callers on one connection, and reads in between.
#[tokio::test]
async fn reads_go_on_and_no_put_happens_twice() {
    let version = Version::newest();
    let _named = Named::new(version);
    let etcd = shared(version).await;
    let prefix = "reads_go_on/";
    let proxy = Proxy::start(etcd.client_addr()).await;
    let client = eager(&proxy).await;
    let mut callers = JoinSet::new();
    for caller in 0..8 {
        let client = client.clone();
        callers.spawn(async move {
            let key = format!("{prefix}{caller}");
            let (mut answered, mut maybe) = (0, 0);
            for _ in 0..20 {
                match client.put(key.clone(), "x").await {
                    Ok(_) => answered += 1,
                    Err(error) if error.maybe_applied() => maybe += 1,
                    Err(error) => panic!("a put that was not sent is sent again: {error}"),
                }
                client.with_options(within(DEADLINE)).get(key.clone()).await.unwrap();
            }
            (key, answered, maybe)
        });
    }
    let mut outcomes = Vec::new();
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    let run = async {
        loop {
            tokio::select! {
                _ = tick.tick() => proxy.reset(),
                outcome = callers.join_next() => match outcome {
                    Some(outcome) => outcomes.push(outcome.expect("no caller panics")),
                    None => return,
                },
            }
        }
    };
    in_time("all callers", run).await;
    let direct = connect(etcd).await;
    for (key, answered, maybe) in outcomes {
        let version = direct.get(key).await.unwrap().first().map_or(0, |kv| kv.version());
        assert!((answered..=answered + maybe).contains(&version));
    }
}

/// The states of endpoints are told as a member is killed and comes back.
#[tokio::test]
async fn endpoint_states_follow_a_member() {
    on_own_member(async |client, etcd| {
        assert!(client.endpoint_states()[0].is_ready());
        etcd.kill().await;
        noticed(&client).await;
        etcd.start().await;
        in_time("the member to be ready again", client.wait_ready()).await.unwrap();
        let state = eventually("the version to be known", DEADLINE, async || {
            let state = client.endpoint_states().pop()?;
            state.version().is_some().then_some(state)
        })
        .await;
        assert_eq!(state.version(), Some(etcd.version().number()));
        assert!(state.is_ready() && !state.is_learner());
        let header = client.get(Get::new("foo")).await.unwrap().header();
        assert_eq!(state.member_id(), Some(header.member_id));
    })
    .await;
}
