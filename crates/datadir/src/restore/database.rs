//! Giving a copied database its new members.

use std::fs::File;

use super::cluster::Cluster;
use crate::bbolt::edit::{Editor, Entries};
use crate::error::{Error, Result};
use crate::schema::{Revision, RevisionKey, bucket, conf_state_json, encode_json};

/// Replaces the members, says how far the new log is applied, and moves the revision on if asked to. Returns the
/// file's new length.
pub(super) fn rewrite(
    file: File,
    cluster: &Cluster,
    bump: Option<(Revision, u64)>,
) -> Result<(File, u64)> {
    let mut editor = Editor::open(file)?;
    let mut meta = editor.read(bucket::META.as_bytes())?;
    if let Some((last, amount)) = bump {
        let main = i64::try_from(amount).ok().and_then(|amount| last.main.checked_add(amount));
        let Some(main) = main else {
            return Err(Error::invalid(format!(
                "revision {} can't be bumped by {amount}",
                last.main
            )));
        };
        let revision = Revision { main, sub: 0 };
        let key = RevisionKey { revision, tombstone: false }.encode();
        editor.append(bucket::KEY.as_bytes(), &key, b"")?;
        meta.insert(b"scheduledCompactRev".to_vec(), key);
    }
    let applied = cluster.members.len() as u64;
    meta.insert(b"consistent_index".to_vec(), applied.to_be_bytes().to_vec());
    meta.insert(b"term".to_vec(), 1_u64.to_be_bytes().to_vec());
    // etcdutl leaves the old cluster's configuration in place. No etcd up to 3.7 reads it at start, but one day one may.
    if let Some(conf_state) = meta.get_mut(b"confState".as_slice()) {
        *conf_state = conf_state_json(&cluster.ids()).into_bytes();
    }
    let members: Entries = cluster
        .members
        .iter()
        .map(|member| {
            let json = encode_json(member.id, &member.name, &member.peer_urls);
            (format!("{:x}", member.id).into_bytes(), json.into_bytes())
        })
        .collect();
    editor.replace(bucket::MEMBERS.as_bytes(), &members)?;
    editor.replace(bucket::MEMBERS_REMOVED.as_bytes(), &Entries::new())?;
    editor.replace(bucket::META.as_bytes(), &meta)?;
    editor.commit()
}
