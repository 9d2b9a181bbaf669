//! Keys and values are byte strings; this is what the API takes wherever one is wanted.

use bytes::Bytes;

/// A key or a value: any sequence of bytes.
///
/// Methods that want one take `impl Into<ByteString>`, so a string literal, a `String`, a slice, a `Vec<u8>` or
/// [`Bytes`] will do. Owned buffers are taken over without a copy; borrowed ones are copied once.
///
/// ```
/// use etcdkit::ByteString;
///
/// assert_eq!(ByteString::from("a"), ByteString::from(vec![b'a']));
/// assert_eq!(ByteString::from([0xff, 0x00]).as_ref(), &[0xff, 0x00]);
/// ```
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteString(Bytes);

impl ByteString {
    /// The bytes, sharing the buffer.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.0
    }
}

impl std::fmt::Debug for ByteString {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl AsRef<[u8]> for ByteString {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl From<ByteString> for Bytes {
    fn from(bytes: ByteString) -> Self {
        bytes.0
    }
}

macro_rules! from_owned {
    ($($from:ty),*) => {$(
        impl From<$from> for ByteString {
            fn from(bytes: $from) -> Self {
                Self(Bytes::from(bytes))
            }
        }
    )*};
}
from_owned!(Bytes, Vec<u8>, String, Box<[u8]>);

macro_rules! from_borrowed {
    ($($from:ty),*) => {$(
        impl From<$from> for ByteString {
            fn from(bytes: $from) -> Self {
                let bytes: &[u8] = bytes.as_ref();
                Self(Bytes::copy_from_slice(bytes))
            }
        }
    )*};
}
from_borrowed!(&str, &[u8], &Vec<u8>, &String);

impl From<&Bytes> for ByteString {
    fn from(bytes: &Bytes) -> Self {
        Self(bytes.clone())
    }
}

impl From<&Self> for ByteString {
    fn from(bytes: &Self) -> Self {
        bytes.clone()
    }
}

impl<const N: usize> From<[u8; N]> for ByteString {
    fn from(bytes: [u8; N]) -> Self {
        Self(Bytes::copy_from_slice(&bytes))
    }
}

impl<const N: usize> From<&[u8; N]> for ByteString {
    fn from(bytes: &[u8; N]) -> Self {
        Self(Bytes::copy_from_slice(bytes))
    }
}
