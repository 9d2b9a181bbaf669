use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, UdpSocket};
use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::{fs, process};

/// The ports of one member, kept for it for as long as this lives, also while its process is down.
#[derive(Debug)]
pub(crate) struct Ports {
    pub(super) client: Port,
    pub(super) peer: Port,
    pub(super) metrics: Port,
}

impl Ports {
    /// Three ports that nobody listens on.
    pub(crate) fn pick() -> Self {
        Self { client: Port::pick(), peer: Port::pick(), metrics: Port::pick() }
    }
}

/// A TCP port that no other test process picks.
///
/// A port cannot be held for another process to listen on. But every test process claims a port by binding the UDP
/// port of the same number first, and that claim is exclusive, costs etcd nothing and ends with the process. The
/// numbers lie below the range from which the kernel takes ports of outgoing connections, since such a connection
/// would take a port away from a member that is down. Against everyone else there is a second look at start.
#[derive(Debug)]
pub(super) struct Port {
    number: u16,
    _claim: Option<UdpSocket>,
}

impl Port {
    pub(super) const fn number(&self) -> u16 {
        self.number
    }

    fn pick() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let range = range();
        let span = u32::from(range.end - range.start);
        // Processes start at different places, so that they rarely meet.
        let start = process::id().wrapping_mul(257);
        (0..span)
            .find_map(|_| {
                let offset = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % span;
                Self::claim(range.start + u16::try_from(offset).expect("the span is a u16"))
            })
            .expect("some port is free")
    }

    fn claim(number: u16) -> Option<Self> {
        let claim = UdpSocket::bind((Ipv4Addr::LOCALHOST, number)).ok()?;
        TcpListener::bind((Ipv4Addr::UNSPECIFIED, number)).ok()?;
        // A machine without IPv6 refuses the bind for another reason.
        if let Err(error) = TcpListener::bind((Ipv6Addr::LOCALHOST, number))
            && error.kind() == std::io::ErrorKind::AddrInUse
        {
            return None;
        }
        Some(Self { number, _claim: Some(claim) })
    }

    /// A port without a claim or a look at who listens on it.
    #[cfg(test)]
    pub(super) const fn unclaimed(number: u16) -> Self {
        Self { number, _claim: None }
    }
}

/// The 12000 ports below the ephemeral ones.
fn range() -> Range<u16> {
    static RANGE: OnceLock<Range<u16>> = OnceLock::new();
    RANGE
        .get_or_init(|| {
            let ephemeral = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
            let end = ephemeral
                .ok()
                .and_then(|text| text.split_whitespace().next()?.parse().ok())
                .filter(|&end: &u16| end >= 14_000)
                .unwrap_or(32_768);
            end - 12_000..end
        })
        .clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_claimed_or_listened_on_is_not_picked() {
        let port = Port::pick();
        assert!(Port::claim(port.number).is_none(), "claimed twice");

        let number = port.number;
        drop(port);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, number)).unwrap();
        assert!(Port::claim(number).is_none(), "claimed although somebody listens");
        drop(listener);
    }

    #[test]
    fn ports_lie_below_the_ephemeral_range() {
        let ports = Ports::pick();
        for port in [&ports.client, &ports.peer, &ports.metrics] {
            assert!(range().contains(&port.number()));
        }
        assert_ne!(ports.client.number(), ports.peer.number());
    }
}
