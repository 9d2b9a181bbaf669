//! Words of a command line as the system has them: bytes, which need not be text.

use std::ffi::OsString;

#[cfg(unix)]
pub(crate) fn from_bytes(word: &[u8]) -> OsString {
    std::os::unix::ffi::OsStringExt::from_vec(word.to_vec())
}

#[cfg(not(unix))]
pub(crate) fn from_bytes(word: &[u8]) -> OsString {
    String::from_utf8_lossy(word).into_owned().into()
}

#[cfg(unix)]
pub(crate) fn into_bytes(word: OsString) -> Vec<u8> {
    std::os::unix::ffi::OsStringExt::into_vec(word)
}

#[cfg(not(unix))]
pub(crate) fn into_bytes(word: OsString) -> Vec<u8> {
    word.to_string_lossy().into_owned().into_bytes()
}
