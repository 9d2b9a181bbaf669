//! Messages as lines of `"Name" : value`.

use std::fmt;

use etcdkit::proto::etcdserverpb::*;
use etcdkit::proto::mvccpb::KeyValue;

use super::{Format, unsupported};
use crate::failure::Result;
use crate::notation::quote::quote;

/// What can be written as fields.
pub(crate) trait Fields {
    /// Writes its fields, or fails since the official tools have no such form.
    fn fields(&self, writer: &mut Writer) -> Result<()>;
}

/// Lines under construction.
pub(crate) struct Writer {
    text: Vec<u8>,
    hex: bool,
}

impl Writer {
    pub(crate) fn new(hex: bool) -> Self {
        Self { text: Vec::new(), hex }
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.text
    }

    pub(crate) fn field(&mut self, name: &str, value: impl fmt::Display) {
        self.text.extend_from_slice(format!("\"{name}\" : {value}\n").as_bytes());
    }

    pub(crate) fn quoted(&mut self, name: &str, value: impl AsRef<[u8]>) {
        self.field(name, quote(value.as_ref()));
    }

    /// An id of a cluster, a member or a lease.
    pub(crate) fn id(&mut self, name: &str, id: u64) {
        if self.hex { self.field(name, format_args!("{id:x}")) } else { self.field(name, id) }
    }

    pub(crate) fn lease(&mut self, name: &str, id: i64) {
        if self.hex { self.field(name, format_args!("{id:016x}")) } else { self.field(name, id) }
    }

    pub(crate) fn empty_line(&mut self) {
        self.text.push(b'\n');
    }

    pub(crate) fn header(&mut self, header: Option<&ResponseHeader>) {
        let Some(header) = header else { return };
        self.id("ClusterID", header.cluster_id);
        self.id("MemberID", header.member_id);
        // Answers about members have none.
        if header.revision > 0 {
            self.field("Revision", header.revision);
        }
        self.field("RaftTerm", header.raft_term);
    }

    pub(crate) fn key_value(&mut self, prefix: &str, kv: &KeyValue) {
        self.quoted(&format!("{prefix}Key"), &kv.key);
        self.field(&format!("{prefix}CreateRevision"), kv.create_revision);
        self.field(&format!("{prefix}ModRevision"), kv.mod_revision);
        self.field(&format!("{prefix}Version"), kv.version);
        self.quoted(&format!("{prefix}Value"), &kv.value);
        self.lease(&format!("{prefix}Lease"), kv.lease);
    }
}

impl Fields for RangeResponse {
    fn fields(&self, writer: &mut Writer) -> Result<()> {
        writer.header(self.header.as_ref());
        for kv in &self.kvs {
            writer.key_value("", kv);
        }
        writer.field("More", self.more);
        writer.field("Count", self.count);
        Ok(())
    }
}

impl Fields for PutResponse {
    fn fields(&self, writer: &mut Writer) -> Result<()> {
        writer.header(self.header.as_ref());
        if let Some(kv) = &self.prev_kv {
            writer.key_value("Prev", kv);
        }
        Ok(())
    }
}

impl Fields for DeleteRangeResponse {
    fn fields(&self, writer: &mut Writer) -> Result<()> {
        writer.header(self.header.as_ref());
        writer.field("Deleted", self.deleted);
        for kv in &self.prev_kvs {
            writer.key_value("Prev", kv);
        }
        Ok(())
    }
}

impl Fields for TxnResponse {
    fn fields(&self, writer: &mut Writer) -> Result<()> {
        writer.header(self.header.as_ref());
        writer.field("Succeeded", self.succeeded);
        for op in &self.responses {
            match &op.response {
                Some(response_op::Response::Put(response)) => response.fields(writer)?,
                Some(response_op::Response::DeleteRange(response)) => {
                    response.fields(writer)?;
                }
                Some(response_op::Response::Range(response)) => response.fields(writer)?,
                Some(response_op::Response::Txn(_)) | None => {
                    writer.text.extend_from_slice(b"\"Unknown\" : \"\"\n");
                }
            }
        }
        Ok(())
    }
}

impl Fields for AlarmResponse {
    fn fields(&self, writer: &mut Writer) -> Result<()> {
        writer.header(self.header.as_ref());
        for alarm in &self.alarms {
            writer.id("MemberID", alarm.member_id);
            writer.field("AlarmType", alarm_name(alarm.alarm));
            writer.empty_line();
        }
        Ok(())
    }
}

/// The name of a kind of alarm.
pub(crate) fn alarm_name(alarm: i32) -> String {
    match AlarmType::from_i32(alarm) {
        Some(alarm) => alarm.as_str_name().to_owned(),
        None => alarm.to_string(),
    }
}

impl Fields for MemberListResponse {
    fn fields(&self, writer: &mut Writer) -> Result<()> {
        writer.header(self.header.as_ref());
        for member in &self.members {
            writer.id("ID", member.id);
            writer.quoted("Name", &member.name);
            for url in &member.peer_urls {
                writer.quoted("PeerURL", url);
            }
            for url in &member.client_urls {
                writer.quoted("ClientURL", url);
            }
            writer.field("IsLearner", member.is_learner);
            writer.empty_line();
        }
        Ok(())
    }
}

macro_rules! header_only {
    ($($message:ty)*) => {
        $(impl Fields for $message {
            fn fields(&self, writer: &mut Writer) -> Result<()> {
                writer.header(self.header.as_ref());
                Ok(())
            }
        })*
    };
}

header_only! {
    LeaseRevokeResponse AuthRoleAddResponse AuthRoleDeleteResponse AuthRoleGrantPermissionResponse
    AuthRoleRevokePermissionResponse AuthUserAddResponse AuthUserDeleteResponse
    AuthUserChangePasswordResponse AuthUserGrantRoleResponse AuthUserRevokeRoleResponse
}

macro_rules! none {
    ($($message:ty)*) => {
        $(impl Fields for $message {
            fn fields(&self, _: &mut Writer) -> Result<()> {
                Err(unsupported(Format::Fields))
            }
        })*
    };
}

none! {
    MemberAddResponse MemberRemoveResponse MemberUpdateResponse MemberPromoteResponse
    MoveLeaderResponse DowngradeResponse AuthEnableResponse AuthDisableResponse AuthStatusResponse
}
