//! The WAL segment and the snap file of a restored member.
//!
//! Both say the same: each member was added by an entry of its own, and a snapshot was taken after the last one. Up to
//! 3.5 etcd takes its membership from the snap file, since 3.6 from the database; up to 3.6 it does not start without
//! the snap file, and since 3.5 not without the configuration in the log's snapshot record.

use std::io::Write;

use etcdkit_proto::raftpb::{
    ConfChange, ConfChangeType, ConfState, Entry, EntryType, HardState, Snapshot, SnapshotMetadata,
};
use etcdkit_proto::walpb;
use prost::Message;

use super::cluster::Cluster;
use crate::error::Result;
use crate::schema::{encode_json, json_string};
use crate::snap;
use crate::wal::folder::Metadata;
use crate::wal::{Record, Writer};

pub(super) const TERM: u64 = 1;

/// Up to 3.6, etcd writes numbers that are zero, and 3.7 leaves them out. All read both.
fn conf_state(cluster: &Cluster) -> ConfState {
    ConfState { voters: cluster.ids(), auto_leave: Some(false), ..ConfState::default() }
}

pub(super) fn write_wal(out: impl Write, cluster: &Cluster) -> Result<()> {
    let mut writer = Writer::new(out, 0)?;
    let (member_id, cluster_id) = (cluster.member_id, cluster.cluster_id);
    writer.append(&Record::Metadata(Metadata { member_id, cluster_id }.encode()))?;
    let nothing = walpb::Snapshot { index: Some(0), term: Some(0), conf_state: None };
    writer.append(&Record::Snapshot(nothing))?;
    for (member, index) in cluster.members.iter().zip(1..) {
        let change = ConfChange {
            id: Some(0),
            r#type: Some(ConfChangeType::AddNode.into()),
            node_id: Some(member.id),
            context: Some(encode_json(member.id, &member.name, &member.peer_urls).into()),
        };
        writer.append(&Record::Entry(Entry {
            r#type: Some(EntryType::ConfChange.into()),
            term: Some(TERM),
            index: Some(index),
            data: Some(change.encode_to_vec().into()),
        }))?;
    }
    let commit = cluster.members.len() as u64;
    let vote = cluster.members.first().map(|member| member.id);
    writer.append(&Record::State(HardState { term: Some(TERM), vote, commit: Some(commit) }))?;
    writer.append(&Record::Snapshot(walpb::Snapshot {
        index: Some(commit),
        term: Some(TERM),
        conf_state: Some(conf_state(cluster)),
    }))
}

pub(super) fn write_snap(out: impl Write, cluster: &Cluster) -> Result<()> {
    snap::write(
        out,
        &Snapshot {
            data: Some(store(cluster).into()),
            metadata: Some(SnapshotMetadata {
                conf_state: Some(conf_state(cluster)),
                index: Some(cluster.members.len() as u64),
                term: Some(TERM),
            }),
        },
    )
}

/// The membership as the store of etcd's v2 API keeps it.
fn store(cluster: &Cluster) -> String {
    let mut members = String::new();
    // The v2 store's map of children is written with its keys in the order of text, which is not that of numbers.
    let mut sorted: Vec<(String, &str, usize)> = Vec::new();
    let attributes: Vec<String> = cluster
        .members
        .iter()
        .map(|member| {
            let urls: Vec<String> = member.peer_urls.iter().map(|url| json_string(url)).collect();
            format!("{{\"peerURLs\":[{}]}}", urls.join(","))
        })
        .collect();
    for (index, (member, attributes)) in cluster.members.iter().zip(&attributes).enumerate() {
        sorted.push((format!("{:x}", member.id), attributes, index + 1));
    }
    sorted.sort_unstable();
    for (id, attributes, index) in sorted {
        let path = format!("/0/members/{id}");
        let file = node(&format!("{path}/raftAttributes"), index, attributes, None);
        let folder = node(&path, index, "", Some(&format!("\"raftAttributes\":{file}")));
        if !members.is_empty() {
            members.push(',');
        }
        members.push_str(&format!("\"{id}\":{folder}"));
    }
    let members = node("/0/members", 1, "", Some(&members));
    let zero = node("/0", 0, "", Some(&format!("\"members\":{members}")));
    let one = node("/1", 0, "", Some(""));
    let root = node("/", 0, "", Some(&format!("\"0\":{zero},\"1\":{one}")));
    let index = cluster.members.len();
    format!("{{\"Root\":{root},\"CurrentIndex\":{index},\"CurrentVersion\":2}}")
}

/// A file or, with children, a folder.
fn node(path: &str, index: usize, value: &str, children: Option<&str>) -> String {
    let children = children.map_or_else(|| "null".to_owned(), |children| format!("{{{children}}}"));
    format!(
        "{{\"Path\":{},\"CreatedIndex\":{index},\"ModifiedIndex\":{index},\
         \"ExpireTime\":\"0001-01-01T00:00:00Z\",\"Value\":{},\"Children\":{children}}}",
        json_string(path),
        json_string(value)
    )
}
