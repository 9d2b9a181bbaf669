//! How many calls there were of each method, and how they ended.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use etcdkit_proto::Code;
use etcdkit_proto::method::{ALL, MethodInfo};

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

#[derive(Debug, Default)]
struct Method {
    started: AtomicU64,
    handled: [AtomicU64; CODES],
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

    pub(super) fn handled(&self, place: Option<Place>, code: Code) {
        let method = place.and_then(|place| self.methods.get(place.0));
        if let Some(count) = method.and_then(|method| method.handled.get(code as usize)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Each method with how many calls began, and how many ended with which code.
    pub(crate) fn all(
        &self,
    ) -> impl Iterator<Item = (&'static MethodInfo, u64, impl Iterator<Item = (Code, u64)>)> {
        ALL.iter().zip(&self.methods).map(|(info, method)| {
            let ended = method.handled.iter().zip(0..);
            let ended =
                ended.map(|(count, code)| (Code::from_i32(code), count.load(Ordering::Relaxed)));
            let started = method.started.load(Ordering::Relaxed);
            (info, started, ended.filter(|(_, count)| *count > 0))
        })
    }
}
