//! The service at the bottom of every client: a cluster, reached over connections.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use etcdkit_proto::method::{Class, Method, MethodInfo, Patience};
use etcdkit_proto::{HasHeader, ServerError, WireMessage};

use super::balancer::{Demand, EndpointState, EndpointStates, Want};
use super::call::{self, Call};
use super::driver::Context;
use super::grpc::H2;
use super::identity;
use super::link;
use super::pool::{Pool, PoolRef};
use super::retry::Budget;
use super::token::Tokens;
use super::traits::Transport;
use crate::clock;
use crate::config::{
    Balance, Config, Endpoint, Endpoints, FromMembers, MemberPolicy, RetryPolicy, Timeouts,
};
use crate::error::{Attempt, Error, Result};
use crate::lease::Keepers;
use crate::request::{Request, StreamRequest};
use crate::response::ResponseHeader;
use crate::revision::Revision;
use crate::service::{CallOptions, Service, Streaming};
use crate::sync;
use crate::task::{self, Task};
use crate::watch::Watches;

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

    /// The error by which a repetition shows that an earlier attempt was done.
    fn done(&self) -> Option<ServerError> {
        Self::METHOD.info().done
    }

    /// What its time depends on.
    fn patience(&self) -> Patience {
        Self::METHOD.patience()
    }

    /// Whether any member, a learner too, may answer from its own state.
    fn serializable(&self) -> bool {
        false
    }

    /// Whether its answer shows a state that is at least as new as any that was seen before it was asked for.
    fn linearizable(&self) -> bool {
        // The revision in the headers of other services is that of the member, which may lag behind.
        !self.serializable() && Self::METHOD.info().service == "etcdserverpb.KV"
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
    /// Where calls go.
    calls: Pool<T>,
    /// Where long-lived streams go.
    streams: Pool<T>,
    /// Keeps leases alive.
    leases: Keepers,
    /// Where calls go that name their endpoint; the last used last.
    visited: Mutex<Vec<(Endpoint, Arc<Pool<T>>)>>,
    /// The synchronisation of endpoints, once started.
    sync: OnceLock<Option<Task>>,
    endpoints: Mutex<KnownEndpoints>,
    /// The streams that watches share, and their tasks.
    watches: Watches,
}

#[derive(Debug)]
struct KnownEndpoints {
    /// Those that the user gave last.
    given: Endpoints,
    current: Endpoints,
}

impl KnownEndpoints {
    fn new(given: Endpoints) -> Self {
        Self { current: given.clone(), given }
    }
}

/// How long the other members are waited for, once one is ready, to hear how old they are.
const OTHERS: Duration = Duration::from_secs(1);
/// How often a task that keeps the channel up looks whether it is the last.
const LAST_LOOK: Duration = Duration::from_secs(1);
/// Endpoints that are addressed by name keep their connections, up to this many.
const VISITED: usize = 32;

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
        let budget = Budget::new(&config.retry, clock::now());
        let endpoints = config.endpoints.clone();
        let tokens = Tokens::new(config.credentials.clone())?;
        let context = Arc::new(Context::new(transport, config, tokens));
        let connections = context.config.limits.connections_per_endpoint;
        let balance = context.config.balance.clone();
        let calls = Pool::new(&context, endpoints.clone(), connections, balance, Demand::Lasting);
        // One member is enough for the streams; which one differs from client to client.
        let shuffled = endpoints.shuffled(&mut clock::rng());
        let streams = Pool::new(&context, shuffled, 1, Balance::PickFirst, Demand::Lasting);
        Ok(Self {
            shared: Arc::new(Shared {
                context,
                budget,
                calls,
                streams,
                leases: Keepers::default(),
                visited: Mutex::new(Vec::new()),
                sync: OnceLock::new(),
                endpoints: Mutex::new(KnownEndpoints::new(endpoints)),
                watches: Watches::default(),
            }),
        })
    }

    /// Where a call with these options goes.
    pub(crate) fn pool(&self, options: &CallOptions) -> Result<PoolRef<'_, T>> {
        self.start_sync();
        match &options.endpoint {
            None => Ok(PoolRef::Shared(&self.shared.calls)),
            Some(endpoint) => self.visit(endpoint).map(PoolRef::Visited),
        }
    }

    /// The connection to one endpoint by name.
    fn visit(&self, endpoint: &Endpoint) -> Result<Arc<Pool<T>>> {
        let mut visited = self.shared.visited.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_closed() {
            return Err(Error::closed());
        }
        let pool = match visited.iter().position(|(known, _)| known == endpoint) {
            Some(index) => visited.remove(index).1,
            None => {
                let only = Endpoints::new([endpoint.clone()])?;
                self.config().check_endpoints(&only)?;
                if visited.len() == VISITED {
                    visited.remove(0);
                }
                let context = &self.shared.context;
                Arc::new(Pool::new(context, only, 1, Balance::PickFirst, Demand::EachCall))
            }
        };
        visited.push((endpoint.clone(), Arc::clone(&pool)));
        Ok(pool)
    }

    /// What keeps leases alive over the streams of this channel.
    pub(crate) fn leases(&self) -> &Keepers {
        &self.shared.leases
    }

    /// The channel for a task of its own, which must not keep it up.
    pub(crate) fn downgrade(&self) -> Weak<Shared<T>> {
        Arc::downgrade(&self.shared)
    }

    /// Checks that an answer comes from the cluster that this client belongs to.
    pub(crate) fn check_cluster(&self, header: &ResponseHeader) -> Result<()> {
        self.check_history(header, false, Revision::NONE)
    }

    /// The same, and, if the answer is linearizable, that the history has not gone back behind what was known when it
    /// was asked for.
    pub(crate) fn check_history(
        &self,
        header: &ResponseHeader,
        linearizable: bool,
        known: Revision,
    ) -> Result<()> {
        self.shared.context.identity.check(header, linearizable, known)
    }

    /// How the endpoints that long-lived streams could go to have failed.
    pub(crate) fn stream_failures(&self) -> Vec<Attempt> {
        self.shared.streams.failures()
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
        let pool = self.pool(options)?;
        let call = self.prepare(&pool, method.info(), false, options);
        self.exchange(&call, request, false).await
    }

    pub(crate) async fn unary<R: Unary>(
        &self,
        request: R,
        options: &CallOptions,
    ) -> Result<R::Response> {
        request.check().map_err(|error| error.with_rpc(R::METHOD.path()))?;
        let serializable = request.serializable();
        let method = MethodInfo {
            class: request.class(),
            patience: request.patience(),
            done: request.done(),
            ..R::METHOD.info()
        };
        let pool = self.pool(options)?;
        let call = self.prepare(&pool, method, serializable, options);
        let linearizable = request.linearizable();
        let answer: R::Answer = self.exchange(&call, request.wire(), linearizable).await?;
        R::decode(answer).map_err(|error| {
            error.with_rpc(R::METHOD.path()).with_maybe_applied(call.method.class != Class::Read)
        })
    }

    /// Sends `request`, decodes the answer and checks whose it is.
    pub(crate) async fn exchange<Req: WireMessage, Res: WireMessage + HasHeader>(
        &self,
        call: &Call<'_, T>,
        request: &Req,
        linearizable: bool,
    ) -> Result<Res> {
        let message = self.frame(request, call)?;
        let known = self.known_revision();
        let answer = self.run(call, message).await?;
        let answer: Res = self.decode(answer, call)?;
        if let Some(header) = answer.header() {
            let header = ResponseHeader::from(header.clone());
            self.check_history(&header, linearizable, known).map_err(|error| {
                error
                    .with_rpc(call.method.path)
                    .with_maybe_applied(call.method.class != Class::Read)
            })?;
        }
        Ok(answer)
    }

    /// A call of `method`, with the deadline of its kind unless `options` say otherwise.
    pub(crate) fn prepare<'a>(
        &self,
        pool: &'a Pool<T>,
        method: MethodInfo,
        serializable: bool,
        options: &CallOptions,
    ) -> Call<'a, T> {
        let config = self.config();
        let default = config.timeouts.of(method.patience);
        let started = clock::now();
        Call {
            pool,
            method,
            serializable,
            started,
            deadline: call::deadline(options.timeout, default, started),
            announces_deadline: options.timeout.is_some()
                || default != Timeouts::DEFAULT.of(method.patience),
            retry: options.retry.unwrap_or(config.retry.is_on),
            require_leader: options.require_leader || config.require_leader,
            metadata: config.metadata.joined(&options.metadata),
            authenticated: true,
        }
    }

    /// Starts the synchronisation of endpoints, if that is asked for.
    pub(super) fn start_sync(&self) {
        if let Some(interval) = self.config().auto_sync {
            self.shared.sync.get_or_init(|| {
                let shared = Arc::downgrade(&self.shared);
                Some(task::spawn(sync::keep_synchronised(shared, interval)))
            });
        }
    }

    /// Waits for one ready member, a token if one is needed, and for members new enough if that is asked for.
    pub(crate) async fn connect(&self) -> Result<()> {
        self.start_sync();
        self.shared.calls.connected().await?;
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
        self.shared.calls.all_tried(self.config().timeouts.connect.min(OTHERS)).await;
        let token = self.tokens().current();
        for link in self.shared.calls.links() {
            let asked = link::introduce(&link.connection, token.as_ref().map(|token| &token.value));
            let deadline = Some(clock::now() + self.config().timeouts.connect);
            let (about, _) = clock::until(deadline, asked).await.unwrap_or_default();
            let Some(version) = about.version.as_deref() else {
                return Err(Error::unsupported(format!(
                    "{} does not tell its version; this client was told to reject what is older than {}",
                    link.endpoint,
                    identity::OLDEST
                )));
            };
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

    /// Waits until a member is ready, for as long as it takes.
    pub(crate) async fn ready(&self) -> Result<()> {
        self.start_sync();
        let want = Want { learner: true, avoid: &[] };
        self.shared.calls.wait_for_link(want).await.map(drop)
    }

    /// Ends all calls and connections, and waits until they are given up.
    pub(crate) async fn close(&self) {
        self.shared.context.close();
        self.shared.leases.close();
        self.shared.watches.close().await;
        self.closed().await;
    }

    /// Waits until nobody holds the channel but who waits here, which is found out within [`LAST_LOOK`].
    pub(crate) async fn let_go(&self) {
        while Arc::strong_count(&self.shared) > 1 {
            clock::sleep(LAST_LOOK).await;
        }
    }

    /// Waits until the channel is closed.
    pub(crate) async fn closed(&self) {
        self.shared.calls.closed().await;
        self.shared.streams.closed().await;
        let visited = {
            let mut visited = self.shared.visited.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *visited)
        };
        for (_, pool) in visited {
            pool.closed().await;
        }
    }

    pub(crate) fn endpoints(&self) -> Endpoints {
        self.known_endpoints().current.clone()
    }

    fn known_endpoints(&self) -> MutexGuard<'_, KnownEndpoints> {
        self.shared.endpoints.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What may be used of what members advertise.
    pub(crate) fn usable_of<'a>(&self, urls: impl IntoIterator<Item = &'a str>) -> FromMembers {
        let config = self.config();
        let policy = {
            let known = self.known_endpoints();
            let tls_configured = config.connect.tls_configured();
            MemberPolicy::new(known.given.clone(), known.current.clone(), tls_configured)
        };
        Endpoints::from_members(urls, &policy, |endpoint| config.check_endpoint(endpoint))
    }

    /// Replaces the endpoints by others of the user's.
    pub(crate) async fn set_endpoints(&self, endpoints: Endpoints) -> Result<()> {
        let given = endpoints.clone();
        self.replace_endpoints(endpoints, |known| *known = KnownEndpoints::new(given)).await
    }

    /// Replaces the endpoints by those that members advertise.
    pub(crate) async fn adopt_endpoints(&self, endpoints: Endpoints) -> Result<()> {
        let current = endpoints.clone();
        self.replace_endpoints(endpoints, |known| known.current = current).await
    }

    async fn replace_endpoints(
        &self,
        endpoints: Endpoints,
        note: impl FnOnce(&mut KnownEndpoints) + Send,
    ) -> Result<()> {
        self.config().check_endpoints(&endpoints)?;
        if self.is_closed() {
            return Err(Error::closed());
        }
        let Shared { streams, calls, .. } = &*self.shared;
        let (of_streams, of_calls) = {
            // All at once, whoever else replaces them now, and whether or not anybody waits for the rest.
            let mut known = self.known_endpoints();
            note(&mut known);
            let shuffled = endpoints.shuffled(&mut clock::rng());
            (streams.replace_endpoints(shuffled), calls.replace_endpoints(endpoints))
        };
        streams.replaced(of_streams).await?;
        calls.replaced(of_calls).await
    }

    /// What is known of each endpoint now.
    pub(crate) fn states(&self) -> Vec<EndpointState> {
        self.shared.calls.states()
    }

    /// The states now, and again after each change.
    pub(crate) fn watch_states(&self) -> EndpointStates {
        self.shared.calls.watch_states()
    }

    /// How long a stream of data may be silent.
    pub(crate) fn stream_idle(&self) -> Duration {
        self.shared.context.config.timeouts.stream_idle
    }

    /// The streams that watches share.
    pub(crate) fn watches(&self) -> &Watches {
        &self.shared.watches
    }

    /// The highest revision that the cluster was seen to have agreed on.
    pub(crate) fn known_revision(&self) -> Revision {
        self.shared.context.identity.mark()
    }

    /// The etcd version of the member that long-lived streams to `endpoint` go to, once it has told.
    pub(crate) fn stream_version(&self, endpoint: &Endpoint) -> Option<Arc<str>> {
        let states = self.shared.streams.states();
        states.into_iter().find(|state| state.endpoint == *endpoint.name())?.version
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.shared.context.is_closed()
    }

    pub(crate) fn config(&self) -> &Config {
        &self.shared.context.config
    }

    /// Where long-lived streams go.
    pub(super) fn streams(&self) -> &Pool<T> {
        &self.shared.streams
    }

    pub(super) fn calls(&self) -> &Pool<T> {
        &self.shared.calls
    }

    pub(super) fn tokens(&self) -> &Tokens {
        &self.shared.context.tokens
    }

    pub(super) fn budget(&self) -> &Budget {
        &self.shared.budget
    }

    pub(crate) fn retry_policy(&self) -> &RetryPolicy {
        &self.shared.context.config.retry
    }
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
