//! Everything that a member knows, behind one lock.
//!
//! `apply/` changes it; see `docs/design/server.md` for how a change becomes visible.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use etcdkit_datadir::schema::{Revision, RevisionKey};
use etcdkit_proto::etcdserverpb::{Member, ResponseHeader};

use crate::auth::{Auth, Tokens};
use crate::config::Config;
use crate::identity::Identity;
use crate::lease::{Lessor, Now};
use crate::mvcc::{Compaction, HashKv, Step, Store};
use crate::snapshot::Copies;
use crate::storage::{Batch, Bucket};
use crate::watch::Hub;

/// The hashes of compactions that are remembered, as etcd does.
const HASHES: usize = 10;

/// An alarm's kind and the member that it is about.
pub(crate) type Alarm = (i32, u64);

/// The state machine.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) config: Arc<Config>,
    pub(crate) identity: Identity,
    /// Counts the starts, from 2, like the term of a member that was alone from the beginning.
    pub(crate) term: u64,
    /// Counts what was applied, as etcd's log would.
    pub(crate) index: u64,
    pub(crate) store: Store,
    pub(crate) lessor: Lessor,
    /// The last request that changed what is stored of leases, by its index.
    pub(crate) leased: u64,
    pub(crate) auth: Auth,
    pub(crate) tokens: Tokens,
    pub(crate) alarms: BTreeSet<Alarm>,
    pub(crate) member: Member,
    /// A member without a vote that was added. Nobody waits for it.
    pub(crate) learner: Option<Member>,
    /// The version that the cluster was told to go down to.
    pub(crate) downgrade: Option<String>,
    pub(crate) hub: Hub,
    pub(crate) journal: Journal,
    /// Removals of what was compacted: the first is under way.
    pub(crate) compactions: VecDeque<Compaction>,
    /// The newest last.
    pub(crate) hashes: VecDeque<HashKv>,
    /// Those who copy the state now, or read it for long.
    pub(crate) copies: Copies,
    /// The revision of the last compaction that was finished, and of the last one that began; -1 for none.
    pub(crate) removed: i64,
    pub(crate) scheduled: i64,
    /// What readers of keys see: everything up to here is durable.
    published: i64,
    pub(crate) totals: Totals,
    /// Those of the totals when the last request ended.
    pub(crate) operations: u64,
}

/// How much was done since the start.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) puts: u64,
    /// Bytes of what was put: keys and values.
    pub(crate) put_bytes: u64,
    pub(crate) deletions: u64,
    /// Ranges that were read to change something, or for the old values.
    pub(crate) ranges: u64,
    /// Comparisons of transactions that change something.
    pub(crate) compares: u64,
    /// Transactions of more than one put, deletion or range.
    pub(crate) txns: u64,
    /// Records that compactions removed.
    pub(crate) removed: u64,
    pub(crate) expired: u64,
    pub(crate) granted: u64,
    pub(crate) revoked: u64,
    pub(crate) renewed: u64,
}

impl Totals {
    const fn operations(&self) -> u64 {
        self.puts + self.deletions + self.ranges
    }
}

/// What is to be made durable, if anything is.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    batch: Option<Batch>,
    /// Keys up to this revision are in a batch already.
    taken: i64,
}

impl Journal {
    /// Sets an entry of any bucket but that of keys, which the store itself remembers.
    pub(crate) fn put(
        &mut self,
        bucket: Bucket,
        key: impl Into<Vec<u8>>,
        value: impl Into<Vec<u8>>,
    ) {
        if let Some(batch) = &mut self.batch {
            batch.put(bucket, key, value);
        }
    }

    pub(crate) fn delete(&mut self, bucket: Bucket, key: impl Into<Vec<u8>>) {
        if let Some(batch) = &mut self.batch {
            batch.delete(bucket, key);
        }
    }
}

impl State {
    /// A member that was never started. `seed` is where the ids of its leases begin.
    pub(crate) fn new(config: Arc<Config>, seed: u64) -> Self {
        let identity = Identity::derive(&config.peer_urls, &config.cluster_token);
        let member = Member {
            id: identity.member,
            name: config.name.clone(),
            peer_urls: config.peer_urls.clone(),
            client_urls: config.client_urls.clone(),
            is_learner: false,
        };
        let store = Store::default();
        Self {
            lessor: Lessor::new(
                config.min_lease_ttl(),
                (identity.member & 0xffff) << 48 | seed & 0xffff_ffff_ffff,
            ),
            tokens: Tokens::new(config.token_ttl),
            hub: Hub::new(store.revision(), config.receive_limit()),
            published: store.revision(),
            totals: Totals::default(),
            operations: 0,
            config,
            identity,
            term: 2,
            index: 4,
            leased: 4,
            store,
            auth: Auth::default(),
            alarms: BTreeSet::new(),
            member,
            learner: None,
            downgrade: None,
            journal: Journal::default(),
            compactions: VecDeque::new(),
            removed: -1,
            scheduled: -1,
            hashes: VecDeque::new(),
            copies: Copies::default(),
        }
    }

    /// What a start does to a state that there was before.
    pub(crate) fn started_again(&mut self, now: Now) {
        self.term += 1;
        self.index += 1;
        self.tokens.clear();
        self.lessor.renew_all(now, self.config.election);
        self.hub.close_all();
    }

    /// From here on, changes are gathered for a storage.
    pub(crate) fn keep_journal(&mut self) {
        self.journal = Journal { batch: Some(Batch::default()), taken: self.store.revision() };
    }

    /// Whether changes are gathered.
    pub(crate) const fn journals(&self) -> bool {
        self.journal.batch.is_some()
    }

    /// The revision that readers of keys see.
    pub(crate) const fn published(&self) -> i64 {
        self.published
    }

    /// The header of an answer at a revision.
    pub(crate) const fn header(&self, revision: i64) -> ResponseHeader {
        ResponseHeader {
            cluster_id: self.identity.cluster,
            member_id: self.identity.member,
            revision,
            raft_term: self.term,
        }
    }

    /// The header of an answer about the present.
    pub(crate) const fn header_now(&self) -> ResponseHeader {
        self.header(self.store.revision())
    }

    /// Ends a request that may have changed something.
    pub(crate) fn applied(&mut self) {
        self.index += 1;
        self.store.finish();
        let operations = self.totals.operations();
        self.totals.txns += u64::from(operations > self.operations + 1);
        self.operations = operations;
    }

    /// Shows everything up to a revision to readers and watchers.
    pub(crate) fn publish(&mut self, revision: i64) {
        self.published = revision;
        self.hub.publish(&self.store, revision);
    }

    /// Everything since the last call, and the revision that it reaches.
    pub(crate) fn take_batch(&mut self) -> (Batch, i64) {
        let revision = self.store.revision();
        let Some(mut batch) = self.journal.batch.replace(Batch::default()) else {
            return (Batch::default(), revision);
        };
        for record in self.store.since(self.journal.taken + 1) {
            batch.put(Bucket::Key, record.key.encode(), record.message);
        }
        self.journal.taken = revision;
        if !batch.is_empty() {
            batch.put(Bucket::Meta, "consistent_index", self.index.to_be_bytes());
            batch.put(Bucket::Meta, "term", self.term.to_be_bytes());
        }
        (batch, revision)
    }

    /// About the size that etcd's database would have, at least that of an empty one.
    pub(crate) fn db_size(&self) -> u64 {
        // A record costs a revision as its key and a page's element.
        20_480 + self.store.bytes() as u64 + self.store.bytes() as u64 / 8
    }

    /// The compaction whose removal began last; -1 for none.
    pub(crate) fn removing(&self) -> i64 {
        let first = self.compactions.front().filter(|compaction| compaction.removes());
        first.map_or(self.removed, Compaction::revision)
    }

    /// Does a part of the first compaction; returns whether to go on. It waits until it is published, since until then
    /// readers and watchers are shown what it removes, and before it removes anything for the copies that need it.
    pub(crate) fn compact_some(&mut self) -> bool {
        let Some(compaction) = self.compactions.front_mut() else { return false };
        let revision = compaction.revision();
        if revision > self.published || compaction.removes() && self.copies.need(revision) {
            return false;
        }
        let journal = &mut self.journal;
        let totals = &mut self.totals;
        let removed = |key: RevisionKey| {
            totals.removed += 1;
            journal.delete(Bucket::Key, key.encode());
        };
        match compaction.step(&mut self.store, removed) {
            Step::Part => {}
            Step::Hashed(hash) => {
                if self.hashes.len() == HASHES {
                    self.hashes.pop_front();
                }
                self.hashes.push_back(hash);
            }
            Step::Done => {
                self.compactions.pop_front();
                self.removed = revision;
                self.journal.put(Bucket::Meta, "finishedCompactRev", revision_bytes(revision));
            }
        }
        !self.compactions.is_empty()
    }
}

/// A revision as `meta` holds it.
pub(crate) fn revision_bytes(main: i64) -> Vec<u8> {
    RevisionKey { revision: Revision { main, sub: 0 }, tombstone: false }.encode()
}
