//! Reads of any size, in pieces, at one revision.
//!
//! etcd 3.7 streams a range by itself (`KV.RangeStream`); older members are read page by page, each page at the revision
//! of the first. What a stream of pieces can't have (an order other than by key, filters by revision) is read in one.

use bytes::{BufMut, Bytes, BytesMut};
use etcdkit_proto::etcdserverpb::{RangeRequest, RangeResponse, RangeStreamResponse};
use etcdkit_proto::method;

use crate::clock::Instant;
use crate::error::{Code, Error, ErrorKind, Result, ServerError};
use crate::request::{Get, GetStream};
use crate::response::GetResponse;
use crate::revision::Revision;
use crate::service::{CallOptions, Streaming};
use crate::transport::{Channel, Messages, Transport, Unary};

/// Keys per page where the server can't stream: pages of this size cost a tenth more than one read of everything.
const PAGE: i64 = 1000;

/// Opens the stream; its first piece has been read when this returns.
pub(crate) async fn open<T: Transport>(
    channel: &Channel<T>,
    request: GetStream,
    options: &CallOptions,
) -> Result<Streaming<GetResponse>> {
    let get = Get::from(request);
    Unary::check(&get).map_err(|error| error.with_rpc(method::kv::RANGE_STREAM.path()))?;
    let reading = begin(channel, get, options).await?;
    Ok(Streaming::new(crate::service::unfold(reading, Reading::next)))
}

async fn begin<T: Transport>(
    channel: &Channel<T>,
    get: Get,
    options: &CallOptions,
) -> Result<Reading<T>> {
    let wire = Unary::wire(&get);
    if get.is_sorted_or_filtered() || wire.count_only {
        let response = channel.unary(get, options).await?;
        return Ok(Reading::Whole(Some(response)));
    }
    let deadline = options.deadline();
    let pool = channel.pool(options)?;
    let call =
        channel.prepare(&pool, method::kv::RANGE_STREAM.info(), Unary::serializable(&get), options);
    let known = channel.known_revision();
    match channel.server_stream(method::kv::RANGE_STREAM, wire, &call).await {
        Ok(messages) => Ok(Reading::Streamed(Pieces {
            messages: messages.on(&pool),
            channel: channel.clone(),
            linearizable: !wire.serializable,
            known,
        })),
        Err(error) if streams_nowhere(&error, wire.serializable) => {
            let pages =
                Pages::begin(channel.clone(), wire.clone(), options.clone(), deadline).await?;
            Ok(Reading::Paged(pages))
        }
        Err(error) => Err(error),
    }
}

/// Whether no member that could be asked streams a range. A learner refuses all streams, and yet reads pages.
fn streams_nowhere(error: &Error, serializable: bool) -> bool {
    error.code() == Some(Code::Unimplemented)
        || (serializable && error.server_error() == Some(ServerError::NotSupportedForLearner))
}

/// A read that is under way.
enum Reading<T: Transport> {
    /// Read at once.
    Whole(Option<GetResponse>),
    Streamed(Pieces<T>),
    Paged(Pages<T>),
    Over,
}

impl<T: Transport> Reading<T> {
    async fn next(mut self) -> Option<(Result<GetResponse>, Self)> {
        match &mut self {
            Self::Over => None,
            Self::Whole(response) => response.take().map(|response| (Ok(response), Self::Over)),
            Self::Streamed(pieces) => match pieces.next().await {
                Ok(Some(piece)) => Some((Ok(piece), self)),
                Ok(None) => None,
                Err(error) => Some((Err(error), Self::Over)),
            },
            Self::Paged(pages) => match pages.next().await {
                Ok(Some(page)) => Some((Ok(page), self)),
                Ok(None) => None,
                Err(error) => Some((Err(error), Self::Over)),
            },
        }
    }
}

/// A read in the pieces that the server sends.
struct Pieces<T: Transport> {
    messages: Messages<T, RangeStreamResponse>,
    channel: Channel<T>,
    linearizable: bool,
    /// The revision that was known when the read began.
    known: Revision,
}

impl<T: Transport> Pieces<T> {
    async fn next(&mut self) -> Result<Option<GetResponse>> {
        let Some(piece) = self.messages.next().await? else { return Ok(None) };
        let whole = || -> Result<GetResponse> {
            let response = piece
                .range_response
                .ok_or_else(|| Error::internal("a piece of the range is empty"))?;
            let response = GetResponse::from(response);
            self.channel.check_history(&response.header(), self.linearizable, self.known)?;
            Ok(response)
        };
        whole().map(Some).map_err(|error| error.with_rpc(method::kv::RANGE_STREAM.path()))
    }
}

/// A read page by page, at the revision of the first.
struct Pages<T: Transport> {
    channel: Channel<T>,
    options: CallOptions,
    /// When all of it has to be over, if the caller said so.
    deadline: Option<Instant>,
    request: RangeRequest,
    /// The page that was read while opening.
    ready: Option<RangeResponse>,
    /// Keys that may still be returned; `None` for all.
    remaining: Option<i64>,
    /// Keys in the whole range.
    count: i64,
    over: bool,
}

impl<T: Transport> Pages<T> {
    async fn begin(
        channel: Channel<T>,
        request: RangeRequest,
        options: CallOptions,
        deadline: Option<Instant>,
    ) -> Result<Self> {
        let remaining = (request.limit > 0).then_some(request.limit);
        let mut pages = Self {
            channel,
            options,
            deadline,
            request,
            ready: None,
            remaining,
            count: 0,
            over: false,
        };
        let first = pages.read().await?;
        pages.count = first.count;
        pages.ready = Some(first);
        Ok(pages)
    }

    async fn read(&mut self) -> Result<RangeResponse> {
        self.request.limit = self.remaining.map_or(PAGE, |remaining| remaining.min(PAGE));
        match self.ask().await {
            // The first page came from a member that is ahead of this one: now the cluster has to agree.
            Err(error)
                if self.request.serializable && error.kind() == ErrorKind::FutureRevision =>
            {
                self.request.serializable = false;
                self.ask().await
            }
            answered => answered,
        }
    }

    async fn ask(&self) -> Result<RangeResponse> {
        let serializable = self.request.serializable;
        let options = self.options.until(self.deadline);
        let pool = self.channel.pool(&options)?;
        let call = self.channel.prepare(&pool, method::kv::RANGE.info(), serializable, &options);
        self.channel.exchange(&call, &self.request, !serializable).await
    }

    async fn next(&mut self) -> Result<Option<GetResponse>> {
        if self.over {
            return Ok(None);
        }
        let mut page = match self.ready.take() {
            Some(page) => page,
            None => self.read().await?,
        };
        if self.request.revision == 0 {
            let revision = page.header.as_ref().map_or(0, |header| header.revision);
            self.request.revision = revision;
        }
        if let Some(remaining) = &mut self.remaining {
            *remaining -= i64::try_from(page.kvs.len()).unwrap_or(i64::MAX);
        }
        let exhausted = self.remaining.is_some_and(|remaining| remaining <= 0);
        match page.kvs.last() {
            Some(last) if page.more && !exhausted => self.request.key = successor(&last.key),
            _ => self.over = true,
        }
        // As in a streamed range: how many there are, and whether some were left out, is said at the end.
        page.more = self.over && page.more;
        page.count = if self.over { self.count } else { 0 };
        Ok(Some(page.into()))
    }
}

/// The key right after `key`.
fn successor(key: &[u8]) -> Bytes {
    let mut next = BytesMut::with_capacity(key.len() + 1);
    next.put_slice(key);
    next.put_u8(0);
    next.freeze()
}
