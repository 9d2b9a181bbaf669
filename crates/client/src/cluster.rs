//! Members: the calls of [`Client`] that list and change them, with their requests and answers.
//!
//! A member that was added has to be started with the configuration that names it; until then, a cluster of one that
//! gets a second voting member has no quorum. A [learner](MemberAdd::learner) does not vote until it is
//! [promoted](Client::member_promote), and is the safer way to grow.
//!
//! [`Client::sync`] takes the endpoints to use from the member list; nothing here changes them.

use std::future::Future;

use crate::client::Client;
use crate::error::Result;
use crate::request::Request;
use crate::service::{CallOptions, Service};
use crate::transport::{Channel, Transport, Unary};

pub use crate::request::cluster::*;
pub use crate::response::cluster::*;

/// Makes a change that answers with the members. If a repetition shows only that an earlier attempt, whose answer got
/// lost, has made it, they are read.
pub(crate) async fn change<T, R>(
    channel: &Channel<T>,
    request: R,
    options: &CallOptions,
) -> Result<MemberListResponse>
where
    T: Transport,
    R: Unary + Request<Response = MemberListResponse>,
{
    let changed = channel.unary(request, options).await?;
    if !changed.members().is_empty() {
        return Ok(changed);
    }
    // It is made, whether or not they can be read.
    Ok(channel.unary(MemberList::new(), options).await.unwrap_or(changed))
}

impl<S: Service> Client<S> {
    /// The members, as the cluster agrees on them; for what one member knows, [`call`](Self::call) with
    /// [`MemberList::serializable`].
    ///
    /// ```
    /// use etcdkit::cluster::MemberList;
    ///
    /// async fn example(client: etcdkit::Client) -> etcdkit::Result<()> {
    ///     for member in client.member_list().await?.members() {
    ///         println!("{} {} {:?}", member.id, member.name, member.client_urls);
    ///     }
    ///     let without_quorum = client.call(MemberList::new().serializable()).await?;
    ///     println!("{} members", without_quorum.members().len());
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// See [`Service::call`].
    ///
    /// # Cancellation
    ///
    /// Nothing is lost by dropping the future.
    pub fn member_list(&self) -> impl Future<Output = Result<MemberListResponse>> + Send {
        self.call(MemberList::new())
    }

    /// Adds a member, as a voter or as a [learner](MemberAdd::learner).
    ///
    /// ```
    /// use etcdkit::cluster::MemberAdd;
    ///
    /// async fn example(client: etcdkit::Client) -> etcdkit::Result<()> {
    ///     let added = client.member_add(MemberAdd::new(["http://10.0.0.4:2380"]).learner()).await?;
    ///     println!("start it, then promote {}", added.member().id);
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for URLs that make no sense, found before anything is
    /// sent; [`Conflict`](crate::ErrorKind::Conflict) if another member has one of them, there are too many learners,
    /// or too few members are started; [`Unavailable`](crate::ErrorKind::Unavailable) if members are not well
    /// connected. If [`maybe_applied`](crate::Error::maybe_applied), look for the URLs in the
    /// [`member_list`](Self::member_list).
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, the change may or may not be made.
    pub fn member_add(
        &self,
        member: MemberAdd,
    ) -> impl Future<Output = Result<MemberAddResponse>> + Send {
        self.call(member)
    }

    /// Removes a member, which stops then.
    ///
    /// ```
    /// use etcdkit::MemberId;
    ///
    /// async fn example(client: etcdkit::Client) -> etcdkit::Result<()> {
    ///     client.member_remove(MemberId::new(0x8211_f1d0_f64f_3269)).await?;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) without such a member, [`Conflict`](crate::ErrorKind::Conflict) or
    /// [`Unavailable`](crate::ErrorKind::Unavailable) if the others would have no quorum.
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, the change may or may not be made.
    pub fn member_remove(
        &self,
        id: impl Into<MemberId>,
    ) -> impl Future<Output = Result<MemberListResponse>> + Send {
        self.call(MemberRemove::new(id))
    }

    /// Changes the URLs at which the others reach a member.
    ///
    /// ```
    /// use etcdkit::MemberId;
    ///
    /// async fn example(client: etcdkit::Client, member: MemberId) -> etcdkit::Result<()> {
    ///     client.member_update(member, ["http://10.0.0.4:2380"]).await?;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for URLs that make no sense, found before anything is
    /// sent; [`NotFound`](crate::ErrorKind::NotFound) without such a member; [`Conflict`](crate::ErrorKind::Conflict)
    /// if another one has one of the URLs.
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, the change may or may not be made.
    pub fn member_update<I>(
        &self,
        id: impl Into<MemberId>,
        peer_urls: I,
    ) -> impl Future<Output = Result<MemberListResponse>> + Send
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.call(MemberUpdate::new(id, peer_urls))
    }

    /// Makes a learner a voting member. It answers once the learner may vote; the member itself may know so a moment
    /// later.
    ///
    /// ```
    /// use etcdkit::MemberId;
    ///
    /// async fn example(client: etcdkit::Client) -> etcdkit::Result<()> {
    ///     client.member_promote(MemberId::new(0x8211_f1d0_f64f_3269)).await?;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Conflict`](crate::ErrorKind::Conflict) if it is no learner, or has not caught up with the leader yet: try
    /// again later; [`NotFound`](crate::ErrorKind::NotFound) without such a member.
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, the change may or may not be made.
    pub fn member_promote(
        &self,
        id: impl Into<MemberId>,
    ) -> impl Future<Output = Result<MemberListResponse>> + Send {
        self.call(MemberPromote::new(id))
    }
}
