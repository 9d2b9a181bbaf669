//! Deleting keys.

use std::fmt;

use etcdkit_proto::etcdserverpb::{DeleteRangeRequest, DeleteRangeResponse};
use etcdkit_proto::method::{self, Method};

use super::range::{KeyRange, check_key, fmt_range, key_range_accessors, range_constructors};
use crate::error::Result;
use crate::response::DeleteResponse;
use crate::transport::Unary;

/// Deletes a key, or a range of keys.
///
/// That there is nothing to delete is no error: see [`DeleteResponse::deleted`].
///
/// ```
/// use etcdkit::{Delete, KeyRange};
///
/// assert_eq!(Delete::from("/a"), Delete::new("/a"));
/// assert_eq!(Delete::prefix("/a/").key_range(), KeyRange::prefix("/a/"));
/// ```
#[derive(Clone, PartialEq)]
pub struct Delete(DeleteRangeRequest);

impl Delete {
    /// Deletes `range`: a key, or a [`KeyRange`].
    pub fn new(range: impl Into<KeyRange>) -> Self {
        Self(DeleteRangeRequest::default()).with_key_range(range)
    }

    /// Returns the deleted keys, in [`DeleteResponse::prev_kvs`]. Takes the permission to read them.
    #[must_use]
    pub fn prev_kv(mut self) -> Self {
        self.0.prev_kv = true;
        self
    }

    pub(super) fn from_wire(wire: DeleteRangeRequest) -> Self {
        Self(wire)
    }

    pub(super) fn into_wire(self) -> DeleteRangeRequest {
        self.0
    }
}

range_constructors!(Delete, "Deletes");
key_range_accessors!(Delete, 0);

impl fmt::Debug for Delete {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Delete(")?;
        fmt_range(&self.0.key, &self.0.range_end, f)?;
        f.write_str(if self.0.prev_kv { ", prev kv)" } else { ")" })
    }
}

impl Unary for Delete {
    type Wire = DeleteRangeRequest;
    type Answer = DeleteRangeResponse;
    const METHOD: Method<DeleteRangeRequest, DeleteRangeResponse> = method::kv::DELETE_RANGE;

    fn wire(&self) -> &DeleteRangeRequest {
        &self.0
    }

    fn check(&self) -> Result<()> {
        check_key(&self.0.key)
    }

    fn decode(answer: DeleteRangeResponse) -> Result<DeleteResponse> {
        Ok(answer.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etcdkit_proto::method::Class;

    #[test]
    fn wire_form_of_each_option() {
        let wire = |key: &'static str, end: &'static str, prev_kv| DeleteRangeRequest {
            key: key.into(),
            range_end: end.into(),
            prev_kv,
        };
        let table = [
            (Delete::new("a"), wire("a", "", false), r#"Delete(b"a")"#),
            (Delete::new("a").prev_kv(), wire("a", "", true), r#"Delete(b"a", prev kv)"#),
            (Delete::prefix("a"), wire("a", "b", false), r#"Delete(b"a"..b"b")"#),
            (Delete::from_key("a"), wire("a", "\0", false), r#"Delete(b"a"..)"#),
            (Delete::range("a", "x"), wire("a", "x", false), r#"Delete(b"a"..b"x")"#),
            (Delete::all(), wire("\0", "\0", false), "Delete(..)"),
        ];
        for (delete, wire, shown) in table {
            assert_eq!(delete.wire(), &wire);
            assert_eq!(format!("{delete:?}"), shown);
            assert_eq!(delete.class(), Class::Write);
            delete.check().unwrap();
        }
        assert!(Delete::new("").check().is_err());
        assert!(Delete::range("a", "").check().is_err());
    }
}
