//! Reading a range page by page: which page comes next, and what they all make.

use bytes::{BufMut, BytesMut};

use crate::request::{Get, KeyRange};
use crate::response::{GetResponse, KeyValue};
use crate::revision::Revision;

/// The keys of the first page, before it is known how large they are.
const FIRST_PAGE: u64 = 100;

/// How many bytes of keys and values a page should hold: enough that the round trip is small beside them, and few
/// enough that no limit of a message is met.
const PAGE_BYTES: u64 = 2 * 1024 * 1024;

/// A page holds at most so many times the keys of the one before, as the next keys may be larger.
const GROWTH: u64 = 8;

/// A read that is made in pages, all of them at the revision of the first.
#[derive(Debug)]
pub(super) struct Pages {
    /// What is left to read.
    rest: Get,
    /// How many keys are still wanted.
    wanted: Option<u64>,
    /// How many keys to ask for next; `None` if the read can't be split.
    page: Option<u64>,
    read: Option<GetResponse>,
}

impl Pages {
    pub(super) fn new(get: Get) -> Self {
        // A sort or a filter makes the server read all of the range for every page.
        let whole =
            get.is_sorted_or_filtered() || get.is_count_only() || get.key_range().is_single_key();
        let page = (!whole).then_some(FIRST_PAGE);
        Self { wanted: get.key_limit(), rest: get, page, read: None }
    }

    /// The read of the next page.
    pub(super) fn request(&self) -> Get {
        match (self.page, self.wanted) {
            (None, _) => self.rest.clone(),
            (Some(page), Some(wanted)) => self.rest.clone().limit(page.min(wanted)),
            (Some(page), None) => self.rest.clone().limit(page),
        }
    }

    /// Whether the page may be refused only because the member that was asked lags behind the one before: a member that
    /// asks the others first will have it.
    pub(super) fn ask_all(&mut self) -> bool {
        if self.read.is_none() || !self.rest.is_serializable() {
            return false;
        }
        self.rest = self.rest.clone().linearizable();
        true
    }

    /// Takes the answer to [`request`](Self::request); returns all of them in one if it was the last.
    pub(super) fn answer(&mut self, answer: GetResponse) -> Option<GetResponse> {
        let Some(page) = self.page else {
            return Some(answer);
        };
        let (more, got) = (answer.more(), answer.kvs().len() as u64);
        let last = answer.kvs().last().map(KeyValue::key_bytes);
        self.page = Some(next_page(page, &answer));
        self.wanted = self.wanted.map(|wanted| wanted.saturating_sub(got));

        let read = match self.read.take() {
            None => {
                if self.rest.revision().is_none() && answer.revision() != Revision::NONE {
                    self.rest = self.rest.clone().at_revision(answer.revision());
                }
                answer
            }
            // The first page's header tells the revision that was read, and its count is that of the whole range.
            Some(mut read) => {
                read.extend(answer);
                read
            }
        };
        let read = self.read.insert(read);
        read.set_more(more);
        match last {
            // Nothing comes between a key and the key with one zero byte more.
            Some(last) if more && self.wanted != Some(0) => {
                let mut start = BytesMut::with_capacity(last.len() + 1);
                start.put_slice(&last);
                start.put_u8(0);
                let (_, end) = self.rest.key_range().into_parts();
                self.rest =
                    self.rest.clone().with_key_range(KeyRange::from_parts(start.freeze(), end));
                None
            }
            _ => self.read.take(),
        }
    }
}

/// How many keys the next page is to have, judging by the size of the last one.
fn next_page(page: u64, answer: &GetResponse) -> u64 {
    let keys = answer.kvs().len() as u64;
    let bytes: u64 = answer.kvs().iter().map(|kv| (kv.key().len() + kv.value().len()) as u64).sum();
    let fitting = keys.saturating_mul(PAGE_BYTES) / bytes.max(1);
    fitting.clamp(1, page.saturating_mul(GROWTH))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{SortOrder, SortTarget};
    use crate::response::ResponseHeader;

    fn kvs(keys: std::ops::Range<usize>, size: usize) -> impl Iterator<Item = KeyValue> + Clone {
        keys.map(move |key| KeyValue::new(format!("k{key:06}"), vec![b'v'; size]))
    }

    /// Reads `total` keys of `size` bytes with `get`; what was read, and the limits that were asked for.
    fn read(get: Get, total: usize, size: usize) -> (GetResponse, Vec<u64>) {
        let store: Vec<_> = kvs(0..total, size).collect();
        let mut pages = Pages::new(get);
        let mut limits = Vec::new();
        for step in 0.. {
            let request = pages.request();
            limits.push(request.key_limit().unwrap_or(0));
            // The store moves on; only the first page reads what is newest.
            assert_eq!(request.revision(), (step > 0).then(|| Revision::new(50)));
            let range = request.key_range();
            let found: Vec<_> = store.iter().filter(|kv| range.contains(kv.key())).collect();
            let limit = request.key_limit().map_or(usize::MAX, |limit| limit as usize);
            let page = found.iter().take(limit).map(|kv| (*kv).clone());
            let mut answer = GetResponse::new(ResponseHeader::at(50 + step), page)
                .with_count(found.len() as u64);
            answer.set_more(found.len() > limit);
            if let Some(all) = pages.answer(answer) {
                return (all, limits);
            }
        }
        unreachable!()
    }

    #[test]
    fn pages_make_the_whole() {
        for total in [0, 1, 99, 100, 101, 5000] {
            let (all, _) = read(Get::prefix("k"), total, 10);
            let expected = GetResponse::new(ResponseHeader::at(50), kvs(0..total, 10));
            assert_eq!(all, expected, "{total} keys");
        }
    }

    #[test]
    fn pages_follow_the_size_of_the_keys() {
        assert_eq!(read(Get::all(), 10_000, 0).1, [100, 800, 6400, 51_200]);
        // 16 KiB each: 2 MiB hold 127 of them.
        assert_eq!(read(Get::all(), 300, 16 * 1024).1, [100, 127, 127]);
        // 4 MiB each: one by one, after the first page.
        assert_eq!(next_page(100, &GetResponse::new(ResponseHeader::at(1), kvs(0..1, 4 << 20))), 1);
    }

    #[test]
    fn a_limit_holds_for_all_pages_together() {
        let (all, limits) = read(Get::prefix("k").limit(150), 1000, 10);
        assert_eq!(limits, [100, 50]);
        let expected = GetResponse::new(ResponseHeader::at(50), kvs(0..150, 10));
        assert_eq!(all, expected.with_count(1000).with_more());
        let (all, _) = read(Get::prefix("k").limit(150), 150, 10);
        assert!(!all.more());
    }

    #[test]
    fn what_can_not_be_split_is_read_at_once() {
        let table = [
            Get::new("k"),
            Get::prefix("k").count_only(),
            Get::prefix("k").sort(SortTarget::Value, SortOrder::Ascend),
            Get::prefix("k").sort(SortTarget::Key, SortOrder::Descend),
            Get::prefix("k").min_mod_revision(3),
            Get::prefix("k").max_create_revision(3).limit(5),
        ];
        for get in table {
            let mut pages = Pages::new(get.clone());
            assert_eq!(pages.request(), get);
            let answer = GetResponse::new(ResponseHeader::at(2), []).with_more();
            assert_eq!(pages.answer(answer.clone()), Some(answer));
        }
    }

    #[test]
    fn a_server_that_has_more_but_gives_none_ends_it() {
        let mut pages = Pages::new(Get::all());
        let nothing = GetResponse::new(ResponseHeader::at(2), []).with_more();
        assert_eq!(pages.answer(nothing.clone()), Some(nothing));
    }

    #[test]
    fn only_later_pages_of_a_serializable_read_can_be_ahead_of_a_member() {
        let first = || GetResponse::new(ResponseHeader::at(2), kvs(0..1, 1)).with_more();
        let mut pages = Pages::new(Get::all().serializable());
        assert!(!pages.ask_all());
        assert_eq!(pages.answer(first()), None);
        assert!(pages.request().is_serializable());
        assert!(pages.ask_all());
        assert!(!pages.request().is_serializable());
        assert!(!pages.ask_all());

        let mut pages = Pages::new(Get::all());
        assert_eq!(pages.answer(first()), None);
        assert!(!pages.ask_all());
    }
}
