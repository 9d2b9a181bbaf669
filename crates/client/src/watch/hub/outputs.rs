//! How the hub carries out what the machine puts out.

use etcdkit_proto::etcdserverpb::WatchRequest;
use etcdkit_proto::method;

use super::Hub;
use crate::clock;
use crate::error::{Cause, Error, ErrorKind};
use crate::request::WhenFull;
use crate::transport::{Channel, Transport, frame};
use crate::watch::machine::{Key, Output};

impl<T: Transport> Hub<T> {
    pub(super) fn carry_out(&mut self) {
        while let Some(output) = self.machine.output() {
            match output {
                Output::Deliver(key, response, bytes) => {
                    let Some(reader) = self.machine.reader(key) else { continue };
                    if reader.queue.push(response, bytes) {
                        self.full(key);
                    }
                }
                Output::Send(request) => self.send(&request),
                Output::Started(key, at) => {
                    if let Some(reader) = self.machine.reader(key) {
                        reader.queue.started(at);
                    }
                }
                Output::Moved(key, revision) => {
                    if let Some(reader) = self.machine.reader(key) {
                        reader.queue.moved(revision);
                    }
                }
                Output::End(reader, error) => {
                    reader.queue.end(error.with_rpc(method::watch::WATCH.path()));
                }
                Output::Renew => self.renew(),
                Output::Leave(error) => self.go_elsewhere(&error),
            }
        }
    }

    fn full(&mut self, key: Key) {
        let Some(reader) = self.machine.reader(key) else { return };
        let lagged = || {
            Error::new(ErrorKind::Lagged, "the watch was read too slowly for its buffer")
                .with_rpc(method::watch::WATCH.path())
        };
        match reader.when_full {
            WhenFull::Pause => {
                if reader.queue.pause() {
                    self.machine.pause(key);
                }
                return;
            }
            WhenFull::Fail => reader.queue.end(lagged()),
            WhenFull::Discard => reader.queue.discard(lagged()),
        }
        self.machine.cancel(key);
    }

    fn send(&mut self, request: &WatchRequest) {
        let Some(stream) = &mut self.stream else { return };
        // Its size was looked at before the watch was taken on.
        match frame(request, usize::MAX) {
            Ok(framed) => stream.outgoing(&framed),
            Err(cause) => tracing::warn!(%cause, "a request can't be sent"),
        }
    }

    /// Another token, and with it another stream.
    fn renew(&mut self) {
        if self.machine.is_leaving() {
            self.put_stream_away(Some(clock::now()));
            self.machine.closed();
        }
        let Some(channel) = Channel::upgrade(&self.channel) else { return };
        let seen = self.peer.as_ref().map_or(0, |peer| peer.token);
        let deadline = clock::now().checked_add(channel.config().timeouts.connect);
        self.renewing = Some(Box::pin(async move { channel.renew_token(deadline, seen).await }));
    }

    fn go_elsewhere(&mut self, error: &Error) {
        if let Some(peer) = &self.peer {
            peer.leave(Cause::Left(error.to_string()));
        }
        if self.machine.is_leaving() {
            let now = clock::now();
            self.disconnected(now, error);
            self.machine.left(error, now);
        }
    }
}
