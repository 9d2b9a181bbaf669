//! The keepers of one channel: one for each set of metadata that leases are kept alive with.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::keeper::Keeper;
use super::seat::Seat;
use crate::error::{Error, Result};
use crate::metadata::Metadata;
use crate::request::KeepAlive;
use crate::revision::LeaseId;
use crate::transport::{Channel, Transport};

/// What keeps leases alive, with the tasks behind it. They end with it.
#[derive(Default)]
pub(crate) struct Keepers(Mutex<State>);

#[derive(Default)]
struct State {
    closed: bool,
    entries: Vec<(Metadata, Keeper)>,
}

impl Keepers {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a seat at the keeper for `metadata`, which is made if there is none.
    pub(super) fn join<T: Transport>(
        &self,
        channel: &Channel<T>,
        metadata: &Metadata,
        request: &KeepAlive,
        require_leader: bool,
    ) -> Result<Arc<Seat>> {
        let mut state = self.lock();
        if state.closed {
            return Err(Error::closed());
        }
        state.entries.retain(|(of, keeper)| of == metadata || keeper.is_running());
        if !state.entries.iter().any(|(of, _)| of == metadata) {
            state.entries.push((metadata.clone(), Keeper::new()));
        }
        let keeper = state.entries.iter_mut().find(|(of, _)| of == metadata);
        let (metadata, keeper) = keeper.expect("it was there or has just been added");
        Ok(keeper.join(channel, metadata, request.lease_id(), require_leader))
    }

    /// This client has ended a lease.
    pub(super) fn revoked(&self, id: LeaseId) {
        for (_, keeper) in &self.lock().entries {
            keeper.revoked(id);
        }
    }

    /// Ends the stream of every holder.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        for (_, keeper) in &state.entries {
            keeper.close();
        }
    }
}
