//! The task that keeps leases alive over one stream, and the way to it.
//!
//! It runs while somebody holds a lease, and ends with the last holder or with the channel. Holders send it commands
//! and never wait for it; what they learn is in their [`Seat`].

use std::collections::HashMap;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};

use etcdkit_proto::method::{self, MethodInfo, Patience};
use futures_core::Stream;
use tokio::sync::Notify;

use super::control::{LeaseControl, LossReason};
use super::machine::{Fault, Machine};
use super::seat::Seat;
use crate::clock::{self, Instant};
use crate::error::{Error, ErrorKind, Result, ServerError};
use crate::hash::Numbers;
use crate::metadata::Metadata;
use crate::request::KeepAlive;
use crate::response::LeaseRenewal;
use crate::revision::LeaseId;
use crate::service::{CallOptions, Streaming};
use crate::task::{self, Either, Task, race};
use crate::transport::{Channel, Shared, Transport};

/// What a channel has of this: its task ends with it.
pub(super) struct Keeper {
    core: Arc<Core>,
    task: Option<Task>,
}

/// What holders and the task share.
pub(super) struct Core {
    inbox: Mutex<Inbox>,
    /// Told of every change of the inbox.
    pub(super) wake: Notify,
}

#[derive(Default)]
struct Inbox {
    /// One or two for each holder at most.
    commands: Vec<Command>,
    running: bool,
    closed: bool,
}

pub(super) enum Command {
    Join(Arc<Seat>),
    Leave(Arc<Seat>),
    /// This client has ended the lease.
    Revoked(LeaseId),
}

impl Core {
    /// Leaves a command for the task, if there is one. Whether there is.
    pub(super) fn submit(&self, command: Command) -> bool {
        let running = {
            let mut inbox = self.lock();
            if inbox.running {
                inbox.commands.push(command);
            }
            inbox.running
        };
        self.wake.notify_one();
        running
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Keeper {
    pub(super) fn new() -> Self {
        let core = Core { inbox: Mutex::default(), wake: Notify::new() };
        Self { core: Arc::new(core), task: None }
    }

    /// Whether somebody holds a lease.
    pub(super) fn is_running(&self) -> bool {
        self.core.lock().running
    }

    /// Ends the stream of every holder.
    pub(super) fn close(&self) {
        self.core.lock().closed = true;
        self.core.wake.notify_one();
    }

    /// This client has ended a lease.
    pub(super) fn revoked(&self, id: LeaseId) {
        self.core.submit(Command::Revoked(id));
    }

    /// Takes a seat; starts the task if it is the first.
    pub(super) fn join<T: Transport>(
        &mut self,
        channel: &Channel<T>,
        metadata: &Metadata,
        id: LeaseId,
        require_leader: bool,
    ) -> Arc<Seat> {
        let seat = Arc::new(Seat::new(id, require_leader, Arc::clone(&self.core)));
        let start = {
            let mut inbox = self.core.lock();
            inbox.commands.push(Command::Join(Arc::clone(&seat)));
            !std::mem::replace(&mut inbox.running, true)
        };
        if start {
            let core = Arc::clone(&self.core);
            let driver = Driver::new(core, channel.downgrade(), metadata.clone());
            self.task = Some(task::spawn(driver.run()));
        }
        self.core.wake.notify_one();
        seat
    }
}

/// Opens the stream of one holder; its first renewal is there when this returns.
pub(crate) async fn keep_alive<T: Transport>(
    channel: &Channel<T>,
    request: KeepAlive,
    options: &CallOptions,
) -> Result<Streaming<LeaseRenewal, LeaseControl>> {
    let info = MethodInfo { patience: Patience::Write, ..method::lease::KEEP_ALIVE.info() };
    if options.endpoint.is_some() {
        let message =
            "renewals move from member to member: a lease can't be kept alive at one endpoint";
        return Err(Error::unsupported(message).with_rpc(info.path));
    }
    let pool = channel.pool(options)?;
    let (deadline, required) = channel.prepare(&pool, info, false, options).terms();
    drop(pool);
    let require_leader = request.requires_leader() || required;
    let joined = channel.leases().join(channel, &options.metadata, &request, require_leader);
    let seat = joined.map_err(|error| error.with_rpc(info.path))?;
    // From here on the seat is given up if this future is dropped.
    let holder = Holder { seat: Arc::clone(&seat), channel: channel.clone() };
    match clock::until(deadline, seat.first()).await {
        Some(first) => first?,
        None => {
            let failures = channel.stream_failures();
            let kind =
                if failures.is_empty() { ErrorKind::Timeout } else { ErrorKind::Unavailable };
            return Err(Error::new(kind, "the lease was not renewed before the deadline")
                .with_rpc(info.path)
                .with_attempts(failures));
        }
    }
    Ok(Streaming::with_control(holder, LeaseControl::new(seat)))
}

/// The stream of one holder. Dropping it gives the seat up.
struct Holder<T: Transport> {
    seat: Arc<Seat>,
    /// Keeps the channel up.
    #[expect(dead_code, reason = "held, never read")]
    channel: Channel<T>,
}

impl<T: Transport> Stream for Holder<T> {
    type Item = Result<LeaseRenewal>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.seat.poll_next(cx)
    }
}

impl<T: Transport> Drop for Holder<T> {
    fn drop(&mut self) {
        self.seat.leave();
    }
}

/// The task: the machine, the seats, and what happens to the stream.
pub(super) struct Driver<T: Transport> {
    pub(super) core: Arc<Core>,
    channel: Weak<Shared<T>>,
    /// What all requests on the stream say beside themselves.
    metadata: Metadata,
    pub(super) machine: Machine,
    seats: HashMap<LeaseId, Vec<Arc<Seat>>, Numbers>,
    /// Why the last stream broke, or none could be opened.
    trouble: Option<Error>,
    /// When a token was replaced last.
    renewed: Option<Instant>,
    /// Scratch for the machine's answers.
    ended: Vec<LeaseId>,
    /// It has ended of itself, and what is in the inbox from then on is for the next one.
    rested: bool,
}

/// A token that is refused this soon after it was fetched is not the trouble.
const TOKEN_REST: std::time::Duration = std::time::Duration::from_secs(5);

/// Whether there is more to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Going {
    On,
    /// Nobody holds a lease any more.
    Idle,
}

impl<T: Transport> Driver<T> {
    fn new(core: Arc<Core>, channel: Weak<Shared<T>>, metadata: Metadata) -> Self {
        Self {
            core,
            channel,
            metadata,
            machine: Machine::new(clock::now(), clock::rng()),
            seats: HashMap::default(),
            trouble: None,
            renewed: None,
            ended: Vec::new(),
            rested: false,
        }
    }

    async fn run(mut self) {
        loop {
            self.attend(clock::now());
            let Some(at) = self.machine.open_at() else {
                if self.rest() {
                    return;
                }
                continue;
            };
            if at > clock::now() {
                self.wait(Some(at)).await;
                continue;
            }
            self.open_and_serve().await;
        }
    }

    /// Ends the task, unless somebody has come meanwhile.
    fn rest(&mut self) -> bool {
        debug_assert!(self.machine.is_empty(), "a stream that nobody serves counts as open");
        let mut inbox = self.core.lock();
        inbox.running = !inbox.commands.is_empty();
        self.rested = !inbox.running;
        self.rested
    }

    /// Waits for a command, for a lease to run out, or until `at`.
    async fn wait(&self, at: Option<Instant>) {
        let at = at.into_iter().chain(self.machine.next_end()).min();
        let _ = clock::until(at, self.core.wake.notified()).await;
    }

    /// Carries out commands and lets go of leases that have run out.
    pub(super) fn attend(&mut self, now: Instant) -> Going {
        let (commands, closed) = {
            let mut inbox = self.core.lock();
            (std::mem::take(&mut inbox.commands), inbox.closed)
        };
        for command in commands {
            match command {
                Command::Join(seat) => self.join(seat, now),
                Command::Leave(seat) => self.leave(&seat),
                Command::Revoked(id) => self.lose(id, LossReason::Revoked, None),
            }
        }
        if closed {
            self.lose_all(LossReason::Closed, None);
        }
        let mut ended = std::mem::take(&mut self.ended);
        self.machine.ended(now, &mut ended);
        for id in ended.drain(..) {
            let cause = self.trouble.clone();
            self.lose(id, LossReason::Expired, cause.as_ref());
        }
        self.ended = ended;
        if self.machine.is_empty() { Going::Idle } else { Going::On }
    }

    fn join(&mut self, seat: Arc<Seat>, now: Instant) {
        // Given up before it was taken.
        if seat.has_ended() {
            return;
        }
        let id = seat.id();
        self.machine.join(id, now);
        let seats = self.seats.entry(id).or_default();
        // What the others know holds for this one too.
        let known = seats.iter().find_map(|other| other.renewal());
        if let Some(renewal) = known {
            seat.renewed(renewal);
        }
        seats.push(seat);
    }

    fn leave(&mut self, seat: &Arc<Seat>) {
        let id = seat.id();
        let Some(seats) = self.seats.get_mut(&id) else { return };
        seats.retain(|other| !Arc::ptr_eq(other, seat));
        if seats.is_empty() {
            self.seats.remove(&id);
            self.machine.leave(id);
        }
    }

    /// Tells the holders of a lease.
    pub(super) fn renewed(&self, renewal: LeaseRenewal) {
        for seat in self.seats.get(&renewal.id).into_iter().flatten() {
            seat.renewed(renewal);
        }
    }

    /// Ends a lease for all its holders.
    pub(super) fn lose(&mut self, id: LeaseId, reason: LossReason, cause: Option<&Error>) {
        self.machine.leave(id);
        for seat in self.seats.remove(&id).into_iter().flatten() {
            seat.end(reason, cause);
        }
    }

    fn lose_all(&mut self, reason: LossReason, cause: Option<&Error>) {
        for (id, seats) in std::mem::take(&mut self.seats) {
            self.machine.leave(id);
            for seat in seats {
                seat.end(reason, cause);
            }
        }
    }

    /// Ends what was asked to end when there is no leader.
    fn lose_leader(&mut self, cause: &Error) {
        let machine = &mut self.machine;
        self.seats.retain(|id, seats| {
            seats.retain(|seat| {
                if seat.require_leader {
                    seat.end(LossReason::NoLeader, Some(cause));
                }
                !seat.require_leader
            });
            if seats.is_empty() {
                machine.leave(*id);
            }
            !seats.is_empty()
        });
    }

    /// The output of `future`, with holders and their times attended to until then; `None` if the last holder leaves.
    async fn meanwhile<F: Future>(&mut self, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        loop {
            match race(future.as_mut(), self.wait(None)).await {
                Either::First(output) => return Some(output),
                Either::Second(()) => {
                    if self.attend(clock::now()) == Going::Idle {
                        return None;
                    }
                }
            }
        }
    }

    async fn open_and_serve(&mut self) {
        let Some(channel) = Channel::upgrade(&self.channel) else {
            return self.lose_all(LossReason::Closed, None);
        };
        // A member without a leader could only let the leases run out: every stream asks to be told.
        let options = CallOptions::new().metadata(self.metadata.clone()).require_leader();
        let opening = channel.duplex(method::lease::KEEP_ALIVE.info(), &options);
        let Some(opened) = self.meanwhile(opening).await else { return };
        match opened {
            Ok(duplex) => {
                // The holders keep the channel up; this task must not.
                drop(channel);
                self.machine.opened();
                self.serve(duplex).await;
                // Nobody may be left who would have it opened again, and somebody may come before that is noticed.
                self.machine.put_away(clock::now());
            }
            Err(error) => self.broken(error, None).await,
        }
    }

    /// The stream broke, or could not be opened: decides for whom it is over. `token` is that of the stream.
    pub(super) async fn broken(&mut self, error: Error, token: Option<u64>) {
        tracing::debug!(%error, "the stream that keeps leases alive broke");
        let learner = error.server_error() == Some(ServerError::NotSupportedForLearner);
        let fault = match error.kind() {
            ErrorKind::Closed => return self.lose_all(LossReason::Closed, None),
            ErrorKind::ClusterChanged => {
                return self.lose_all(LossReason::ClusterChanged, Some(&error));
            }
            ErrorKind::Unsupported if !learner => {
                return self.lose_all(LossReason::Unsupported, Some(&error));
            }
            ErrorKind::NoLeader => {
                self.lose_leader(&error);
                Fault::Passing
            }
            ErrorKind::PermissionDenied => Fault::Refused,
            ErrorKind::Unauthenticated => match self.renew_token(&error, token).await {
                Ok(fault) => fault,
                Err(error) => return self.lose_all(LossReason::Unauthenticated, Some(&error)),
            },
            _ => Fault::Passing,
        };
        if let Some(refused) = self.machine.broken(fault, clock::now()) {
            let reason = match error.kind() {
                ErrorKind::Unauthenticated => LossReason::Unauthenticated,
                _ => LossReason::PermissionDenied,
            };
            self.lose(refused, reason, Some(&error));
        }
        self.trouble = Some(error);
    }

    /// Gets another token, once.
    async fn renew_token(&mut self, error: &Error, token: Option<u64>) -> Result<Fault> {
        // The stream could not even be opened for it: the call has tried another token already.
        let Some(token) = token else { return Err(error.clone()) };
        let Some(channel) = Channel::upgrade(&self.channel) else { return Ok(Fault::Passing) };
        let now = clock::now();
        let recent = self.renewed.is_some_and(|at| now.duration_since(at) < TOKEN_REST);
        if !channel.can_authenticate() || recent {
            let outdated = error.server_error() == Some(ServerError::AuthOldRevision);
            return Ok(if outdated { Fault::Passing } else { Fault::Refused });
        }
        let deadline = now + channel.config().timeouts.connect;
        let renewing = channel.renew_token(Some(deadline), token);
        match self.meanwhile(renewing).await {
            Some(Err(refusal)) if refusal.kind() == ErrorKind::Unauthenticated => Err(refusal),
            Some(Ok(())) => {
                self.renewed = Some(clock::now());
                Ok(Fault::Passing)
            }
            // Without another token the old one is tried again, and refused again, until there is one.
            _ => Ok(Fault::Passing),
        }
    }

    /// The channel, while somebody holds it.
    pub(super) fn channel(&self) -> Option<Channel<T>> {
        Channel::upgrade(&self.channel)
    }

    /// All is well again.
    pub(super) fn recovered(&mut self) {
        self.trouble = None;
    }
}

impl<T: Transport> Drop for Driver<T> {
    /// Also reached when the runtime ends: nobody is left waiting.
    fn drop(&mut self) {
        if self.rested {
            return;
        }
        self.lose_all(LossReason::Closed, None);
        let left = {
            let mut inbox = self.core.lock();
            inbox.running = false;
            std::mem::take(&mut inbox.commands)
        };
        for command in left {
            if let Command::Join(seat) = command {
                seat.end(LossReason::Closed, None);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::H2;

    /// A task that has ended of itself told whoever came next that it was over, and no longer heard who left.
    #[test]
    fn a_task_that_rests_leaves_alone_what_is_for_the_next() {
        let core = Arc::new(Core { inbox: Mutex::default(), wake: Notify::new() });
        let driver = || Driver::<H2>::new(Arc::clone(&core), Weak::new(), Metadata::new());
        let join = || {
            let seat = Arc::new(Seat::new(LeaseId::new(7).unwrap(), false, Arc::clone(&core)));
            core.lock().running = true;
            core.lock().commands.push(Command::Join(Arc::clone(&seat)));
            seat
        };
        let mut first = driver();
        assert!(first.rest());
        let seat = join();
        let mut next = driver();
        assert!(!next.rest());
        drop(first);
        assert!(!seat.has_ended());
        assert_eq!(next.attend(clock::now()), Going::On);
        assert!(core.submit(Command::Leave(seat)), "somebody hears that");
        assert_eq!(next.attend(clock::now()), Going::Idle);
        // One that is ended tells who waits.
        let seat = join();
        drop(next);
        assert!(seat.has_ended());
        assert!(!core.submit(Command::Leave(seat)));
    }
}
