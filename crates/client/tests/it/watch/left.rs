//! Members that answer, and yet are of no use to a watch.

use bytes::Bytes;
use etcdkit::transport::{Failure, Source};
use etcdkit::{Client, Watch};
use tokio::sync::mpsc;

use super::*;
use crate::kv::members::in_paused_time;
use crate::stub::{Member, Requests};

/// Takes requests, and has nothing to say.
struct Mute {
    _requests: Requests,
}

impl Source for Mute {
    async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        std::future::pending().await
    }
}

/// With the default settings a member is left after a time in which its connection has proven itself.
#[tokio::test(start_paused = true)]
async fn a_member_that_was_left_is_not_the_next_for_ever() {
    let (told, mut hears) = mpsc::channel(8);
    let member = Member::new(move |requests: Requests| {
        told.try_send(requests.endpoint.to_string()).unwrap();
        Mute { _requests: requests }
    });
    let builder = Client::builder().endpoints(["http://a:1", "http://b:1", "http://c:1"]);
    let client = builder.build_on(member).unwrap();
    let _watch = watch(&client, Watch::new("a").from_revision(1)).await;
    let mut asked = Vec::new();
    while asked.len() < 6 {
        asked.push(in_paused_time("another stream", hears.recv()).await.unwrap());
    }
    let (first, second) = asked.split_at(3);
    assert_eq!(first, second, "each in its turn");
    asked.sort_unstable();
    asked.dedup();
    assert_eq!(asked.len(), 3, "{asked:?}");
}
