//! Lists of endpoints: as configured, as set later, as the members advertise them.

use crate::config::Endpoint;
use crate::error::{Error, Result};

/// Endpoints, at least one and none twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoints(Vec<Endpoint>);

impl Endpoints {
    /// Keeps the first of equal ones.
    pub(crate) fn new(endpoints: impl IntoIterator<Item = Endpoint>) -> Result<Self> {
        let mut kept: Vec<Endpoint> = Vec::new();
        for endpoint in endpoints {
            if !kept.contains(&endpoint) {
                kept.push(endpoint);
            }
        }
        if kept.is_empty() {
            return Err(Error::invalid(
                "no endpoints: name at least one, such as http://127.0.0.1:2379",
            ));
        }
        Ok(Self(kept))
    }

    /// Parses a list; the error names the first bad one.
    pub(crate) fn parse<I>(endpoints: I) -> Result<Self>
    where
        I: IntoIterator,
        I::Item: TryInto<Endpoint>,
        <I::Item as TryInto<Endpoint>>::Error: Into<Error>,
    {
        let parsed: Result<Vec<_>> =
            endpoints.into_iter().map(|endpoint| endpoint.try_into().map_err(Into::into)).collect();
        Self::new(parsed?)
    }

    /// What is usable of the client URLs that members advertise, and passes a `check` of this client's settings.
    pub(crate) fn from_members<'a>(
        urls: impl IntoIterator<Item = &'a str>,
        policy: &MemberPolicy,
        check: impl Fn(&Endpoint) -> Result<()>,
    ) -> FromMembers {
        let mut answer = FromMembers::default();
        for url in urls {
            let judged = policy.accept(url).and_then(|endpoint| {
                check(&endpoint).map_err(|error| error.to_string())?;
                Ok(endpoint)
            });
            match judged {
                Ok(endpoint) if answer.kept.contains(&endpoint) => {}
                Ok(endpoint) => answer.kept.push(endpoint),
                Err(reason) => answer.dropped.push((url.to_owned(), reason)),
            }
        }
        answer
    }

    /// The same endpoints in an order of chance.
    pub(crate) fn shuffled(&self, rng: &mut fastrand::Rng) -> Self {
        let mut endpoints = self.0.clone();
        rng.shuffle(&mut endpoints);
        Self(endpoints)
    }

    pub(crate) fn as_slice(&self) -> &[Endpoint] {
        &self.0
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Endpoint> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a Endpoints {
    type Item = &'a Endpoint;
    type IntoIter = std::slice::Iter<'a, Endpoint>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// What a member list may bring in, judged by the endpoints that the user gave and those in use.
///
/// Members advertise what their operator typed: `http://localhost:2379` is etcd's own default, and behind a TLS
/// terminator they say `http` although the client has to say `https`.
#[derive(Clone, Debug)]
pub(crate) struct MemberPolicy {
    /// What the user gave: what a member list leaves out is not in use any more the next time.
    given: Endpoints,
    current: Endpoints,
    tls_configured: bool,
}

impl MemberPolicy {
    pub(crate) fn new(given: Endpoints, current: Endpoints, tls_configured: bool) -> Self {
        Self { given, current, tls_configured }
    }

    fn accept(&self, url: &str) -> Result<Endpoint, String> {
        let endpoint: Endpoint = url.parse().map_err(|error: Error| error.to_string())?;
        let known = [&self.given, &self.current];
        if !self.is_tls(&endpoint) && !known.iter().any(|list| list.0.contains(&endpoint)) {
            // It would send keys, values and tokens in the clear.
            if known.iter().any(|list| self.is_tls_only(list)) {
                return Err("plain text, while all endpoints in use are TLS".to_owned());
            }
            let mut by_tls = known.into_iter().flatten().filter(|known| self.is_tls(known));
            if by_tls.any(|known| known.server_name() == endpoint.server_name()) {
                return Err("plain text, while its host is used by TLS".to_owned());
            }
        }
        if endpoint.is_local() && !self.current.iter().any(Endpoint::is_local) {
            return Err("this machine only, while the endpoints in use are on others".to_owned());
        }
        Ok(endpoint)
    }

    fn is_tls(&self, endpoint: &Endpoint) -> bool {
        endpoint.uses_tls(self.tls_configured)
    }

    /// Whether nothing goes over a network but by TLS.
    fn is_tls_only(&self, list: &Endpoints) -> bool {
        list.iter().any(|endpoint| self.is_tls(endpoint))
            && list.iter().all(|endpoint| self.is_tls(endpoint) || endpoint.is_local())
    }
}

/// What became of a member list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FromMembers {
    /// Usable endpoints, in the members' order. May be empty: then the endpoints in use stay.
    pub(crate) kept: Vec<Endpoint>,
    /// URLs left out, and why.
    pub(crate) dropped: Vec<(String, String)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_not_empty_and_has_nothing_twice() {
        let list = Endpoints::parse(["http://a:1", "b", "http://a:1/", "b:2379"]).unwrap();
        let shown: Vec<_> = list.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["http://a:1", "b"]);

        let none: [&str; 0] = [];
        let error = Endpoints::parse(none).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no endpoints: name at least one, such as http://127.0.0.1:2379"
        );

        let error = Endpoints::parse(["a", "b:0", "c:0"]).unwrap_err();
        assert!(error.to_string().starts_with("endpoint `b:0`"), "{error}");
    }

    #[test]
    fn whatever_becomes_an_endpoint_can_be_given() {
        let endpoint: Endpoint = "a:1".parse().unwrap();
        let strings = vec!["a:1".to_owned()];
        let slice: &[&str] = &["a:1"];
        let lists = [
            Endpoints::parse(&strings),
            Endpoints::parse(strings.clone()),
            Endpoints::parse(slice),
            Endpoints::parse("a:1,a:1".split(',')),
            Endpoints::parse([endpoint.clone()]),
            Endpoints::parse([&endpoint]),
        ];
        for list in lists {
            assert_eq!(list.unwrap().as_slice(), std::slice::from_ref(&endpoint));
        }
    }

    #[test]
    fn member_urls_are_judged_by_the_endpoints_in_use() {
        for (current, configured, url, verdict) in [
            ("http://a:1", false, "http://b:1", Ok(())),
            ("http://a:1", false, "https://b:1", Ok(())),
            ("https://a:1", false, "https://b:1", Ok(())),
            ("https://a:1", false, "http://b:1", Err("plain text")),
            ("https://a:1", true, "http://b:1", Err("plain text")),
            ("a:1", true, "http://b:1", Err("plain text")),
            ("a:1", false, "http://b:1", Ok(())),
            ("unixs:a", false, "http://localhost:1", Err("plain text")),
            ("http://a:1", false, "http://localhost:2379", Err("this machine only")),
            ("http://a:1", false, "http://127.0.0.1:2379", Err("this machine only")),
            ("http://a:1", false, "http://[::1]:2379", Err("this machine only")),
            ("http://a:1", false, "unix:///x", Err("this machine only")),
            ("http://localhost:1", false, "http://127.0.0.1:2379", Ok(())),
            ("unix:///x", false, "unix://localhost:1", Ok(())),
            ("inprocess:m0", false, "http://localhost:2379", Ok(())),
            ("http://a:1", false, "http://0.0.0.0:2379", Err("listen on")),
            ("http://a:1", false, "http://b:0", Err("port 0")),
            ("http://a:1", false, "", Err("the host is missing")),
        ] {
            let policy = policy(&[current], &[current], configured);
            let answer = Endpoints::from_members([url, url], &policy, |_| Ok(()));
            let scenario = format!("{current} {url}: {answer:?}");
            match verdict {
                Ok(()) => {
                    assert_eq!((answer.kept.len(), answer.dropped.len()), (1, 0), "{scenario}");
                    assert_eq!(answer.kept[0].to_string(), url);
                }
                Err(reason) => {
                    assert_eq!((answer.kept.len(), answer.dropped.len()), (0, 2), "{scenario}");
                    assert!(answer.dropped[0].1.contains(reason), "{scenario}");
                }
            }
        }
    }

    #[test]
    fn a_client_that_uses_both_may_learn_of_both() {
        let both = ["https://a:1", "http://b:1"];
        let policy = policy(&both, &both, false);
        let answer = Endpoints::from_members(["http://c:1", "https://d:1"], &policy, |_| Ok(()));
        assert_eq!(answer.kept.len(), 2);
    }

    fn policy(given: &[&str], current: &[&str], tls_configured: bool) -> MemberPolicy {
        let [given, current] = [given, current].map(|list| Endpoints::parse(list).unwrap());
        MemberPolicy::new(given, current, tls_configured)
    }

    /// Whatever else is in use beside it, and however often the list is read: its loss would be forgotten.
    #[test]
    fn a_host_that_was_used_by_tls_is_never_used_without() {
        let dropped = "plain text";
        for (given, current, url, reason) in [
            (
                &["https://a:1", "http://b:1"][..],
                &["https://a:1", "http://b:1"][..],
                "http://a:1",
                dropped,
            ),
            (&["https://a:1", "http://b:1"], &["https://a:1", "http://b:1"], "http://A:2", dropped),
            (&["https://a:1", "http://b:1"], &["http://b:1"], "http://a:1", dropped),
            (&["http://a:1"], &["https://a:2", "http://b:1"], "http://a:2", dropped),
            // What is beside it does not go over a network.
            (&["https://a:1", "unix:///x"], &["https://a:1", "unix:///x"], "http://a:1", dropped),
            (&["https://a:1", "unix:///x"], &["https://a:1", "unix:///x"], "http://b:1", dropped),
            (&["https://a:1", "unix:///x"], &["unix:///x"], "http://b:1", dropped),
            (&["https://a:1", "http://127.0.0.1:1"], &["https://a:1"], "http://b:1", dropped),
            // What is in use stays.
            (&["https://a:1", "unix:///x"], &["https://a:1", "unix:///x"], "unix:///x", ""),
            (&["https://a:1", "http://a:2"], &["https://a:1", "http://a:2"], "http://a:2", ""),
        ] {
            let answer = Endpoints::from_members([url], &policy(given, current, false), |_| Ok(()));
            let scenario = format!("{given:?} {current:?} {url}: {answer:?}");
            match reason {
                "" => assert_eq!(answer.kept.len(), 1, "{scenario}"),
                _ => assert!(answer.dropped[0].1.contains(reason), "{scenario}"),
            }
        }
    }
}
