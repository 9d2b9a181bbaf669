//! The service at the bottom of every client: a cluster, reached over connections.

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use etcdkit_proto::method::{Class, Method, MethodInfo, Patience};
use etcdkit_proto::{HasHeader, WireMessage};
use tokio::sync::{mpsc, oneshot, watch};

use super::balancer::{
    Balancer, Candidates, EndpointState, EndpointStates, EndpointStatus, SlotId, Want,
};
use super::call::{self, Call};
use super::driver::{Context, Driver, Event, Handles, PickerOf};
use super::grpc::H2;
use super::identity::{self, Identity};
use super::link::{self, Link};
use super::retry::Budget;
use super::token::Tokens;
use super::traits::Transport;
use crate::clock::{self, Instant};
use crate::config::{Balance, Config, Endpoint, Endpoints, RetryPolicy};
use crate::error::{Attempt, Error, ErrorKind, Result};
use crate::request::{Request, StreamRequest};
use crate::response::ResponseHeader;
use crate::service::{CallOptions, Service, Streaming, unfold};
use crate::sync;
use crate::task::{self, Task};

/// A request that is exactly one unary RPC: what the channel needs to send it.
pub(crate) trait Unary: Request {
    type Wire: WireMessage;
    type Answer: WireMessage + HasHeader;
    const METHOD: Method<Self::Wire, Self::Answer>;

    /// The message to send.
    fn wire(&self) -> &Self::Wire;

    /// Refuses what makes no sense before it costs a round trip.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// What a repetition does; a transaction that only reads is a read.
    fn class(&self) -> Class {
        Self::METHOD.class()
    }

    /// What its time depends on.
    fn patience(&self) -> Patience {
        Self::METHOD.patience()
    }

    /// Whether any member, a learner too, may answer from its own state.
    fn serializable(&self) -> bool {
        false
    }

    fn decode(answer: Self::Answer) -> Result<Self::Response>;
}

/// A cluster, reached over connections that it keeps up by itself. Cheap to clone.
///
/// Connections are opened when the first call wants one. When the last clone is dropped, they are closed; see
/// [`Client::close`](crate::Client::close) for ending it with calls under way.
pub struct Channel<T: Transport = H2> {
    shared: Arc<Shared<T>>,
}

/// What all clones of a channel share; the tasks end with it.
pub(crate) struct Shared<T: Transport> {
    context: Arc<Context<T>>,
    budget: Budget,
    events: mpsc::Sender<Event<T::Connection>>,
    picker: watch::Receiver<Arc<PickerOf<T>>>,
    /// The driver until it is started.
    dormant: Mutex<Option<Driver<T>>>,
    /// The driver and the synchronisation of endpoints, once started.
    tasks: OnceLock<[Option<Task>; 2]>,
    endpoints: Mutex<Endpoints>,
    closed: AtomicBool,
}

impl<T: Transport> Clone for Channel<T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<T: Transport> fmt::Debug for Channel<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel").field("endpoints", &self.endpoints()).finish_non_exhaustive()
    }
}

impl<T: Transport> Channel<T> {
    /// A channel that has not connected yet.
    pub(crate) fn new(transport: T, config: Config) -> Result<Self> {
        let balancer = Balancer::new(
            &config.endpoints,
            config.limits.connections_per_endpoint,
            matches!(config.balance, Balance::PickFirst),
            config.reconnect.clone(),
            clock::rng(),
        );
        let budget = Budget::new(&config.retry, clock::now());
        let endpoints = Mutex::new(config.endpoints.clone());
        let context = Arc::new(Context {
            transport,
            identity: Identity::default(),
            tokens: Tokens::new(config.credentials.clone())?,
            config,
        });
        let (driver, Handles { events, picker }) = Driver::new(Arc::clone(&context), balancer);
        Ok(Self {
            shared: Arc::new(Shared {
                context,
                budget,
                events,
                picker,
                dormant: Mutex::new(Some(driver)),
                tasks: OnceLock::new(),
                endpoints,
                closed: AtomicBool::new(false),
            }),
        })
    }

    /// The channel, if anyone still holds it.
    pub(crate) fn upgrade(shared: &Weak<Shared<T>>) -> Option<Self> {
        Some(Self { shared: shared.upgrade()? })
    }

    /// One RPC whose messages are etcd's own.
    pub(crate) async fn raw<Req, Res>(
        &self,
        method: Method<Req, Res>,
        request: &Req,
        options: &CallOptions,
    ) -> Result<Res>
    where
        Req: WireMessage,
        Res: WireMessage + HasHeader,
    {
        let call = self.prepare(method.info(), false, options);
        self.exchange(&call, request, false).await
    }

    pub(crate) async fn unary<R: Unary>(
        &self,
        request: R,
        options: &CallOptions,
    ) -> Result<R::Response> {
        request.check().map_err(|error| error.with_rpc(R::METHOD.path()))?;
        let serializable = request.serializable();
        let method =
            MethodInfo { class: request.class(), patience: request.patience(), ..R::METHOD.info() };
        let call = self.prepare(method, serializable, options);
        // The revision in other answers' headers is that of the member, which may lag behind.
        let linearizable = !serializable && R::METHOD.info().service == "etcdserverpb.KV";
        let answer: R::Answer = self.exchange(&call, request.wire(), linearizable).await?;
        R::decode(answer).map_err(|error| {
            error.with_rpc(R::METHOD.path()).with_maybe_applied(call.method.class != Class::Read)
        })
    }

    /// Sends `request`, decodes the answer and checks whose it is.
    pub(crate) async fn exchange<Req: WireMessage, Res: WireMessage + HasHeader>(
        &self,
        call: &Call,
        request: &Req,
        linearizable: bool,
    ) -> Result<Res> {
        let message = self.frame(request, call)?;
        let mark = self.shared.context.identity.mark();
        let answer = self.run(call, message).await?;
        let answer: Res = self.decode(answer, call)?;
        if let Some(header) = answer.header() {
            let header = ResponseHeader::from(header.clone());
            self.shared.context.identity.check(&header, linearizable, mark).map_err(|error| {
                error
                    .with_rpc(call.method.path)
                    .with_maybe_applied(call.method.class != Class::Read)
            })?;
        }
        Ok(answer)
    }

    /// A call of `method`, with the deadline of its kind unless `options` say otherwise.
    pub(crate) fn prepare(
        &self,
        method: MethodInfo,
        serializable: bool,
        options: &CallOptions,
    ) -> Call {
        let config = self.config();
        let default = match method.patience {
            Patience::Read => Some(config.timeouts.read),
            Patience::Write => Some(config.timeouts.write),
            Patience::Admin => Some(config.timeouts.admin),
            Patience::Long => Some(config.timeouts.long),
            Patience::Stream => None,
        };
        let started = clock::now();
        Call {
            method,
            serializable,
            started,
            deadline: call::deadline(options.timeout, default, started),
            retry: options.retry.unwrap_or(config.retry.max_attempts > 1),
            require_leader: options.require_leader || config.require_leader,
            metadata: config.metadata.joined(&options.metadata),
            authenticated: true,
        }
    }

    /// A ready connection for a call, if there is one now.
    pub(super) fn pick(
        &self,
        want: Want<'_>,
        now: Instant,
    ) -> Result<Option<Arc<Link<T::Connection>>>> {
        let picker = self.shared.picker.borrow();
        if picker.closed || self.is_closed() {
            return Err(Error::closed());
        }
        Ok(picker.pick(want, now).cloned())
    }

    /// Waits until there is a ready connection for a call.
    pub(super) async fn wait_for_link(&self, want: Want<'_>) -> Result<Arc<Link<T::Connection>>> {
        let mut picker = self.shared.picker.clone();
        loop {
            picker.mark_unchanged();
            if let Some(link) = self.pick(want, clock::now())? {
                return Ok(link);
            }
            if let Some(error) = self.hopeless() {
                return Err(error);
            }
            self.wake().await?;
            if picker.changed().await.is_err() {
                return Err(abandoned());
            }
        }
    }

    /// The ready connections to `endpoint`.
    pub(super) fn slots_of(&self, endpoint: &Endpoint) -> Vec<SlotId> {
        let picker = self.shared.picker.borrow();
        let same = picker.links.iter().filter(|link| link.endpoint == *endpoint);
        same.map(|link| link.slot).collect()
    }

    /// Whether a connection that a call was not unlucky with is ready.
    pub(super) fn has_untried(&self, want: Want<'_>) -> bool {
        let picker = self.shared.picker.borrow();
        picker
            .links
            .iter()
            .any(|link| !want.avoid.contains(&link.slot) && (want.learner || !link.is_learner()))
    }

    /// An error, if no amount of waiting will make a member ready: every endpoint fails for a reason that time does not
    /// mend.
    fn hopeless(&self) -> Option<Error> {
        let picker = self.shared.picker.borrow();
        if !picker.hopeless {
            return None;
        }
        let kind = match picker.failures.first().map(Attempt::cause) {
            Some(crate::error::Cause::OtherCluster(_)) => ErrorKind::ClusterChanged,
            _ => ErrorKind::Unavailable,
        };
        Some(Error::new(kind, "no endpoint can be used").with_attempts(picker.failures.clone()))
    }

    /// Tells the driver, starting it if need be, that someone wants a connection.
    async fn wake(&self) -> Result<()> {
        self.start();
        self.shared.events.send(Event::Wake).await.map_err(|_| abandoned())
    }

    fn start(&self) {
        self.shared.tasks.get_or_init(|| {
            let driver = self.shared.dormant.lock().unwrap_or_else(PoisonError::into_inner).take();
            let shared = Arc::downgrade(&self.shared);
            [
                driver.map(|driver| task::spawn(driver.run())),
                self.config()
                    .auto_sync
                    .map(|interval| task::spawn(sync::keep_synchronised(shared, interval))),
            ]
        });
    }

    /// Waits for one ready member, a token if one is needed, and for members new enough if that is asked for.
    pub(crate) async fn connect(&self) -> Result<()> {
        self.connected().await?;
        let deadline = Some(clock::now() + self.config().timeouts.connect);
        if self.tokens().is_wanting() {
            self.renew_token(deadline, 0).await?;
        }
        if self.config().reject_old_cluster {
            self.check_versions().await?;
        }
        Ok(())
    }

    /// Fails if a member that can be reached is older than the oldest that this client supports.
    async fn check_versions(&self) -> Result<()> {
        self.all_tried().await;
        let links = self.shared.picker.borrow().links.clone();
        let token = self.tokens().current();
        for link in links {
            let asked = link::introduce(&link.connection, token.as_ref().map(|token| &token.value));
            let deadline = Some(clock::now() + self.config().timeouts.connect);
            let (about, _) = clock::until(deadline, asked).await.unwrap_or_default();
            let version = about.version.as_deref().unwrap_or_default();
            if identity::is_too_old(version) {
                return Err(Error::unsupported(format!(
                    "{} runs etcd {version}; this client was told to reject what is older than {}",
                    link.endpoint,
                    identity::OLDEST
                )));
            }
        }
        Ok(())
    }

    /// Waits until every endpoint is ready or has failed.
    async fn all_tried(&self) {
        let deadline = Some(clock::now() + self.config().timeouts.connect);
        let mut picker = self.shared.picker.clone();
        let tried = picker.wait_for(|picker| {
            let tried = |state: &EndpointState| {
                matches!(state.status(), EndpointStatus::Ready | EndpointStatus::Failed(_))
            };
            picker.closed || picker.states.iter().all(tried)
        });
        // What takes longer counts as out of reach.
        let _ = clock::until(deadline, tried).await;
    }

    /// Waits for one ready member; fails once every endpoint has been tried in vain.
    async fn connected(&self) -> Result<()> {
        let deadline = Some(clock::now() + self.shared.context.config.timeouts.connect);
        let mut picker = self.shared.picker.clone();
        let wait = async {
            self.wake().await?;
            loop {
                {
                    let now = picker.borrow_and_update();
                    if now.closed {
                        return Err(Error::closed());
                    }
                    if !now.links.is_empty() {
                        return Ok(());
                    }
                    if now.all_failed {
                        return Err(Error::new(
                            ErrorKind::Unavailable,
                            "no endpoint could be connected to",
                        )
                        .with_attempts(now.failures.clone()));
                    }
                }
                if picker.changed().await.is_err() {
                    return Err(abandoned());
                }
            }
        };
        // A member that takes all of the time has not failed yet when it is over.
        let grace = std::time::Duration::from_millis(100);
        clock::until(deadline.map(|at| at + grace), wait).await.unwrap_or_else(|| {
            Err(Error::new(ErrorKind::Unavailable, "no endpoint could be connected to in time")
                .with_attempts(self.failures()))
        })
    }

    /// Waits until a member is ready, for as long as it takes.
    pub(crate) async fn ready(&self) -> Result<()> {
        self.wait_for_link(Want { learner: true, avoid: &[] }).await.map(drop)
    }

    /// Ends all calls and connections, and waits until they are gone.
    pub(crate) async fn close(&self) {
        if self.shared.closed.swap(true, Ordering::AcqRel) {
            return;
        }
        self.start();
        let (done, gone) = oneshot::channel();
        if self.shared.events.send(Event::Close(done)).await.is_ok() {
            // The sender is dropped, never used, when it is done.
            let _ = gone.await;
        }
    }

    /// Waits until the channel is closed.
    pub(crate) async fn closed(&self) {
        let mut picker = self.shared.picker.clone();
        // The driver ends only when this channel is closed or gone with its runtime.
        let _ = picker.wait_for(|picker| picker.closed).await;
    }

    pub(crate) fn endpoints(&self) -> Endpoints {
        self.shared.endpoints.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) async fn set_endpoints(&self, endpoints: Endpoints) -> Result<()> {
        self.config().check_endpoints(&endpoints)?;
        self.start();
        *self.shared.endpoints.lock().unwrap_or_else(PoisonError::into_inner) = endpoints.clone();
        let (done, taken_over) = oneshot::channel();
        let event = Event::SetEndpoints(endpoints, done);
        self.shared.events.send(event).await.map_err(|_| Error::closed())?;
        // The sender is dropped, never used, when it is done.
        let _ = taken_over.await;
        Ok(())
    }

    /// What is known of each endpoint now.
    pub(crate) fn states(&self) -> Vec<EndpointState> {
        self.shared.picker.borrow().states.clone()
    }

    /// The states now, and again after each change.
    pub(crate) fn watch_states(&self) -> EndpointStates {
        let mut picker = self.shared.picker.clone();
        picker.mark_changed();
        EndpointStates::new(unfold(picker, |mut picker| async {
            picker.changed().await.ok()?;
            let (states, closed) = {
                let now = picker.borrow_and_update();
                (now.states.clone(), now.closed)
            };
            (!closed).then_some((states, picker))
        }))
    }

    pub(super) fn failures(&self) -> Vec<Attempt> {
        self.shared.picker.borrow().failures.clone()
    }

    /// How long a stream of data may be silent.
    pub(crate) fn stream_idle(&self) -> std::time::Duration {
        self.shared.context.config.timeouts.stream_idle
    }

    pub(super) fn is_closed(&self) -> bool {
        self.shared.closed.load(Ordering::Acquire)
    }

    /// Whether the tasks of this channel ended with the runtime that they ran in.
    pub(super) fn is_abandoned(&self) -> bool {
        !self.is_closed() && self.shared.picker.has_changed().is_err()
    }

    pub(crate) fn config(&self) -> &Config {
        &self.shared.context.config
    }

    pub(super) fn tokens(&self) -> &Tokens {
        &self.shared.context.tokens
    }

    pub(super) fn budget(&self) -> &Budget {
        &self.shared.budget
    }

    pub(super) fn retry_policy(&self) -> &RetryPolicy {
        &self.shared.context.config.retry
    }
}

/// The driver ended though the channel is not closed: its runtime is gone.
pub(super) fn abandoned() -> Error {
    Error::new(
        ErrorKind::Closed,
        "the runtime that this client was first used in has ended: make a client per runtime",
    )
}

impl<T: Transport> Service for Channel<T> {
    fn call<R: Request>(
        &self,
        request: R,
        options: &CallOptions,
    ) -> impl Future<Output = Result<R::Response>> + Send {
        request.execute(self, options)
    }

    fn open<R: StreamRequest>(
        &self,
        request: R,
        options: &CallOptions,
    ) -> impl Future<Output = Result<Streaming<R::Item, R::Control>>> + Send {
        request.open(self, options)
    }
}
