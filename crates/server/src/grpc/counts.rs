//! How many calls there were of each method, and how they ended.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use etcdkit_proto::Code;
use etcdkit_proto::method::{ALL, MethodInfo};

use super::PREFIX;
use crate::histogram::Histogram;
use crate::node::Node;

/// gRPC's codes are 0 to 16.
const CODES: usize = 17;

/// A method's place in the table of all.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place(usize);

impl Place {
    pub(super) fn of(path: &str) -> Option<Self> {
        static PLACES: OnceLock<HashMap<&'static str, usize>> = OnceLock::new();
        let places = PLACES.get_or_init(|| {
            ALL.iter().enumerate().map(|(place, info)| (info.path, place)).collect()
        });
        places.get(path).copied().map(Self)
    }

    pub(super) fn info(self) -> Option<&'static MethodInfo> {
        ALL.get(self.0)
    }
}

/// The counters of a server for what speaks gRPC.
#[derive(Debug)]
pub(crate) struct Counts {
    methods: Vec<Method>,
    /// Bytes of all connections of gRPC.
    pub(crate) received: AtomicU64,
    pub(crate) sent: AtomicU64,
}

#[derive(Debug)]
struct Method {
    started: AtomicU64,
    handled: [AtomicU64; CODES],
    received: AtomicU64,
    sent: AtomicU64,
    /// How long calls took.
    took: Histogram,
}

impl Default for Method {
    fn default() -> Self {
        let (started, handled, received, sent) = Default::default();
        Self { started, handled, received, sent, took: Histogram::new(&TOOK) }
    }
}

/// The bounds that gRPC's own exporters have, in seconds.
static TOOK: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// What there is to know of a method's calls.
#[derive(Debug)]
pub(crate) struct Calls<'a, I> {
    pub(crate) info: &'static MethodInfo,
    pub(crate) started: u64,
    /// How many ended with which code.
    pub(crate) handled: I,
    pub(crate) received: u64,
    pub(crate) sent: u64,
    pub(crate) took: &'a Histogram,
}

/// Counts the messages of a call.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    node: Arc<Node>,
    place: Option<Place>,
}

impl Tally {
    pub(super) const fn new(node: Arc<Node>, place: Option<Place>) -> Self {
        Self { node, place }
    }

    /// What the method is, if there is one of that name.
    pub(super) fn info(&self) -> Option<&'static MethodInfo> {
        self.place?.info()
    }

    fn method(&self) -> Option<&Method> {
        self.node.counts.methods.get(self.place?.0)
    }

    pub(super) fn received(&self) {
        if let Some(method) = self.method() {
            method.received.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts the messages in bytes of which each has its prefix.
    pub(super) fn sent(&self, mut framed: &[u8]) {
        let mut messages = 0;
        while let Some((&[_, length @ ..], rest)) = framed.split_first_chunk::<PREFIX>() {
            messages += 1;
            framed = rest.get(u32::from_be_bytes(length) as usize..).unwrap_or_default();
        }
        if let Some(method) = self.method() {
            method.sent.fetch_add(messages, Ordering::Relaxed);
        }
    }
}

impl Default for Counts {
    fn default() -> Self {
        let methods = ALL.iter().map(|_| Method::default()).collect();
        Self { methods, received: AtomicU64::new(0), sent: AtomicU64::new(0) }
    }
}

impl Counts {
    pub(super) fn started(&self, place: Option<Place>) {
        if let Some(method) = place.and_then(|place| self.methods.get(place.0)) {
            method.started.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn handled(&self, place: Option<Place>, code: Code, took: Duration) {
        let Some(method) = place.and_then(|place| self.methods.get(place.0)) else { return };
        if let Some(count) = method.handled.get(code as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        method.took.observe(took);
    }

    /// Each method with its calls.
    pub(crate) fn all(&self) -> impl Iterator<Item = Calls<'_, impl Iterator<Item = (Code, u64)>>> {
        ALL.iter().zip(&self.methods).map(|(info, method)| {
            let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
            let handled = method.handled.iter().zip(0..);
            let handled = handled.map(move |(count, code)| (Code::from_i32(code), load(count)));
            Calls {
                info,
                started: load(&method.started),
                handled: handled.filter(|(_, count)| *count > 0),
                received: load(&method.received),
                sent: load(&method.sent),
                took: &method.took,
            }
        })
    }
}
