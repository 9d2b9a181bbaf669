//! The table of forms, and what is refused.

use super::*;
use TlsDecision::{Always, IfConfigured, Never};

fn tcp(host: &str, port: u16) -> Address {
    Address::Tcp { host: host.to_owned(), port }
}

fn unix(path: &str) -> Address {
    Address::Unix(PathBuf::from(path))
}

#[test]
fn interpret() {
    for (written, address, authority, server_name, tls) in [
        ("127.0.0.1", tcp("127.0.0.1", 2379), "127.0.0.1", "127.0.0.1", IfConfigured),
        ("localhost", tcp("localhost", 2379), "localhost", "localhost", IfConfigured),
        ("localhost:20000", tcp("localhost", 20000), "localhost:20000", "localhost", IfConfigured),
        (" a.b:1 ", tcp("a.b", 1), "a.b:1", "a.b", IfConfigured),
        ("ETCD-0:1", tcp("etcd-0", 1), "ETCD-0:1", "etcd-0", IfConfigured),
        ("etcd_0:1", tcp("etcd_0", 1), "etcd_0:1", "etcd_0", IfConfigured),
        ("10.0.0.1:65535", tcp("10.0.0.1", 65535), "10.0.0.1:65535", "10.0.0.1", IfConfigured),
        ("[::1]", tcp("::1", 2379), "[::1]", "::1", IfConfigured),
        ("[::1]:2379", tcp("::1", 2379), "[::1]:2379", "::1", IfConfigured),
        (
            "[fe80::1%eth0]:2379",
            tcp("fe80::1%eth0", 2379),
            "[fe80::1]:2379",
            "fe80::1",
            IfConfigured,
        ),
        ("http://127.0.0.1", tcp("127.0.0.1", 2379), "127.0.0.1", "127.0.0.1", Never),
        ("http://127.0.0.1:20000", tcp("127.0.0.1", 20000), "127.0.0.1:20000", "127.0.0.1", Never),
        ("HTTP://localhost:20000/", tcp("localhost", 20000), "localhost:20000", "localhost", Never),
        (
            "http://localhost:20000/a/b?c#d",
            tcp("localhost", 20000),
            "localhost:20000",
            "localhost",
            Never,
        ),
        ("https://127.0.0.1", tcp("127.0.0.1", 2379), "127.0.0.1", "127.0.0.1", Always),
        (
            "https://localhost:20000",
            tcp("localhost", 20000),
            "localhost:20000",
            "localhost",
            Always,
        ),
        (
            "https://u:p@localhost:20000/x",
            tcp("localhost", 20000),
            "localhost:20000",
            "localhost",
            Always,
        ),
        (
            "https://localhost:20000?x",
            tcp("localhost", 20000),
            "localhost:20000",
            "localhost",
            Always,
        ),
        ("https://[fe80::1%25eth0]:1", tcp("fe80::1%eth0", 1), "[fe80::1]:1", "fe80::1", Always),
        (
            "https://[2001:DB8::1]:1",
            tcp("2001:db8::1", 1),
            "[2001:DB8::1]:1",
            "2001:db8::1",
            Always,
        ),
        ("unix:abs", unix("abs"), "abs", "abs", IfConfigured),
        ("unix:a/b.sock", unix("a/b.sock"), "b.sock", "b.sock", IfConfigured),
        ("unix:/a/b", unix("/a/b"), "b", "b", IfConfigured),
        ("unix://abs", unix("abs"), "abs", "abs", IfConfigured),
        (
            "unix://localhost:2379",
            unix("localhost:2379"),
            "localhost:2379",
            "localhost",
            IfConfigured,
        ),
        ("unix:///tmp/abs", unix("/tmp/abs"), "abs", "abs", IfConfigured),
        ("unix:///tmp/[::1]:1", unix("/tmp/[::1]:1"), "[::1]:1", "::1", IfConfigured),
        ("unixs:abs", unix("abs"), "abs", "abs", Always),
        ("unixs:/a/b", unix("/a/b"), "b", "b", Always),
        ("unixs://m0:1", unix("m0:1"), "m0:1", "m0", Always),
        ("unixs:///tmp/localhost:1", unix("/tmp/localhost:1"), "localhost:1", "localhost", Always),
        ("unix:///tmp/a@b", unix("/tmp/a@b"), "localhost", "a@b", IfConfigured),
        ("unix:///tmp/a b", unix("/tmp/a b"), "localhost", "a b", IfConfigured),
        ("unix:ä", unix("ä"), "localhost", "ä", IfConfigured),
        ("https://a.b.:1", tcp("a.b.", 1), "a.b.:1", "a.b", Always),
        ("inprocess:m0", Address::InProcess("m0".into()), "m0", "m0", Never),
        ("inprocess://m0", Address::InProcess("m0".into()), "m0", "m0", Never),
    ] {
        let endpoint =
            Endpoint::parse(written).unwrap_or_else(|error| panic!("{written}: {error}"));
        assert_eq!(*endpoint.address(), address, "{written}");
        assert_eq!(endpoint.authority(), authority, "{written}");
        assert_eq!(endpoint.server_name(), server_name, "{written}");
        assert_eq!(endpoint.tls(), tls, "{written}");
        assert!(endpoint.authority().parse::<http::uri::Authority>().is_ok(), "{written}");
    }
}

#[test]
fn what_is_no_endpoint_is_refused_with_a_reason() {
    for (written, reason) in [
        ("", "the host is missing"),
        (":2379", "the host is missing"),
        ("http://", "the host is missing"),
        ("http://:2379", "the host is missing"),
        ("https:///path", "the host is missing"),
        ("dns://a:1", "the scheme `dns` is not known"),
        ("etcd://a:1", "https://host:port"),
        ("a:0", "port 0"),
        ("a:65536", "from 1 to 65535"),
        ("a:", "from 1 to 65535"),
        ("a:b", "no port"),
        ("a:b:1", "too many colons"),
        ("0.0.0.0:2379", "listen on"),
        ("http://0.0.0.0:2379", "listen on"),
        ("[::]:2379", "listen on"),
        ("[::ffff:0.0.0.0]:2379", "listen on"),
        ("::1", "in brackets: [::1]:2379"),
        ("fe80::1", "in brackets"),
        ("http://::1", "in brackets"),
        ("[::1", "`]` is missing"),
        ("[::1]2379", "after `]`"),
        ("[a]:1", "no IPv6 address"),
        ("a/b", "a path without a scheme"),
        ("a b:1", "a host has letters"),
        ("bücher:1", "punycode"),
        ("1.2.3:1", "neither a name nor an IPv4 address"),
        ("1.2.3.256:1", "neither a name nor an IPv4 address"),
        ("unix:", "names no socket"),
        ("unix://", "names no socket"),
        ("unixs:///tmp/", "names no socket"),
        ("inprocess:", "comes a name"),
        ("a,b", "a host has letters"),
    ] {
        let error = Endpoint::parse(written).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::InvalidArgument);
        let text = error.to_string();
        assert!(text.contains(reason), "{written:?}: {text}");
        assert!(text.starts_with(&format!("endpoint `{written}`")), "{text}");
    }
}

#[test]
fn passwords_are_never_shown() {
    for (written, shown) in [
        ("https://u:secret@a:1/x", "https://***@a:1/x"),
        ("https://secret@a", "https://***@a"),
        ("https://u:sec@ret@a:1", "https://***@a:1"),
    ] {
        let endpoint = Endpoint::parse(written).unwrap();
        assert_eq!(endpoint.to_string(), shown);
        assert_eq!(format!("{endpoint:?}"), format!("Endpoint({shown})"));
    }
    for written in
        ["u:secret@a:1", "dns://u:secret@a", "http://u:secret/x@a", "http://u:@secret@:1"]
    {
        let text = Endpoint::parse(written).unwrap_err().to_string();
        assert!(!text.contains("secret"), "{text}");
    }
    // Digits before a slash look like a port; the client would connect to a host named after the user.
    for written in ["http://alice:1234/x@host", "http://alice:99999999/x@host:1", "http://a?@b"] {
        let text = Endpoint::parse(written).unwrap_err().to_string();
        assert!(text.contains("there is an `@` after"), "{text}");
        assert!(!text.contains("1234") && !text.contains("9999"), "{text}");
    }
}

#[test]
fn equal_is_what_leads_to_the_same_place() {
    for (one, other, equal) in [
        ("a", "a:2379", true),
        ("A:1", "a:1", true),
        ("http://a:1", "http://a:1/x", true),
        ("http://a:1", "a:1", false),
        ("http://a:1", "https://a:1", false),
        ("a:1", "a:2", false),
        ("unix:/a", "unix:///a", true),
        ("unix:/a", "unixs:/a", false),
    ] {
        assert_eq!(
            Endpoint::parse(one).unwrap() == Endpoint::parse(other).unwrap(),
            equal,
            "{one} {other}"
        );
    }
}

proptest::proptest! {
    #[test]
    fn nothing_that_can_be_typed_makes_it_panic(
        text in "(https?://|unixs?:(//)?|inprocess:|)[a-z0-9@:/.%\\[\\] \\PC]{0,12}"
    ) {
        if let Ok(endpoint) = Endpoint::parse(&text) {
            let authority = endpoint.authority().parse::<http::uri::Authority>();
            proptest::prop_assert!(authority.is_ok(), "{}", endpoint.authority());
            if !text.contains('@') {
                let again = Endpoint::parse(&endpoint.to_string());
                proptest::prop_assert_eq!(again.ok(), Some(endpoint));
            }
        }
    }
}
