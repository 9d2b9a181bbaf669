//! A lock that many readers hold, or one writer.

use std::fmt;

use bytes::Bytes;

use super::guard::Guard;
use super::places::Place;
use super::session::Session;
use super::turn::{Before, Line, Turn, directory, join};
use crate::byte_string::ByteString;
use crate::clock;
use crate::error::Result;
use crate::request::{Compare, Put, Txn};
use crate::service::Service;
use crate::transport::Channel;

/// A lock that many readers hold at a time, or one writer, first come, first served: a reader that comes after a writer
/// waits for it.
///
/// It is the lock of etcd's Go client (`recipe.RWMutex`): who waits for the one waits for the other. Each guard stands in
/// line for itself, also those of one session.
///
/// ```
/// use std::time::Duration;
/// use etcdkit::concurrency::RwMutex;
///
/// async fn example(client: etcdkit::Client) -> etcdkit::Result<()> {
///     let session = client.session(Duration::from_secs(10)).await?;
///     let lock = RwMutex::new(&session, "/locks/config");
///     let (one, another) = (lock.read().await?, lock.read().await?);
///     drop((one, another));
///     lock.write().await?.unlock().await
/// }
/// ```
#[derive(Clone)]
pub struct RwMutex<S = Channel> {
    session: Session<S>,
    directory: Bytes,
}

impl<S: Service + Clone> RwMutex<S> {
    /// The lock `name`, to be held by `session`.
    pub fn new(session: &Session<S>, name: impl Into<ByteString>) -> Self {
        Self { session: session.clone(), directory: directory(name.into().into_bytes()) }
    }

    /// Waits until no writer that came before holds the lock or waits for it.
    ///
    /// # Errors
    ///
    /// As [`Mutex::lock`](super::Mutex::lock).
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, the place in line is given up.
    pub async fn read(&self) -> Result<Guard<S>> {
        let writers = Line::Numbers(self.directory.clone(), &["write/"]);
        self.session.alive(Box::pin(self.take("read/", writers))).await
    }

    /// Waits until nobody that came before holds the lock or waits for it.
    ///
    /// # Errors
    ///
    /// As [`Mutex::lock`](super::Mutex::lock).
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, the place in line is given up.
    pub async fn write(&self) -> Result<Guard<S>> {
        let all = Line::Numbers(self.directory.clone(), &["read/", "write/"]);
        self.session.alive(Box::pin(self.take("write/", all))).await
    }

    async fn take(&self, kind: &str, line: Line) -> Result<Guard<S>> {
        loop {
            // Only its being alone matters; whose turn it is, its revision says.
            let number = clock::rng().i64(1..=i64::MAX);
            let key = join(&self.directory, format!("{kind}{number}").as_bytes());
            let mut place = Place::enter(&self.session, key.clone()).await;
            let put = Put::new(&key, "").lease(self.session.lease());
            let txn = Txn::new().when([Compare::missing(&key)]).then([put]).then([line.youngest()]);
            let answer = place.run(txn).await?;
            if !answer.succeeded() {
                // The key is somebody else's.
                continue;
            }
            let mine = answer.revision();
            let read = answer.into_responses().into_iter().find_map(crate::OpResponse::into_get);
            let before = read.map_or(Before::Unknown, |read| line.before_of(read, mine));
            if (Turn { place: &place, line: &line, mine, served: None }).come(before).await? {
                return Ok(Guard::new(place, mine));
            }
        }
    }
}

impl<S> fmt::Debug for RwMutex<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RwMutex").field("directory", &self.directory).finish_non_exhaustive()
    }
}
