//! What the server says, and what follows.

use etcdkit_proto::etcdserverpb as wire;
use etcdkit_proto::mvccpb;

use super::{Key, LARGEST, Machine, Output, Phase, Server};
use crate::error::ErrorKind;
use crate::request::FIRST_OWN_ID;
use crate::response::{Event, ResponseHeader, WatchResponse};
use crate::watch::failure::{self, Consequence, Refusals};
use crate::watch::watcher::{Place, Taken, Watcher};

impl<R> Machine<R> {
    /// Takes in a response that keeps `bytes` in memory.
    pub(in crate::watch) fn receive(&mut self, response: wire::WatchResponse, bytes: usize) {
        let Phase::Open(server) = self.phase else { return };
        let header = ResponseHeader::from(response.header.clone());
        self.shown = self.shown.max(header.revision.get());
        if response.created {
            self.take_created(response, header, server);
        } else if response.canceled {
            self.take_canceled(&response, server);
        } else if !response.events.is_empty() || response.fragment {
            self.take_events(response, header, bytes, server);
        } else {
            self.take_progress(response.watch_id, header, bytes, server);
        }
        self.known = self.known.max(self.shown);
    }

    fn take_created(
        &mut self,
        response: wire::WatchResponse,
        header: ResponseHeader,
        server: Server,
    ) {
        // In order, unless something between that knows better (a proxy chooses its own ids) answers out of it.
        let index = match self.creating.front() {
            Some((id, _)) if *id == response.watch_id => Some(0),
            _ if response.watch_id < FIRST_OWN_ID && !self.chosen.contains(&response.watch_id) => {
                None
            }
            _ => self.creating.iter().position(|(id, _)| *id == response.watch_id),
        };
        let Some((_, key)) = self.creating.remove(index.unwrap_or(0)) else { return };
        let id = response.watch_id;
        let Some(watcher) = self.watchers.get_mut(&key) else {
            if !response.canceled {
                self.end_on_server(id);
            }
            return;
        };
        if response.canceled {
            return self.refuse(key, &response, server);
        }
        self.confirmed = true;
        watcher.place = Place::Live(id);
        watcher.refusals = Refusals::default();
        watcher.created = (header.revision.get(), self.asked);
        // An answer that came before this one was not for it.
        let asks = watcher.progress_wanted;
        let first = !std::mem::replace(&mut watcher.announced, true);
        if first && watcher.created_notify {
            let chosen = watcher.chosen_id();
            let response =
                WatchResponse::created(header).with_watch_id(if chosen == 0 { id } else { chosen });
            self.out.push_back(Output::Deliver(key, response, 0));
        }
        if super::key_of(id) != Some(key) {
            self.foreign_ids.insert(id, key);
        }
        let shown = header.revision.get();
        let now = self.known.max(shown);
        let comes = watcher.next.saturating_sub(1) > now;
        if server.progress && shown != 0 && comes && watcher.early.is_none() {
            // From etcd 3.6 on, no request for progress on the stream is answered until its first revision is there.
            watcher.early = Some(now);
            self.end_on_server(id);
            self.create_again(key);
        } else if asks {
            self.request_progress();
        }
        // The member lags behind, or the history went back.
        self.verify |= shown != 0 && shown < self.known;
    }

    /// The server does not have the watch, or no more.
    fn refuse(&mut self, key: Key, response: &wire::WatchResponse, server: Server) {
        let Some(watcher) = self.watchers.get_mut(&key) else { return };
        let compacted = response.compact_revision;
        if compacted != 0 && compacted <= watcher.next && watcher.early.take().is_some() {
            // Only what was to be left out is gone.
            return self.create_again(key);
        }
        let error = failure::of_response(response);
        let (can_renew, token) = (self.can_renew, self.tokens);
        let mut renewable =
            || can_renew && watcher.refusals.note(token) <= failure::renewals(&error);
        match failure::of_watch(&error, server.denial_is_ambiguous) {
            Consequence::Renew if renewable() => {
                watcher.place = Place::Unsent;
                self.unsent.push_back(key);
                self.give_up_stream(Output::Renew);
            }
            Consequence::Leave | Consequence::Again
                if !(error.kind() == ErrorKind::NoLeader && watcher.end_without_leader) =>
            {
                watcher.place = Place::Unsent;
                self.unsent.push_back(key);
                self.give_up_stream(Output::Leave(error));
            }
            _ => self.end(key, error),
        }
    }

    fn give_up_stream(&mut self, how: Output<R>) {
        self.phase = Phase::Leaving;
        self.out.push_back(how);
    }

    fn take_canceled(&mut self, response: &wire::WatchResponse, server: Server) {
        let id = response.watch_id;
        if self.ending.remove(&id) {
            return;
        }
        let Some((key, watcher)) = self.live(id) else { return };
        watcher.forget_held();
        watcher.place = Place::Unsent;
        if response.compact_revision != 0 {
            // The others are gone on the server, but this one etcd keeps until it is cancelled, and answers no request for
            // progress on the stream for as long.
            self.cancel_on_server(id);
        }
        self.foreign_ids.remove(&id);
        self.refuse(key, response, server);
    }

    fn take_events(
        &mut self,
        response: wire::WatchResponse,
        header: ResponseHeader,
        bytes: usize,
        server: Server,
    ) {
        let id = response.watch_id;
        let Some((key, watcher)) = self.live(id) else {
            // Of a watch that was cancelled, or of one that nobody made.
            let expected = self.creating.iter().any(|(creating, _)| *creating == id);
            if !expected {
                self.end_on_server(id);
            }
            return;
        };
        if watcher.held_bytes().saturating_add(bytes) > LARGEST {
            return self.end(key, failure::too_large(LARGEST));
        }
        match watcher.take(response.events, bytes, response.fragment, server.repeats) {
            Ok(Taken::Nothing) => {}
            Ok(Taken::Events(events, bytes)) => {
                let chosen = watcher.chosen_id();
                let id = if chosen == 0 { id } else { chosen };
                self.out.push_back(Output::Deliver(key, view(header, events, id), bytes));
            }
            Err(error) => self.end(key, error),
        }
    }

    fn take_progress(&mut self, id: i64, header: ResponseHeader, bytes: usize, server: Server) {
        if let Some((key, watcher)) = self.live(id) {
            // The end of a revision that came in pieces.
            if watcher.is_holding() {
                let last = wire::WatchResponse { watch_id: id, ..wire::WatchResponse::default() };
                self.take_events(last, header, bytes, server);
            }
            self.progress_of(key, id, header, server, true);
        } else if id == -1 {
            self.answered += 1;
            let (answered, revision) = (self.answered, header.revision.get());
            let meant = |key: &Key, watcher: &Watcher<R>| match watcher.place {
                Place::Live(id) if watcher.is_meant(revision, answered) => Some((id, *key)),
                _ => None,
            };
            let watchers = self.watchers.iter();
            let live: Vec<(i64, Key)> =
                watchers.filter_map(|(key, watcher)| meant(key, watcher)).collect();
            for (id, key) in live {
                self.progress_of(key, id, header, server, false);
            }
        }
    }

    fn progress_of(
        &mut self,
        key: Key,
        id: i64,
        header: ResponseHeader,
        server: Server,
        addressed: bool,
    ) {
        let Some(watcher) = self.watchers.get_mut(&key) else { return };
        let revision = header.revision;
        // A member that lags behind tells nothing new, and before the end of a revision it can't be true.
        if revision.get() < watcher.next.saturating_sub(1) || watcher.is_holding() {
            return;
        }
        let moves = server.progress && revision.get() >= watcher.next;
        if moves {
            watcher.moved(revision.get());
        }
        let wanted = if addressed {
            watcher.progress_notify()
        } else {
            std::mem::take(&mut watcher.progress_wanted)
        };
        if wanted {
            let chosen = watcher.chosen_id();
            let id = if chosen == 0 { id } else { chosen };
            self.out.push_back(Output::Deliver(key, view(header, Vec::new(), id), 0));
        }
        if moves {
            self.out.push_back(Output::Moved(key, revision));
        }
    }
}

fn view(header: ResponseHeader, events: Vec<mvccpb::Event>, id: i64) -> WatchResponse {
    WatchResponse::new(header, events.into_iter().map(Event::from)).with_watch_id(id)
}
