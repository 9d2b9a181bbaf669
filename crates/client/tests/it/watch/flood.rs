//! A server from which the next message is there before the last one was taken in, without an end.

use bytes::Bytes;
use etcdkit::config::Liveness;
use etcdkit::proto::etcdserverpb::{
    WatchRequest, WatchResponse as Wire, watch_request::RequestUnion,
};
use etcdkit::proto::mvccpb;
use etcdkit::transport::{Failure, Source};
use etcdkit::{Client, Watch};
use prost::Message;
use tokio::sync::mpsc;

use super::*;
use crate::stub::{Member, Requests, header};

/// Answers creations, and has an event of the first watch whenever it is asked for more.
struct Flood {
    requests: Requests,
    first: Option<i64>,
    revision: i64,
    /// Told of each request, unless nobody listened for long.
    told: mpsc::Sender<RequestUnion>,
}

impl Source for Flood {
    async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        let request: Option<WatchRequest> = match self.first {
            Some(_) => self.requests.next_now(),
            None => Some(self.requests.next().await),
        };
        let request = request.and_then(|request| request.request_union);
        if let Some(request) = &request {
            let _ = self.told.try_send(request.clone());
        }
        let mut answer = Wire { header: header(), ..Wire::default() };
        if let Some(RequestUnion::Create(create)) = request {
            answer.watch_id = create.watch_id;
            answer.created = true;
            self.first.get_or_insert(create.watch_id);
        } else {
            self.revision += 1;
            let (key, mod_revision) = ("a".into(), self.revision);
            let kv = mvccpb::KeyValue { key, mod_revision, ..mvccpb::KeyValue::default() };
            answer.watch_id = self.first.unwrap_or_default();
            answer.events.push(mvccpb::Event { kv: Some(kv), ..mvccpb::Event::default() });
        }
        Ok(Some(answer.encode_to_vec().into()))
    }
}

/// The watches of the others, the end of one that is paused, the read of what now is, the look after the member.
#[tokio::test]
async fn a_flood_of_events_holds_up_nothing_else() {
    let (told, mut hears) = mpsc::channel(64);
    let member = Member::new(move |requests| {
        let told = told.clone();
        Flood { requests, first: None, revision: 0, told }
    });
    let liveness = Liveness::new().watch_probe_interval(Duration::from_millis(20));
    let builder = Client::builder().endpoints(["http://stub:1"]).liveness(liveness);
    let client = builder.build_on(member).unwrap();
    let mut told = async |what| in_time(what, hears.recv()).await.unwrap();

    let paused = watch(&client, Watch::new("a").from_revision(1).buffer(1 << 20, 8)).await;
    let RequestUnion::Create(first) = told("a creation").await else { panic!("no creation") };
    let RequestUnion::Cancel(cancel) = told("a pause").await else { panic!("no pause") };
    assert_eq!(cancel.watch_id, first.watch_id);
    let new = watch(&client, "b").await;
    let RequestUnion::Create(second) = told("a creation").await else { panic!("no creation") };
    let RequestUnion::Progress(_) = told("a look").await else { panic!("no look") };
    drop(new);
    loop {
        match told("an end").await {
            RequestUnion::Cancel(cancel) => break assert_eq!(cancel.watch_id, second.watch_id),
            RequestUnion::Progress(_) => {}
            RequestUnion::Create(create) => panic!("{create:?}"),
        }
    }
    drop(paused);
}
