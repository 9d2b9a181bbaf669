//! The state as entries of etcd's ten buckets: out, for a snapshot; in, from a storage or a snapshot.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use etcdkit_datadir::schema::{ConfState, Downgrade, Member as SavedMember, RevisionKey};
use etcdkit_proto::authpb::{Role, User};
use etcdkit_proto::etcdserverpb::{AlarmMember, Member};
use etcdkit_proto::leasepb::Lease;
use prost::Message;

use crate::config::{CLUSTER_VERSION, Config, STORAGE_VERSION};
use crate::lease::Now;
use crate::mvcc::Compaction;
use crate::state::{State, revision_bytes};
use crate::storage::{Bucket, Storage, StorageError};

type Result<T, E = StorageError> = std::result::Result<T, E>;

/// When leases are ended again that could not be.
const RETRY: Duration = Duration::from_secs(3);

impl State {
    /// Every entry but those of keys: bucket by bucket, each in the order of its keys. The bucket of keys, which lies
    /// between [`Bucket::Cluster`] and [`Bucket::Lease`], is [`Store::since`](crate::mvcc::Store::since).
    pub(crate) fn export(&self) -> Vec<(Bucket, Vec<u8>, Vec<u8>)> {
        let mut entries: Vec<(Bucket, Vec<u8>, Vec<u8>)> = Vec::new();
        let mut add =
            |bucket, key: &[u8], value: Vec<u8>| entries.push((bucket, key.to_vec(), value));
        for (alarm, member_id) in &self.alarms {
            let alarm = AlarmMember { member_id: *member_id, alarm: *alarm };
            add(Bucket::Alarm, &alarm.encode_to_vec(), Vec::new());
        }
        add(Bucket::Auth, b"authEnabled", vec![u8::from(self.auth.is_enabled())]);
        add(Bucket::Auth, b"authRevision", self.auth.revision().to_be_bytes().to_vec());
        self.auth.roles().for_each(|role| add(Bucket::AuthRoles, &role.name, role.encode_to_vec()));
        self.auth.users().for_each(|user| add(Bucket::AuthUsers, &user.name, user.encode_to_vec()));
        add(Bucket::Cluster, b"clusterVersion", CLUSTER_VERSION.into());
        add(Bucket::Cluster, b"downgrade", self.saved_downgrade().into_bytes());
        for lease in self.lessor.saved() {
            add(Bucket::Lease, &lease.id.to_be_bytes(), lease.encode_to_vec());
        }
        for member in self.saved_members() {
            let id = format!("{:x}", member.id);
            add(Bucket::Members, id.as_bytes(), member.encode().into_bytes());
        }
        add(Bucket::Meta, b"confState", self.conf_state().into_bytes());
        add(Bucket::Meta, b"consistent_index", self.index.to_be_bytes().to_vec());
        if self.store.compacted() >= 0 {
            let finished =
                if self.compactions.is_empty() { self.store.compacted() } else { self.removed };
            if finished >= 0 {
                add(Bucket::Meta, b"finishedCompactRev", revision_bytes(finished));
            }
            let scheduled = revision_bytes(self.store.compacted());
            add(Bucket::Meta, b"scheduledCompactRev", scheduled);
        }
        add(Bucket::Meta, b"storageVersion", STORAGE_VERSION.into());
        add(Bucket::Meta, b"term", self.term.to_be_bytes().to_vec());
        entries.sort_unstable();
        entries
    }

    /// Takes over one entry of a storage or a snapshot. Within a bucket they come in order.
    pub(crate) fn import(
        &mut self,
        bucket: Bucket,
        key: &[u8],
        value: &[u8],
        now: Now,
    ) -> Result<()> {
        match bucket {
            Bucket::Alarm => {
                let alarm: AlarmMember = message(bucket, key)?;
                self.alarms.insert((alarm.alarm, alarm.member_id));
            }
            Bucket::Auth => match key {
                b"authEnabled" => self.auth.load(Some(value == [1]), None),
                b"authRevision" => self.auth.load(None, Some(number(bucket, value)?)),
                _ => {}
            },
            Bucket::AuthRoles => self.auth.load_role(message::<Role>(bucket, value)?),
            Bucket::AuthUsers => self.auth.load_user(message::<User>(bucket, value)?),
            Bucket::Key => {
                let corrupt = |error| StorageError::Corrupt(format!("{error}"));
                let revision = RevisionKey::decode(key).map_err(corrupt)?;
                self.store.load(revision, value).map_err(corrupt)?;
            }
            Bucket::Lease => self.lessor.load(&message::<Lease>(bucket, value)?, now),
            Bucket::Meta => match key {
                b"consistent_index" => self.index = number(bucket, value)?.max(self.index),
                b"term" => self.term = number(bucket, value)?.max(self.term),
                b"finishedCompactRev" => self.removed = main_of(value)?,
                b"scheduledCompactRev" => self.scheduled = main_of(value)?,
                b"confState" => {
                    ConfState::decode(value)
                        .map_err(|error| StorageError::Corrupt(format!("{error}")))?;
                }
                _ => {}
            },
            Bucket::Cluster if key == b"downgrade" => {
                let saved = Downgrade::decode(value)
                    .map_err(|error| StorageError::Corrupt(format!("{error}")))?;
                self.downgrade = saved.enabled.then_some(saved.target_version);
            }
            Bucket::Members => {
                let saved = SavedMember::decode(value)
                    .map_err(|error| StorageError::Corrupt(format!("{error}")))?;
                // Who this member is, its settings say.
                if saved.is_learner {
                    let SavedMember { id, peer_urls, is_learner, .. } = saved;
                    self.learner = Some(Member { id, peer_urls, is_learner, ..Member::default() });
                }
            }
            Bucket::Cluster | Bucket::MembersRemoved => {}
        }
        Ok(())
    }

    /// Joins what was imported: keys belong to their leases again, and an unfinished compaction goes on.
    pub(crate) fn imported(&mut self) {
        let compacted = self.removed.max(self.scheduled);
        self.store.loaded((compacted >= 0).then_some(compacted));
        if self.scheduled > self.removed {
            self.compactions.push_back(Compaction::resumed(self.scheduled));
        }
        let everything = crate::mvcc::KeyRange::new(vec![0].into(), vec![0].into());
        let now = self.store.revision();
        for kv in self.store.range(&everything, now).map(|record| record.kv()) {
            if kv.lease != 0 {
                self.lessor.attach(kv.lease, kv.key);
            }
        }
        self.publish(now);
    }

    /// A state that holds what a storage does, and nothing else.
    pub(crate) fn of_storage(
        config: Arc<Config>,
        storage: &mut dyn Storage,
        now: Now,
    ) -> Result<Self> {
        let mut state = Self::new(config, 0);
        storage.load(&mut |bucket, key, value| state.import(bucket, key, value, now))?;
        state.imported();
        Ok(state)
    }

    /// Becomes what a storage holds, which is behind, and returns what it was. Connections, watchers and tokens stay, leases
    /// go on where they are, and what counts requests does not go back.
    pub(crate) fn go_back(&mut self, mut state: Self, now: Now) -> Self {
        // Those that were ended and are back are ended again soon, but not at once: there is still no room.
        state.lessor.go_on_from(&self.lessor, now + RETRY);
        state.index = self.index + 1;
        state.leased = state.index;
        state.term = self.term;
        state.totals = self.totals;
        state.operations = self.operations;
        self.hashes.retain(|hash| hash.revision <= state.scheduled);
        let journals = self.journals();
        mem::swap(&mut state.hub, &mut self.hub);
        mem::swap(&mut state.tokens, &mut self.tokens);
        mem::swap(&mut state.hashes, &mut self.hashes);
        mem::swap(&mut state.copies, &mut self.copies);
        mem::swap(&mut state.member, &mut self.member);
        let before = mem::replace(self, state);
        if journals {
            self.keep_journal();
        }
        before
    }

    /// The members as the bucket `members` has them.
    pub(crate) fn saved_members(&self) -> impl Iterator<Item = SavedMember> + use<> {
        let saved = [Some(&self.member), self.learner.as_ref()].map(|member| {
            let member = member?;
            let mut saved = SavedMember::default();
            saved.id = member.id;
            saved.name.clone_from(&member.name);
            saved.peer_urls.clone_from(&member.peer_urls);
            saved.client_urls.clone_from(&member.client_urls);
            saved.is_learner = member.is_learner;
            Some(saved)
        });
        saved.into_iter().flatten()
    }

    /// Who votes, and who does not, as the bucket `meta` has it.
    fn conf_state(&self) -> String {
        let voter = self.member.id;
        let learner = self.learner.as_ref().map(|member| format!(r#""learners":[{}],"#, member.id));
        let learner = learner.unwrap_or_default();
        format!(r#"{{"voters":[{voter}],{learner}"auto_leave":false}}"#)
    }
}

fn message<M: Message + Default>(bucket: Bucket, bytes: &[u8]) -> Result<M> {
    M::decode(bytes)
        .map_err(|error| StorageError::Corrupt(format!("bucket {}: {error}", bucket.name())))
}

fn number(bucket: Bucket, bytes: &[u8]) -> Result<u64> {
    let bytes = bytes.try_into().map_err(|_| {
        StorageError::Corrupt(format!(
            "bucket {}: a number of {} bytes",
            bucket.name(),
            bytes.len()
        ))
    })?;
    Ok(u64::from_be_bytes(bytes))
}

fn main_of(bytes: &[u8]) -> Result<i64> {
    let key = RevisionKey::decode(bytes);
    key.map(|key| key.revision.main).map_err(|error| StorageError::Corrupt(format!("{error}")))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use etcdkit_proto::etcdserverpb::ResponseHeader;
    use etcdkit_proto::etcdserverpb::{
        AlarmType, AuthRoleAddRequest, CompactionRequest, LeaseGrantRequest, MemberAddRequest,
        PutRequest, RangeRequest,
    };

    use super::*;
    use crate::config::Config;

    fn everything(state: &State) -> Vec<(Bucket, Vec<u8>, Vec<u8>)> {
        let mut entries = state.export();
        for record in state.store.since(0) {
            entries.push((Bucket::Key, record.key.encode(), record.message.to_vec()));
        }
        entries.sort_unstable();
        entries
    }

    #[test]
    fn what_goes_out_comes_in() {
        let now = Duration::ZERO;
        let config = Arc::new(Config::default());
        let mut state = State::new(Arc::clone(&config), 7);
        state.lease_grant(None, &LeaseGrantRequest { ttl: 60, id: 5 }, now).unwrap();
        for (key, lease) in [("a", 0), ("b", 5), ("a", 0), ("c", 5)] {
            let put =
                PutRequest { key: key.into(), value: "v".into(), lease, ..PutRequest::default() };
            state.put(None, &put).unwrap();
            state.applied();
        }
        state.compact(None, &CompactionRequest { revision: 3, physical: false }).unwrap();
        state.user_add(None, "root", Some("hash".to_owned())).unwrap();
        state.role_add(None, &AuthRoleAddRequest { name: "r".to_owned() }).unwrap();
        state.raise(AlarmType::NoSpace);
        let learner = ["http://10.0.0.9:2380".to_owned()].to_vec();
        let add = MemberAddRequest { peer_urls: learner, is_learner: true };
        state.member_add(None, &add, now).unwrap();
        let revision = state.store.revision();
        state.publish(revision);

        let entries = everything(&state);
        let mut other = State::new(config, 8);
        for (bucket, key, value) in &entries {
            other.import(*bucket, key, value, now).unwrap();
        }
        other.imported();
        assert_eq!(everything(&other), entries);
        assert_eq!(other.published(), revision);
        let keys: Vec<&[u8]> = other.lessor.keys(5).collect();
        assert_eq!(keys, [b"b", b"c"]);
        // The compaction that was not finished goes on.
        while other.compact_some() {}
        while state.compact_some() {}
        assert_eq!(other.store.hash_kv(0), state.store.hash_kv(0));
        let request = RangeRequest { key: "a".into(), ..RangeRequest::default() };
        assert_eq!(
            other.range(None, &request).unwrap().response(ResponseHeader::default()).count,
            1
        );
    }

    #[test]
    fn what_is_damaged_is_refused() {
        let mut state = State::new(Arc::new(Config::default()), 7);
        for (bucket, key, value) in [
            (Bucket::Key, &b"short"[..], &b""[..]),
            (Bucket::Key, b"\0\0\0\0\0\0\0\x02_\0\0\0\0\0\0\0\0", b"\x0a\xff"),
            (Bucket::Lease, b"", b"\xff"),
            (Bucket::AuthUsers, b"u", b"\xff"),
            (Bucket::Meta, b"term", b"123"),
            (Bucket::Meta, b"finishedCompactRev", b"123"),
        ] {
            let outcome = state.import(bucket, key, value, Duration::ZERO);
            assert!(matches!(outcome, Err(StorageError::Corrupt(_))), "{bucket:?} {key:?}");
        }
    }
}
