//! Messages as JSON, as the official tools write them: one line, fields in the order of the message, and none that is
//! empty or zero.

use std::fmt::Write as _;

use bytes::Bytes;
use etcdkit::proto::authpb::{Permission, UserAddOptions};
use etcdkit::proto::etcdserverpb::*;
use etcdkit::proto::mvccpb::{Event, KeyValue};

/// What can stand in JSON.
pub(crate) trait Json {
    /// Whether it is left out of an object.
    fn is_empty(&self) -> bool;

    /// Appends it.
    fn write(&self, into: &mut String);
}

/// The text of `value`.
pub(crate) fn text(value: &(impl Json + ?Sized)) -> String {
    let mut text = String::new();
    value.write(&mut text);
    text
}

/// An object under construction.
pub(crate) struct Object<'a> {
    into: &'a mut String,
    is_first: bool,
}

impl<'a> Object<'a> {
    pub(crate) fn begin(into: &'a mut String) -> Self {
        into.push('{');
        Self { into, is_first: true }
    }

    /// A field, unless it is empty.
    pub(crate) fn field(&mut self, name: &str, value: &(impl Json + ?Sized)) -> &mut Self {
        if value.is_empty() { self } else { self.always(name, value) }
    }

    /// A field, even if it is empty.
    pub(crate) fn always(&mut self, name: &str, value: &(impl Json + ?Sized)) -> &mut Self {
        if !std::mem::take(&mut self.is_first) {
            self.into.push(',');
        }
        string(name, self.into);
        self.into.push(':');
        value.write(self.into);
        self
    }

    pub(crate) fn end(&mut self) {
        self.into.push('}');
    }
}

macro_rules! numbers {
    ($($number:ty)*) => {
        $(impl Json for $number {
            fn is_empty(&self) -> bool {
                *self == 0
            }

            fn write(&self, into: &mut String) {
                let _ = write!(into, "{self}");
            }
        })*
    };
}

numbers!(i32 i64 u32 u64);

impl Json for bool {
    fn is_empty(&self) -> bool {
        !self
    }

    fn write(&self, into: &mut String) {
        into.push_str(if *self { "true" } else { "false" });
    }
}

impl Json for str {
    fn is_empty(&self) -> bool {
        self.is_empty()
    }

    fn write(&self, into: &mut String) {
        string(self, into);
    }
}

impl Json for String {
    fn is_empty(&self) -> bool {
        self.is_empty()
    }

    fn write(&self, into: &mut String) {
        string(self, into);
    }
}

impl Json for Bytes {
    fn is_empty(&self) -> bool {
        self.is_empty()
    }

    fn write(&self, into: &mut String) {
        into.push('"');
        base64(self, into);
        into.push('"');
    }
}

impl<T: Json> Json for [T] {
    fn is_empty(&self) -> bool {
        self.is_empty()
    }

    fn write(&self, into: &mut String) {
        into.push('[');
        for (index, item) in self.iter().enumerate() {
            if index > 0 {
                into.push(',');
            }
            item.write(into);
        }
        into.push(']');
    }
}

impl<T: Json> Json for Vec<T> {
    fn is_empty(&self) -> bool {
        self.is_empty()
    }

    fn write(&self, into: &mut String) {
        self.as_slice().write(into);
    }
}

/// What is absent is `null` where it isn't left out.
impl<T: Json> Json for Option<T> {
    fn is_empty(&self) -> bool {
        self.is_none()
    }

    fn write(&self, into: &mut String) {
        match self {
            Some(value) => value.write(into),
            None => into.push_str("null"),
        }
    }
}

impl<T: Json + ?Sized> Json for &T {
    fn is_empty(&self) -> bool {
        (**self).is_empty()
    }

    fn write(&self, into: &mut String) {
        (**self).write(into);
    }
}

/// A message is never left out: whether it is there shows in the `Option` around it.
macro_rules! messages {
    ($($message:ty { $($field:ident $(as $name:literal)?),* $(,)? })*) => {
        $(impl Json for $message {
            fn is_empty(&self) -> bool {
                false
            }

            fn write(&self, into: &mut String) {
                let mut object = Object::begin(into);
                $(object.field(messages!(@name $field $($name)?), &self.$field);)*
                object.end();
            }
        })*
    };
    (@name $field:ident) => { stringify!($field) };
    (@name $field:ident $name:literal) => { $name };
}

messages! {
    ResponseHeader { cluster_id, member_id, revision, raft_term }
    KeyValue { key, create_revision, mod_revision, version, value, lease }
    Event { r#type as "type", kv, prev_kv }
    RangeResponse { header, kvs, more, count }
    PutResponse { header, prev_kv }
    DeleteRangeResponse { header, deleted, prev_kvs }
    TxnResponse { header, succeeded, responses }
    CompactionResponse { header }
    HashKvResponse { header, hash, compact_revision, hash_revision }
    LeaseGrantResponse { header, id as "ID", ttl as "TTL", error }
    LeaseRevokeResponse { header }
    LeaseKeepAliveResponse { header, id as "ID", ttl as "TTL" }
    LeaseTimeToLiveResponse { header, id as "ID", ttl as "TTL", granted_ttl as "grantedTTL", keys }
    LeaseStatus { id as "ID" }
    LeaseLeasesResponse { header, leases }
    Member {
        id as "ID", name, peer_urls as "peerURLs", client_urls as "clientURLs",
        is_learner as "isLearner",
    }
    MemberAddResponse { header, member, members }
    MemberRemoveResponse { header, members }
    MemberUpdateResponse { header, members }
    MemberPromoteResponse { header, members }
    MemberListResponse { header, members }
    DefragmentResponse { header }
    MoveLeaderResponse { header }
    AlarmMember { member_id as "memberID", alarm }
    AlarmResponse { header, alarms }
    DowngradeInfo { enabled, target_version as "targetVersion" }
    DowngradeResponse { header, version }
    StatusResponse {
        header, version, db_size as "dbSize", leader, raft_index as "raftIndex",
        raft_term as "raftTerm", raft_applied_index as "raftAppliedIndex", errors,
        db_size_in_use as "dbSizeInUse", is_learner as "isLearner",
        storage_version as "storageVersion", db_size_quota as "dbSizeQuota",
        downgrade_info as "downgradeInfo",
    }
    AuthEnableResponse { header }
    AuthDisableResponse { header }
    AuthStatusResponse { header, enabled, auth_revision as "authRevision" }
    AuthUserAddResponse { header }
    AuthUserGetResponse { header, roles }
    AuthUserDeleteResponse { header }
    AuthUserChangePasswordResponse { header }
    AuthUserGrantRoleResponse { header }
    AuthUserRevokeRoleResponse { header }
    AuthUserListResponse { header, users }
    AuthRoleAddResponse { header }
    AuthRoleGetResponse { header, perm }
    AuthRoleDeleteResponse { header }
    AuthRoleListResponse { header, roles }
    AuthRoleGrantPermissionResponse { header }
    AuthRoleRevokePermissionResponse { header }
    Permission { perm_type as "permType", key, range_end }
    UserAddOptions { no_password }
}

impl Json for ResponseOp {
    fn is_empty(&self) -> bool {
        false
    }

    fn write(&self, into: &mut String) {
        let mut object = Object::begin(into);
        match &self.response {
            Some(response) => object.always("Response", response),
            None => object.always("Response", &None::<bool>),
        }
        .end();
    }
}

impl Json for response_op::Response {
    fn is_empty(&self) -> bool {
        false
    }

    fn write(&self, into: &mut String) {
        let mut object = Object::begin(into);
        match self {
            Self::Range(response) => object.always("response_range", response),
            Self::Put(response) => object.always("response_put", response),
            Self::DeleteRange(response) => object.always("response_delete_range", response),
            Self::Txn(response) => object.always("response_txn", response),
        }
        .end();
    }
}

/// A string with the escapes that Go's encoder makes: those of HTML too.
fn string(text: &str, into: &mut String) {
    into.push('"');
    for character in text.chars() {
        match character {
            '"' => into.push_str("\\\""),
            '\\' => into.push_str("\\\\"),
            '\x08' => into.push_str("\\b"),
            '\x0c' => into.push_str("\\f"),
            '\n' => into.push_str("\\n"),
            '\r' => into.push_str("\\r"),
            '\t' => into.push_str("\\t"),
            '<' | '>' | '&' | '\0'..='\x1f' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(into, "\\u{:04x}", u32::from(character));
            }
            _ => into.push(character),
        }
    }
    into.push('"');
}

/// Standard base64 with padding.
fn base64(bytes: &[u8], into: &mut String) {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for group in bytes.chunks(3) {
        let byte = |index: usize| u32::from(group.get(index).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            if place > group.len() {
                into.push('=');
            } else {
                into.push(char::from(LETTERS[(bits >> (18 - 6 * place) & 63) as usize]));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_base64() {
        for (bytes, expected) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("\u{ff}\u{fe}", "w7/Dvg==")]
        {
            let mut text = String::new();
            base64(bytes.as_bytes(), &mut text);
            assert_eq!(text, expected);
        }
    }

    #[test]
    fn empty_fields_are_left_out() {
        let kv = KeyValue { key: "a".into(), version: 2, ..KeyValue::default() };
        let response = RangeResponse { kvs: vec![kv], count: 1, ..RangeResponse::default() };
        assert_eq!(text(&response), r#"{"kvs":[{"key":"YQ==","version":2}],"count":1}"#);
    }

    #[test]
    fn strings_are_escaped_for_html_too() {
        assert_eq!(text("a\"<é>\n\u{1}"), r#""a\"\u003cé\u003e\n\u0001""#);
    }
}
