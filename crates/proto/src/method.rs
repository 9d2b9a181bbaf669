//! The RPCs: a typed constant for each, with what a caller must know to give it a deadline and to
//! repeat it.
//!
//! One generic call path serves every RPC, as a [`Method`] names its messages and [`MethodInfo`]
//! its properties. Whether and when to repeat a call is the client's policy; the table says what a
//! repetition would do.
//!
//! ```
//! use etcdkit_proto::method::{self, Class, MethodInfo, Shape};
//!
//! assert_eq!(method::kv::RANGE.path(), "/etcdserverpb.KV/Range");
//! assert_eq!(method::kv::RANGE.class(), Class::Read);
//! let watch = MethodInfo::by_path("/etcdserverpb.Watch/Watch").unwrap();
//! assert_eq!(watch.shape, Shape::Bidi);
//! ```

use std::fmt;
use std::marker::PhantomData;

use crate::ServerError;

mod table;

pub use table::{
    ALL, auth, cluster, election, health, kv, lease, lock, maintenance, reflection,
    reflection_v1alpha, watch,
};

/// Which side of a call sends a stream of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    /// One request, one answer.
    Unary,
    /// One request, a stream of answers.
    ServerStream,
    /// A stream each way.
    Bidi,
}

/// What a repetition does when it is not certain that the first attempt was not applied.
///
/// A call that certainly was not applied may be repeated whatever its class; see
/// [`ServerError::applied`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// The call changes nothing that anyone keeps: a repetition is as good as the first attempt.
    Read,
    /// The call changes state, and a late repetition leaves the same state, whatever others did in
    /// between. Its answer may be [`MethodInfo::done`] where the first attempt's would have been a
    /// success.
    Repeatable,
    /// The call changes state, and a repetition might change it again: it may be repeated only when
    /// the first attempt certainly was not applied.
    Write,
}

/// What the time of a call depends on, and so which deadline is right for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Patience {
    /// A member's memory, and at most a question to the quorum.
    Read,
    /// A round through the raft log, with the disks of a quorum.
    Write,
    /// A change of the cluster or of its users, which may wait for members to catch up or for a
    /// password to be hashed.
    Admin,
    /// The size of the data, or somebody else who holds a lock: only the caller knows how long.
    Long,
    /// A stream, which has no end to wait for. What tells that it lives is its messages and the
    /// connection below it.
    Stream,
}

/// What there is to know of an RPC besides its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MethodInfo {
    /// The path of the HTTP/2 request, such as `/etcdserverpb.KV/Range`.
    pub path: &'static str,
    /// The service with its package, such as `etcdserverpb.KV`.
    pub service: &'static str,
    /// The RPC's name, such as `Range`.
    pub name: &'static str,
    /// Which sides stream.
    pub shape: Shape,
    /// What a repetition does.
    pub class: Class,
    /// What its time depends on.
    pub patience: Patience,
    /// The error that a repetition answers with when an earlier attempt has done the work.
    pub done: Option<ServerError>,
}

impl MethodInfo {
    /// The RPC with this path.
    pub fn by_path(path: &str) -> Option<&'static Self> {
        ALL.iter().find(|info| info.path == path)
    }
}

/// An RPC with the types of its messages.
pub struct Method<Req, Res> {
    info: MethodInfo,
    messages: PhantomData<fn(Req) -> Res>,
}

impl<Req, Res> Method<Req, Res> {
    /// An RPC that takes `Req` and answers with `Res`.
    pub const fn new(info: MethodInfo) -> Self {
        Self { info, messages: PhantomData }
    }

    /// What there is to know besides the messages.
    pub const fn info(&self) -> MethodInfo {
        self.info
    }

    /// The path of the HTTP/2 request.
    pub const fn path(&self) -> &'static str {
        self.info.path
    }

    /// Which sides stream.
    pub const fn shape(&self) -> Shape {
        self.info.shape
    }

    /// What a repetition does.
    pub const fn class(&self) -> Class {
        self.info.class
    }

    /// What its time depends on.
    pub const fn patience(&self) -> Patience {
        self.info.patience
    }
}

// Derived, these would ask the same of the messages.
impl<Req, Res> Clone for Method<Req, Res> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<Req, Res> Copy for Method<Req, Res> {}

impl<Req, Res> fmt::Debug for Method<Req, Res> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Method").field(&self.info).finish()
    }
}
