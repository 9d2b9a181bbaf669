//! Watching keys.

use std::fmt;

use etcdkit_proto::etcdserverpb::WatchCreateRequest;
use etcdkit_proto::etcdserverpb::watch_create_request::FilterType;

use super::range::{KeyRange, check_key, fmt_range, key_range_accessors, range_constructors};
use crate::error::{Error, Result};
use crate::revision::Revision;

/// Watches a key, or a range of keys: a stream of what happens to them.
///
/// Without options it begins with what happens after the call: at the revision after the one that the cluster has agreed
/// on when the call is made. [`from_revision`](Self::from_revision) begins earlier, or later.
///
/// ```
/// use etcdkit::{KeyRange, Revision, Watch};
///
/// let watch = Watch::prefix("/jobs/").from_revision(42).prev_kv();
/// assert_eq!(watch.key_range(), KeyRange::prefix("/jobs/"));
/// assert_eq!(watch.start(), Some(Revision::new(42)));
/// assert_eq!(Watch::from("/jobs/1"), Watch::new("/jobs/1"));
/// ```
#[derive(Clone, PartialEq)]
pub struct Watch {
    wire: WatchCreateRequest,
    settings: WatchSettings,
}

/// Ids from here on are of the client's own choice.
pub(crate) const FIRST_OWN_ID: i64 = 1 << 62;

/// What the client makes of a watch, and the server does not see.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct WatchSettings {
    pub(crate) created_notify: bool,
    pub(crate) require_leader: bool,
    pub(crate) end_without_leader: bool,
    /// Attempts in a row after which it gives up; 0 is never.
    pub(crate) max_attempts: u32,
    pub(crate) when_full: WhenFull,
    pub(crate) buffer_bytes: usize,
    pub(crate) buffer_responses: usize,
}

/// What becomes of a watch whose buffer is full because nobody reads it fast enough; see [`Watch::when_full`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenFull {
    /// The watch is ended on the server, and begun again where it was once half of the buffer has been read. Nothing is
    /// lost, unless a compaction overtakes it: then it ends with [`Compacted`](crate::ErrorKind::Compacted).
    #[default]
    Pause,
    /// What is buffered is still delivered, then the stream ends with [`Lagged`](crate::ErrorKind::Lagged).
    Fail,
    /// What is buffered is dropped, and the stream ends with [`Lagged`](crate::ErrorKind::Lagged) at once: for who reads
    /// the present state again anyway.
    Discard,
}

impl Watch {
    /// Watches `range`: a key, or a [`KeyRange`].
    pub fn new(range: impl Into<KeyRange>) -> Self {
        let settings = WatchSettings {
            created_notify: false,
            require_leader: true,
            end_without_leader: false,
            max_attempts: 0,
            when_full: WhenFull::Pause,
            buffer_bytes: 4 << 20,
            buffer_responses: 8192,
        };
        let wire = WatchCreateRequest { fragment: true, ..WatchCreateRequest::default() };
        Self { wire, settings }.with_key_range(range)
    }

    /// Begins with what happened at `revision`, rather than after the call.
    ///
    /// If that was compacted, the stream ends with [`Compacted`](crate::ErrorKind::Compacted). If it does not exist yet,
    /// the stream waits for it. Revisions start at 1; 0 and what is negative are refused.
    #[must_use]
    pub fn from_revision(mut self, revision: impl Into<Revision>) -> Self {
        // 0 is "from now on" on the wire, which nobody means who names a revision.
        self.wire.start_revision = match revision.into().get() {
            0 => -1,
            revision => revision,
        };
        self
    }

    /// Sends each key's value from before the event along, unless that was compacted.
    #[must_use]
    pub fn prev_kv(mut self) -> Self {
        self.wire.prev_kv = true;
        self
    }

    /// Leaves deletions out.
    #[must_use]
    pub fn only_puts(mut self) -> Self {
        self.wire.filters = vec![FilterType::NoDelete.into()];
        self
    }

    /// Leaves puts out.
    #[must_use]
    pub fn only_deletes(mut self) -> Self {
        self.wire.filters = vec![FilterType::NoPut.into()];
        self
    }

    /// Delivers a [progress notification](crate::WatchResponse::is_progress) when nothing has happened for a while: by
    /// default about every ten minutes (etcd's `--watch-progress-notify-interval`).
    #[must_use]
    pub fn progress_notify(mut self) -> Self {
        self.wire.progress_notify = true;
        self
    }

    /// Delivers a first response without events when the server has [created](crate::WatchResponse::is_created) the
    /// watch. It comes once, however often the connection changes.
    #[must_use]
    pub fn created_notify(mut self) -> Self {
        self.settings.created_notify = true;
        self
    }

    /// Lets the server cut responses that are larger than its request limit into pieces. Default: it may; the pieces of
    /// one revision are put together before they are delivered.
    ///
    /// Without, such a response comes in one, and one that exceeds the client's receive limit ends the stream.
    #[must_use]
    pub fn fragment(mut self, allowed: bool) -> Self {
        self.wire.fragment = allowed;
        self
    }

    /// Has the watch go by `id` at the server, and in [`WatchResponse::watch_id`](crate::WatchResponse::watch_id).
    /// Default: an id of the client's choice.
    ///
    /// Ids are positive and below 2⁶², and no two watches of a client that share a stream may have the same.
    #[must_use]
    pub fn watch_id(mut self, id: i64) -> Self {
        self.wire.watch_id = id;
        self
    }

    /// Whether a member that lost its leader may go on serving the watch. Default: it may not; then the watch moves to
    /// another member.
    ///
    /// A member without a leader is cut off from the others, and what happens there does not reach it.
    #[must_use]
    pub fn require_leader(mut self, required: bool) -> Self {
        self.settings.require_leader = required;
        self
    }

    /// Ends the stream with [`NoLeader`](crate::ErrorKind::NoLeader) when its member loses the leader, rather than moving
    /// to another one.
    #[must_use]
    pub fn end_without_leader(mut self) -> Self {
        self.settings.end_without_leader = true;
        self
    }

    /// Ends the stream after `attempts` failed attempts in a row to get the watch going. Default: never; it is tried for
    /// as long as somebody reads the stream.
    #[must_use]
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.settings.max_attempts = attempts;
        self
    }

    /// What becomes of the watch when its buffer is full. Default: [`WhenFull::Pause`].
    #[must_use]
    pub fn when_full(mut self, policy: WhenFull) -> Self {
        self.settings.when_full = policy;
        self
    }

    /// How much is held for a reader that is slow: so many bytes, or so many responses, whichever comes first. The
    /// response that fills the buffer is still taken. Default: 4 MiB, 8192 responses; 0 counts as 1.
    #[must_use]
    pub fn buffer(mut self, bytes: usize, responses: usize) -> Self {
        self.settings.buffer_bytes = bytes.max(1);
        self.settings.buffer_responses = responses.max(1);
        self
    }

    /// The revision it begins with; `None` for what happens after the call.
    #[must_use]
    pub fn start(&self) -> Option<Revision> {
        (self.wire.start_revision != 0).then(|| Revision::new(self.wire.start_revision))
    }

    /// The same without filters.
    pub(crate) fn every_kind(mut self) -> Self {
        self.wire.filters.clear();
        self
    }

    pub(crate) fn settings(&self) -> WatchSettings {
        self.settings
    }

    pub(crate) fn into_wire(self) -> WatchCreateRequest {
        self.wire
    }

    /// Refuses what makes no sense before it costs a round trip.
    pub(crate) fn check(&self) -> Result<()> {
        let wire = &self.wire;
        check_key(&wire.key)?;
        let ends = !wire.range_end.is_empty() && *wire.range_end != [0];
        if ends && wire.range_end <= wire.key {
            return Err(Error::invalid(
                "the end of the range does not come after its start: no key could be watched",
            ));
        }
        if wire.start_revision < 0 {
            return Err(Error::invalid(
                "revisions start at 1: leave `from_revision` out to watch from now on",
            ));
        }
        if !(0..FIRST_OWN_ID).contains(&wire.watch_id) {
            return Err(Error::invalid("a watch id is positive and below 2⁶²"));
        }
        Ok(())
    }
}

range_constructors!(Watch, "Watches");
key_range_accessors!(Watch, wire);

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wire = &self.wire;
        f.write_str("Watch(")?;
        fmt_range(&wire.key, &wire.range_end, f)?;
        if wire.start_revision != 0 {
            write!(f, ", from revision {}", wire.start_revision)?;
        }
        if wire.watch_id != 0 {
            write!(f, ", id {}", wire.watch_id)?;
        }
        let settings = &self.settings;
        let flags = [
            ("prev kv", wire.prev_kv),
            ("only puts", wire.filters == [i32::from(FilterType::NoDelete)]),
            ("only deletes", wire.filters == [i32::from(FilterType::NoPut)]),
            ("progress notify", wire.progress_notify),
            ("created notify", settings.created_notify),
            ("unfragmented", !wire.fragment),
            ("without leader too", !settings.require_leader),
            ("ends without leader", settings.end_without_leader),
        ];
        for (name, set) in flags {
            if set {
                write!(f, ", {name}")?;
            }
        }
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn base() -> WatchCreateRequest {
        WatchCreateRequest { key: "a".into(), fragment: true, ..WatchCreateRequest::default() }
    }

    #[test]
    fn wire_form_of_each_option() {
        let watch = || Watch::new("a");
        let table = [
            (watch(), base()),
            (watch().from_revision(9), WatchCreateRequest { start_revision: 9, ..base() }),
            (watch().prev_kv(), WatchCreateRequest { prev_kv: true, ..base() }),
            (watch().only_puts(), WatchCreateRequest { filters: vec![1], ..base() }),
            (watch().only_deletes(), WatchCreateRequest { filters: vec![0], ..base() }),
            (watch().progress_notify(), WatchCreateRequest { progress_notify: true, ..base() }),
            (watch().fragment(false), WatchCreateRequest { fragment: false, ..base() }),
            (watch().watch_id(7), WatchCreateRequest { watch_id: 7, ..base() }),
            (watch().created_notify().end_without_leader(), base()),
            (Watch::prefix("a"), WatchCreateRequest { range_end: "b".into(), ..base() }),
            (Watch::from_key("a"), WatchCreateRequest { range_end: "\0".into(), ..base() }),
            (Watch::range("a", "x"), WatchCreateRequest { range_end: "x".into(), ..base() }),
        ];
        for (watch, wire) in table {
            watch.check().unwrap();
            assert_eq!(watch.into_wire(), wire);
        }
    }

    #[test]
    fn nonsense_is_refused() {
        let table = [
            Watch::new(""),
            Watch::range("b", "a"),
            Watch::range("b", "b"),
            Watch::new("a").from_revision(0),
            Watch::new("a").from_revision(-3),
            Watch::new("a").watch_id(-1),
            Watch::new("a").watch_id(FIRST_OWN_ID),
        ];
        for watch in table {
            let error = watch.check().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{watch:?}");
        }
        Watch::all().check().unwrap();
    }

    #[test]
    fn shown_in_short() {
        let watch = Watch::prefix("a").from_revision(3).prev_kv().only_puts();
        assert_eq!(
            format!("{watch:?}"),
            r#"Watch(b"a"..b"b", from revision 3, prev kv, only puts)"#
        );
    }
}
