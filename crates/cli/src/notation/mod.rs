//! How values are written by the official tools, and how they read them: quoted strings, numbers, durations, lists, bytes.
//!
//! These are the notations of Go, which etcd's tools are written in; scripts rely on them. Nothing here knows of etcd.

pub(crate) mod duration;
pub(crate) mod list;
pub(crate) mod number;
pub(crate) mod os_error;
pub(crate) mod os_string;
pub(crate) mod quote;
