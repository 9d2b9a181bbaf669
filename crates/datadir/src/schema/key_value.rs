//! Values of the bucket `key`: key-value messages, read in place.
//!
//! A database may hold millions of them, and most readers want one or two fields: this decoder copies nothing.

use etcdkit_proto::mvccpb::KeyValue;

use crate::error::{Defect, Error, Result};

/// A key and its value at a revision, as slices of the page that they lie in.
///
/// ```
/// use etcdkit_datadir::schema::KeyValueRef;
///
/// // Field 1 is the key, field 5 the value.
/// let kv = KeyValueRef::decode(b"\x0a\x01k\x2a\x01v")?;
/// assert_eq!((kv.key, kv.value), (&b"k"[..], &b"v"[..]));
/// assert_eq!(kv.to_owned().version, 0);
/// # Ok::<(), etcdkit_datadir::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyValueRef<'a> {
    /// The key.
    pub key: &'a [u8],
    /// The revision at which it was created.
    pub create_revision: i64,
    /// The revision of this value.
    pub mod_revision: i64,
    /// How often it was put since it was created.
    pub version: i64,
    /// The value; empty in a tombstone.
    pub value: &'a [u8],
    /// Its lease, 0 for none.
    pub lease: i64,
}

impl<'a> KeyValueRef<'a> {
    /// Parses a message.
    ///
    /// # Errors
    ///
    /// `Corrupt` when it is none.
    pub fn decode(message: &'a [u8]) -> Result<Self> {
        let mut fields = Fields { rest: message };
        let mut kv = Self::default();
        while !fields.rest.is_empty() {
            fields.next(&mut kv).ok_or_else(|| {
                let at = message.len() - fields.rest.len();
                let text = format!("no key-value message: field before its byte {at}");
                Error::corrupt(Defect::InvalidMessage, text)
            })?;
        }
        Ok(kv)
    }

    /// The message that the client knows.
    #[must_use]
    pub fn to_owned(self) -> KeyValue {
        KeyValue {
            key: self.key.to_vec().into(),
            create_revision: self.create_revision,
            mod_revision: self.mod_revision,
            version: self.version,
            value: self.value.to_vec().into(),
            lease: self.lease,
        }
    }
}

struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    fn next(&mut self, kv: &mut KeyValueRef<'a>) -> Option<()> {
        let tag = self.varint()?;
        match tag {
            0x0a => kv.key = self.bytes()?,
            0x10 => kv.create_revision = self.varint()?.cast_signed(),
            0x18 => kv.mod_revision = self.varint()?.cast_signed(),
            0x20 => kv.version = self.varint()?.cast_signed(),
            0x2a => kv.value = self.bytes()?,
            0x30 => kv.lease = self.varint()?.cast_signed(),
            // A field that a newer etcd may add, but no known one of another type, and none of number 0.
            _ if tag >> 3 > 6 && tag <= u64::from(u32::MAX) => self.skip(tag & 7)?,
            _ => return None,
        }
        Some(())
    }

    fn skip(&mut self, wire: u64) -> Option<()> {
        match wire {
            0 => drop(self.varint()?),
            1 => self.rest = self.rest.get(8..)?,
            2 => drop(self.bytes()?),
            5 => self.rest = self.rest.get(4..)?,
            _ => return None,
        }
        Some(())
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for (index, &byte) in self.rest.iter().take(10).enumerate() {
            // The tenth byte has room for the 64th bit, and no more.
            if index == 9 && byte > 1 {
                return None;
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                self.rest = self.rest.get(index + 1..)?;
                return Some(value);
            }
        }
        None
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.varint()?).ok()?;
        let (bytes, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message;

    use super::*;

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(any::<u8>(), 0..200)
    }

    proptest! {
        #[test]
        fn messages_are_read_as_prost_reads_them(
            key in bytes(),
            value in bytes(),
            numbers in any::<[i64; 4]>(),
            flip in any::<(usize, u8)>(),
        ) {
            let [create_revision, mod_revision, version, lease] = numbers;
            let kv = KeyValue {
                key: key.into(), value: value.into(), create_revision, mod_revision, version, lease,
            };
            let mut message = kv.encode_to_vec();
            prop_assert_eq!(KeyValueRef::decode(&message).expect("it was encoded").to_owned(), kv);
            if !message.is_empty() {
                let at = flip.0 % message.len();
                message[at] ^= flip.1;
                if let Ok(kv) = KeyValueRef::decode(&message) {
                    prop_assert_eq!(KeyValue::decode(message.as_slice()), Ok(kv.to_owned()));
                }
            }
        }

        #[test]
        fn noise_does_not_panic(message in bytes()) {
            let _ = KeyValueRef::decode(&message);
        }
    }

    #[test]
    fn numbers_beyond_64_bits_are_refused() {
        let check = |last: u8, valid: bool| {
            let mut message = vec![0x30];
            message.extend_from_slice(&[0xff; 9]);
            message.push(last);
            assert_eq!(KeyValueRef::decode(&message).is_ok(), valid, "{last}");
            assert_eq!(KeyValue::decode(message.as_slice()).is_ok(), valid, "{last}");
        };
        check(1, true);
        check(2, false);
        check(0x81, false);
    }
}
