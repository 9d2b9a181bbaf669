//! The face of a service: what programs hold.

use std::fmt;

use etcdkit_proto::method::Method;
use etcdkit_proto::{HasHeader, WireMessage};

use crate::config::{ClientBuilder, Config, Endpoint, Endpoints};
use crate::error::{Error, Result};
use crate::request::{Request, StreamRequest};
use crate::service::{BoxService, CallOptions, Service, Streaming};
use crate::task;
use crate::transport::{Channel, EndpointState, EndpointStates, H2, Transport};

/// A client of an etcd cluster. Cheap to clone; all clones share connections, token and retries.
///
/// `S` is the service behind it: a [`Channel`] to a cluster, or layers around one. See [`Service`].
///
/// ```no_run
/// # async fn example() -> etcdkit::Result<()> {
/// use etcdkit::Client;
///
/// let client = Client::connect(["http://127.0.0.1:2379"]).await?;
/// client.put("greeting", "hello").await?;
/// let answer = client.get("greeting").await?;
/// assert_eq!(answer.first().map(|kv| kv.value()), Some(b"hello".as_slice()));
/// # Ok(())
/// # }
/// ```
///
/// # Dropping and closing
///
/// When the last clone is dropped, connections close; streams that are still being read keep theirs until they are
/// dropped as well. [`close`](Self::close) ends everything at once: calls under way fail with
/// [`Closed`](crate::ErrorKind::Closed), and so does every later call, at once.
#[derive(Clone)]
pub struct Client<S = Channel> {
    service: S,
    options: CallOptions,
}

impl Client {
    /// Starts the configuration of a client.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::new()
    }

    /// Connects to a cluster with every default: see [`ClientBuilder`] for what these are.
    ///
    /// # Errors
    ///
    /// An endpoint makes no sense, or none could be connected to; the error names each endpoint's failure.
    pub async fn connect<I>(endpoints: I) -> Result<Self>
    where
        I: IntoIterator,
        I::Item: TryInto<Endpoint>,
        <I::Item as TryInto<Endpoint>>::Error: Into<Error>,
    {
        Self::builder().endpoints(endpoints).connect().await
    }
}

impl ClientBuilder {
    /// A client that connects when its first call wants to. Where TLS is used, its certificates are read here;
    /// [`connect`](Self::connect) reads them without blocking the runtime.
    ///
    /// # Errors
    ///
    /// The configuration makes no sense; the message says what to change. Nothing is sent yet.
    pub fn build(self) -> Result<Client> {
        self.build_with(H2::new)
    }

    /// [`build`](Self::build) with another transport.
    ///
    /// # Errors
    ///
    /// As [`build`](Self::build).
    #[doc(hidden)]
    pub fn build_on<T: Transport>(self, transport: T) -> Result<Client<Channel<T>>> {
        self.build_with(|_| transport)
    }

    fn build_with<T: Transport>(
        self,
        transport: impl FnOnce(&Config) -> T,
    ) -> Result<Client<Channel<T>>> {
        let config = self.config()?;
        let service = Channel::new(transport(&config), config)?;
        Ok(Client::from_service(service))
    }

    /// A client with at least one member ready.
    ///
    /// # Errors
    ///
    /// The configuration makes no sense, or no endpoint could be connected to: it fails as soon as each has been tried,
    /// and names each one's failure. A program that is to wait for a cluster calls [`build`](Self::build) and then
    /// [`Client::wait_ready`].
    ///
    /// # Cancellation
    ///
    /// Nothing is left of it if the future is dropped.
    pub async fn connect(self) -> Result<Client> {
        let client = match self.reads_certificates() {
            // Files are not read on the runtime's own threads.
            true => task::blocking(|| self.build()).await??,
            false => self.build()?,
        };
        client.service.connect().await?;
        Ok(client)
    }
}

impl<S: Service> Client<S> {
    /// A client of any service: a layer, a mock, or your own.
    pub fn from_service(service: S) -> Self {
        Self { service, options: CallOptions::new() }
    }

    /// The same client with a layer around its service.
    pub fn layer<L: Service>(self, layer: impl FnOnce(S) -> L) -> Client<L> {
        Client { service: layer(self.service), options: self.options }
    }

    /// The same client behind the type that hides its layers.
    #[must_use]
    pub fn boxed(self) -> Client<BoxService> {
        Client { service: BoxService::new(self.service), options: self.options }
    }

    /// The same client with other options for its calls.
    #[must_use]
    pub fn with_options(&self, options: CallOptions) -> Self
    where
        S: Clone,
    {
        Self { service: self.service.clone(), options }
    }

    /// The options of this client's calls.
    pub fn options(&self) -> &CallOptions {
        &self.options
    }

    /// The service behind this client.
    pub fn service(&self) -> &S {
        &self.service
    }

    /// Makes any request.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub fn call<R: Request>(&self, request: R) -> impl Future<Output = Result<R::Response>> + Send {
        self.service.call(request, &self.options)
    }

    /// Opens any stream.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub fn open<R: StreamRequest>(
        &self,
        request: R,
    ) -> impl Future<Output = Result<Streaming<R::Item, R::Control>>> + Send {
        self.service.open(request, &self.options)
    }
}

impl<T: Transport> Client<Channel<T>> {
    /// Makes one of etcd's RPCs with its own messages, with the retries, the token and the deadline of every call.
    ///
    /// For what this crate has no typed request for. Layers do not see it, which is why only a client without layers
    /// has it.
    ///
    /// ```no_run
    /// # async fn example(client: etcdkit::Client) -> etcdkit::Result<()> {
    /// use etcdkit::proto::{etcdserverpb::StatusRequest, method};
    ///
    /// let status = client.raw(method::maintenance::STATUS, &StatusRequest::default()).await?;
    /// println!("{} has a database of {} bytes", status.version, status.db_size);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn raw<Req, Res>(&self, method: Method<Req, Res>, request: &Req) -> Result<Res>
    where
        Req: WireMessage,
        Res: WireMessage + HasHeader,
    {
        self.service.raw(method, request, &self.options).await
    }

    /// The endpoints in use.
    pub fn endpoints(&self) -> Vec<Endpoint> {
        self.service.endpoints().as_slice().to_vec()
    }

    /// Replaces the endpoints. Connections to those that stay are kept; calls under way on the others are finished.
    ///
    /// No call goes to the old ones any more when this returns. Dropping the future does not undo it: the endpoints are
    /// replaced when it is first polled, all at once.
    ///
    /// # Errors
    ///
    /// The list is empty or one of its endpoints makes no sense: then nothing is changed. Or the client is closed.
    pub async fn set_endpoints<I>(&self, endpoints: I) -> Result<()>
    where
        I: IntoIterator,
        I::Item: TryInto<Endpoint>,
        <I::Item as TryInto<Endpoint>>::Error: Into<Error>,
    {
        self.service.set_endpoints(Endpoints::parse(endpoints)?).await
    }

    /// Waits until a member is ready, for as long as that takes.
    ///
    /// # Errors
    ///
    /// The client is closed, or no endpoint can become ready: each fails for a reason that time does not mend.
    pub async fn wait_ready(&self) -> Result<()> {
        self.service.ready().await
    }

    /// How each endpoint fares now.
    pub fn endpoint_states(&self) -> Vec<EndpointState> {
        self.service.states()
    }

    /// How each endpoint fares: now, and again after every change.
    pub fn watch_endpoint_states(&self) -> EndpointStates {
        self.service.watch_states()
    }

    /// Ends all calls, streams and connections, and waits until they are gone.
    ///
    /// Calls and streams under way fail with [`Closed`](crate::ErrorKind::Closed), and so does every later
    /// call. Closing twice does nothing. Dropping this future does not take the closing back.
    pub async fn close(&self) {
        self.service.close().await;
    }

    /// Waits until some clone of this client has been closed.
    pub async fn closed(&self) {
        self.service.closed().await;
    }
}

impl<S> fmt::Debug for Client<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("options", &self.options).finish_non_exhaustive()
    }
}
