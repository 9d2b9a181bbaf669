//! The members that tests run on, and a few words that most of them need.

use std::fmt::Debug;
use std::time::Duration;

use etcdkit::config::{Liveness, Timeouts};
use etcdkit::proto::etcdserverpb::LeaseGrantRequest;
use etcdkit::proto::{Applied, method};
use etcdkit::service::Service;
use etcdkit::{
    CallOptions, Client, ClientBuilder, ErrorKind, GetResponse, LeaseId, Result, Revision,
    ServerError, Streaming,
};
use etcdkit_testkit::clock;
use etcdkit_testkit::etcd::{Builder, Etcd, Version};
use tokio::sync::OnceCell;

/// Longer than anything takes that is not stuck, on two busy cores.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// One member of each version for all tests that share. They outlive the tests and end with the process.
static SHARED: [OnceCell<Etcd>; 4] = [const { OnceCell::const_new() }; 4];

/// The shared member of a version. Tests on it use keys that begin with their own name, and neither compact nor stop it.
pub(crate) async fn shared(version: Version) -> &'static Etcd {
    SHARED[version as usize].get_or_init(|| Etcd::builder(version).start()).await
}

/// Runs `test` on the shared member of every version.
pub(crate) async fn on_every_version(test: impl AsyncFn(Client, &Etcd)) {
    for version in Version::available() {
        let _named = Named::new(version);
        let etcd = shared(version).await;
        test(connect(etcd).await, etcd).await;
    }
}

/// Runs `test` on a member of its own of every version, with etcd's defaults.
pub(crate) async fn on_own_member(test: impl AsyncFn(Client, Etcd)) {
    on_own_member_with(|etcd| etcd, test).await;
}

/// Runs `test` on a member of its own of every version.
pub(crate) async fn on_own_member_with(
    settings: impl Fn(Builder<Etcd>) -> Builder<Etcd>,
    test: impl AsyncFn(Client, Etcd),
) {
    for version in Version::available() {
        let _named = Named::new(version);
        let etcd = settings(Etcd::builder(version)).start().await;
        test(connect(&etcd).await, etcd).await;
    }
}

/// A client of one member.
pub(crate) async fn connect(etcd: &Etcd) -> Client {
    tolerant().endpoints([etcd.client_url()]).connect().await.expect("the member serves")
}

/// The default settings, but with patience for members that share two busy cores. What is about slow and frozen ones is
/// tested with the defaults, elsewhere.
pub(crate) fn tolerant() -> ClientBuilder {
    let half = DEADLINE / 2;
    Client::builder()
        .liveness(Liveness::new().probe_timeout(half))
        .timeouts(Timeouts::new().connect(half).read(half).write(half).admin(half))
}

/// Says, when a test fails, which version it failed on.
#[derive(Debug)]
pub(crate) struct Named(Version);

impl Named {
    pub(crate) fn new(version: Version) -> Self {
        Self(version)
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed on etcd {}", self.0);
            if let Some(fate) = SHARED[self.0 as usize].get().and_then(Etcd::fate) {
                eprintln!("the shared member is gone: {fate}");
            }
        }
    }
}

/// A lease of a minute.
pub(crate) async fn grant(client: &Client) -> LeaseId {
    let request = LeaseGrantRequest { ttl: 60, id: 0 };
    let lease = client.raw(method::lease::GRANT, &request).await.expect("a lease is granted");
    LeaseId::new(lease.id).expect("etcd never grants lease 0")
}

/// The call fails with this error of etcd's.
pub(crate) fn refused<T: Debug>(outcome: Result<T>, expected: ServerError) {
    match outcome {
        Err(error) => {
            assert_eq!(error.server_error(), Some(expected), "{error}");
            let unknown = expected.applied() == Applied::Unknown;
            assert_eq!(error.maybe_applied(), unknown, "{error}");
        }
        Ok(answer) => panic!("expected {expected:?}, got {answer:?}"),
    }
}

/// The call fails in this way; the text of its error.
pub(crate) fn fails<T: Debug>(outcome: Result<T>, expected: ErrorKind) -> String {
    match outcome {
        Err(error) => {
            assert_eq!(error.kind(), expected, "{error}");
            error.to_string()
        }
        Ok(answer) => panic!("expected {expected:?}, got {answer:?}"),
    }
}

/// The keys of an answer.
pub(crate) fn keys(answer: &GetResponse) -> Vec<&str> {
    answer.kvs().iter().map(|kv| kv.key_str().expect("tests use UTF-8")).collect()
}

/// The value of `key`, if there is one.
pub(crate) async fn value<S: Service>(client: &Client<S>, key: &str) -> Option<String> {
    let answer = client.get(key).await.expect("a key can be read");
    answer.first().map(|kv| kv.value_str().expect("tests use UTF-8").to_owned())
}

/// The revision of the store.
pub(crate) async fn revision(client: &Client) -> Revision {
    client.get("any").await.expect("a key can be read").revision()
}

/// All pieces of a stream as one answer, and how many there were.
pub(crate) async fn collect(mut pieces: Streaming<GetResponse>) -> Result<(GetResponse, usize)> {
    let mut all = GetResponse::default();
    let mut count = 0;
    while let Some(piece) = pieces.next().await {
        all.append(piece?);
        count += 1;
    }
    Ok((all, count))
}

/// Options with a deadline.
pub(crate) fn within(timeout: Duration) -> CallOptions {
    CallOptions::new().timeout(timeout)
}

/// The output of `future`, which must not take longer than [`DEADLINE`].
pub(crate) async fn in_time<F: Future>(what: &str, future: F) -> F::Output {
    at_most(DEADLINE, what, future).await
}

/// The same by tokio's clock, where that is paused.
pub(crate) async fn in_paused_time<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(output) => output,
        Err(_) => panic!("{what} takes longer than {DEADLINE:?}"),
    }
}

/// The output of `future`, which must not take longer than `limit` on a machine that does not stand still.
pub(crate) async fn at_most<F: Future>(limit: Duration, what: &str, future: F) -> F::Output {
    match clock::timeout(limit, future).await {
        Some(output) => output,
        None => panic!("{what} takes longer than {limit:?}"),
    }
}
