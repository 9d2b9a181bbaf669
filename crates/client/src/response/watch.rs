//! What a watch yields.

use etcdkit_proto::mvccpb;
use etcdkit_proto::mvccpb::event;

use super::header::ResponseHeader;
use super::key_value::KeyValue;
use crate::revision::Revision;

/// One item of a watch: the events of one or more revisions, complete and in order; or a notification without any.
///
/// ```
/// use etcdkit::{Event, KeyValue, ResponseHeader, Revision, WatchResponse};
///
/// let put = Event::put(KeyValue::new("/a", "1").with_revisions(7, 7));
/// let response = WatchResponse::new(ResponseHeader::at(7), [put]);
/// assert_eq!(response.events()[0].revision(), Revision::new(7));
/// assert!(!response.is_progress());
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WatchResponse {
    header: ResponseHeader,
    watch_id: i64,
    created: bool,
    events: Vec<Event>,
}

impl WatchResponse {
    /// A response with these events: what a mock or a layer makes.
    pub fn new(header: ResponseHeader, events: impl IntoIterator<Item = Event>) -> Self {
        let events = events.into_iter().collect();
        Self { header, events, ..Self::default() }
    }

    /// A response that says that the watch was created.
    #[must_use]
    pub fn created(header: ResponseHeader) -> Self {
        Self { header, created: true, ..Self::default() }
    }

    /// The same, of the watch `id`.
    #[must_use]
    pub fn with_watch_id(mut self, id: i64) -> Self {
        self.watch_id = id;
        self
    }

    /// Which member sent it, and the member's revision then: not that of the events.
    #[must_use]
    pub fn header(&self) -> &ResponseHeader {
        &self.header
    }

    /// The id that the caller chose for the watch, else the one that the client chose, which changes with the connection.
    #[must_use]
    pub fn watch_id(&self) -> i64 {
        self.watch_id
    }

    /// What happened, in the order of revisions. All events of a revision are in one response.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// What happened.
    #[must_use]
    pub fn into_events(self) -> Vec<Event> {
        self.events
    }

    /// Whether this only says that the watch was created; see [`Watch::created_notify`](crate::Watch::created_notify).
    #[must_use]
    pub fn is_created(&self) -> bool {
        self.created
    }

    /// Whether this is a progress notification: there are no events, and none will follow of the header's revision or an
    /// earlier one.
    ///
    /// etcd before 3.4.25, and 3.5 before 3.5.8, sends some of them too early, so that this does not hold there.
    #[must_use]
    pub fn is_progress(&self) -> bool {
        self.events.is_empty() && !self.created
    }

    /// The same with other events, and nothing else changed: what a layer that moves keys does.
    #[must_use]
    pub fn with_events(mut self, events: impl IntoIterator<Item = Event>) -> Self {
        self.events = events.into_iter().collect();
        self
    }
}

/// What happened to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EventKind {
    /// It was put.
    Put,
    /// It was deleted, by a request or with its lease.
    Delete,
}

/// One change of one key.
///
/// ```
/// use etcdkit::{Event, EventKind, KeyValue};
///
/// let event = Event::put(KeyValue::new("/a", "2").with_revisions(4, 9));
/// assert_eq!(event.kind(), EventKind::Put);
/// assert!(event.is_modify() && !event.is_create());
/// assert_eq!(event.kv().value(), b"2");
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Event {
    delete: bool,
    kv: KeyValue,
    prev_kv: Option<KeyValue>,
}

impl Event {
    /// A put that left the key as `kv`.
    #[must_use]
    pub fn put(kv: KeyValue) -> Self {
        Self { delete: false, kv, prev_kv: None }
    }

    /// A deletion; of `kv` only the key and the revision of the change count.
    #[must_use]
    pub fn delete(kv: KeyValue) -> Self {
        Self { delete: true, kv, prev_kv: None }
    }

    /// The same, with the key as it was before.
    #[must_use]
    pub fn with_prev_kv(mut self, prev: KeyValue) -> Self {
        self.prev_kv = Some(prev);
        self
    }

    /// The same for another key, in `prev_kv` too: what a layer that moves keys does.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<crate::ByteString>) -> Self {
        let key = key.into().into_bytes();
        self.kv = self.kv.with_key(key.clone());
        self.prev_kv = self.prev_kv.map(|prev| prev.with_key(key));
        self
    }

    /// What happened.
    #[must_use]
    pub fn kind(&self) -> EventKind {
        if self.delete { EventKind::Delete } else { EventKind::Put }
    }

    /// Whether it was a put.
    #[must_use]
    pub fn is_put(&self) -> bool {
        !self.delete
    }

    /// Whether the key was deleted.
    #[must_use]
    pub fn is_delete(&self) -> bool {
        self.delete
    }

    /// Whether it was a put of a key that did not exist.
    #[must_use]
    pub fn is_create(&self) -> bool {
        !self.delete && self.kv.create_revision() == self.kv.mod_revision()
    }

    /// Whether it was a put of a key that existed.
    #[must_use]
    pub fn is_modify(&self) -> bool {
        !self.delete && self.kv.create_revision() != self.kv.mod_revision()
    }

    /// The key as it is now. Of a deleted one there is only the key, and the revision of its deletion.
    #[must_use]
    pub fn kv(&self) -> &KeyValue {
        &self.kv
    }

    /// The key as it is now.
    #[must_use]
    pub fn into_kv(self) -> KeyValue {
        self.kv
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        self.kv.key()
    }

    /// The key as it was before, if [`Watch::prev_kv`](crate::Watch::prev_kv) asked for it, there was one, and it was not
    /// compacted.
    #[must_use]
    pub fn previous(&self) -> Option<&KeyValue> {
        self.prev_kv.as_ref()
    }

    /// The revision at which it happened.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.kv.mod_revision()
    }
}

impl From<mvccpb::Event> for Event {
    fn from(wire: mvccpb::Event) -> Self {
        Self {
            delete: wire.r#type == i32::from(event::EventType::Delete),
            kv: wire.kv.unwrap_or_default().into(),
            prev_kv: wire.prev_kv.map(KeyValue::from),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Upstream's `TestEvent`.
    #[test]
    fn event_create_and_modify() {
        let kv = |create, modified| KeyValue::new("a", "").with_revisions(create, modified);
        let table = [
            (Event::put(kv(3, 3)), true, false),
            (Event::put(kv(3, 4)), false, true),
            (Event::delete(kv(0, 4)), false, false),
        ];
        for (event, create, modify) in table {
            assert_eq!((event.is_create(), event.is_modify()), (create, modify), "{event:?}");
        }
    }

    #[test]
    fn taken_from_the_wire() {
        let kv = mvccpb::KeyValue { key: "a".into(), mod_revision: 5, ..Default::default() };
        let wire = mvccpb::Event { r#type: 1, kv: Some(kv.clone()), prev_kv: Some(kv.clone()) };
        let event = Event::from(wire);
        assert_eq!(event, Event::delete(kv.clone().into()).with_prev_kv(kv.into()));
        assert_eq!(event.revision(), Revision::new(5));
        assert_eq!(
            event.clone().with_key("b").previous().map(KeyValue::key),
            Some(b"b".as_slice())
        );
    }
}
