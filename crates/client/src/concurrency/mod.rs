//! Locks, elections and transactions in memory, made of what any client can do: keys, leases and watches.
//!
//! * [`Session`]: a lease that is kept alive, and what ends with it.
//! * [`Mutex`] and [`RwMutex`]: locks, held by a [`Guard`].
//! * [`Election`]: who leads, told by a [`Leadership`]; [`Leaders`] tells the others.
//! * [`Barrier`] and [`DoubleBarrier`], [`Queue`] and [`PriorityQueue`]: Go's recipes.
//! * [`Client::stm`](crate::Client::stm): code that reads and writes as if it were alone.
//!
//! The keys are those of the packages of etcd's Go client with the same names, so that programs of both kinds wait for
//! each other.
//!
//! # What a lock in a cluster can promise
//!
//! A holder that sleeps too long, or that nobody can reach, loses its lease, and with it the lock, and does not know it
//! yet. So that nobody acts on a lock that is lost, let the store decide: make the changes that need the lock by
//! [`Guard::txn`], which does them only if the lock is held at that very revision, or send
//! [`Guard::fencing_token`], which grows from holder to holder, to whatever is protected, and have it refuse older ones.
//! [`Guard::lost`] tells early that it is time to stop; it can't tell in time.
//!
//! # Who waits
//!
//! By default this client does: it watches the key before its own. [`Mutex::on_server`] and [`Election::on_server`] have
//! the server wait instead, by etcd's own lock and election services: one call in place of a watch, for programs that can
//! have no watches, or thousands of waiters on one connection. What is held is held in the same way, and both kinds wait
//! for each other.
//!
//! What a session holds, it holds as one: tasks that are to exclude each other need a session each.

mod barrier;
mod cleaner;
mod double_barrier;
mod election;
mod guard;
mod leaders;
mod mutex;
mod places;
mod queue;
mod rw_mutex;
mod served;
mod session;
mod stm;
mod turn;
mod waiting;

pub(crate) use waiting::missing;

pub use barrier::Barrier;
pub use double_barrier::{DoubleBarrier, Inside};
pub use election::{Election, Leadership};
pub use guard::{Guard, Loss};
pub use leaders::Leaders;
pub use mutex::Mutex;
pub use queue::{PriorityQueue, Queue};
pub use rw_mutex::RwMutex;
pub use session::{Session, SessionOptions};
pub use stm::{Committed, Isolation, Stm, StmConflict, StmOptions};
