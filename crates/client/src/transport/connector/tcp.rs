//! TCP, by whichever of a name's addresses answers first.

use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::time::timeout;

use crate::error::Cause;

/// How long an address may stay without an answer before the next is tried beside it (RFC 8305's recommendation).
const STAGGER: Duration = Duration::from_millis(250);

/// Connects to `host`, resolving it anew: addresses behind a name change, in a cluster on Kubernetes with every
/// restart. Each turn begins with another of them.
pub(super) async fn connect(host: &str, port: u16, turn: usize) -> Result<TcpStream, Cause> {
    let addresses = in_turn(resolve(host, port).await?, turn);
    race(addresses, STAGGER, open).await.map_err(|failures| Cause::Connect(describe(&failures)))
}

async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, Cause> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    match lookup_host((host, port)).await {
        Ok(addresses) => {
            let addresses = interleave(addresses.collect());
            if addresses.is_empty() {
                return Err(Cause::Resolve(format!("`{host}` has no address")));
            }
            Ok(addresses)
        }
        Err(error) => Err(Cause::Resolve(format!("`{host}`: {error}"))),
    }
}

/// Lets the families take turns, each in the resolver's order and the resolver's favourite first: if one family does
/// not get through, the second attempt already is of the other.
fn interleave(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let mut seen = Vec::with_capacity(addresses.len());
    for address in addresses {
        if !seen.contains(&address) {
            seen.push(address);
        }
    }
    let Some(favourite) = seen.first().map(SocketAddr::is_ipv4) else {
        return seen;
    };
    let (first, second): (Vec<_>, Vec<_>) =
        seen.into_iter().partition(|address| address.is_ipv4() == favourite);
    let mut second = second.into_iter();
    let mut order = Vec::with_capacity(first.len() + second.len());
    for address in first {
        order.push(address);
        order.extend(second.next());
    }
    order.extend(second);
    order
}

/// The same addresses, beginning with another one each turn.
fn in_turn(mut addresses: Vec<SocketAddr>, turn: usize) -> Vec<SocketAddr> {
    let first = turn.checked_rem(addresses.len()).unwrap_or(0);
    addresses.rotate_left(first);
    addresses
}

async fn open(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // Requests are small and wait for nothing. Keep-alive is only the last resort that clears away connections to
    // machines that are gone, at the system's own pace; liveness probes notice long before.
    socket.set_nodelay(true)?;
    socket.set_keepalive(true)?;
    socket.connect(address).await
}

/// The addresses that failed, and how.
type Failures = Vec<(SocketAddr, io::Error)>;

/// Tries `addresses` in turn, the next as soon as one fails or none has answered for `stagger`. The first to connect
/// wins, the others are dropped.
async fn race<T, F>(
    addresses: Vec<SocketAddr>,
    stagger: Duration,
    open: impl Fn(SocketAddr) -> F,
) -> Result<T, Failures>
where
    F: Future<Output = io::Result<T>>,
{
    let mut waiting = addresses.into_iter();
    let mut attempts: Vec<(SocketAddr, Pin<Box<F>>)> = Vec::new();
    let mut failures = Failures::new();
    loop {
        let started = match waiting.next() {
            Some(address) => {
                attempts.push((address, Box::pin(open(address))));
                true
            }
            None if attempts.is_empty() => return Err(failures),
            None => false,
        };
        let ended = if started && waiting.len() > 0 {
            timeout(stagger, first(&mut attempts)).await.ok()
        } else {
            Some(first(&mut attempts).await)
        };
        match ended {
            Some((_, Ok(connected))) => return Ok(connected),
            Some((address, Err(error))) => failures.push((address, error)),
            None => {}
        }
    }
}

/// The first attempt to end, taken out of the list. Pending while the list is empty.
async fn first<T, F>(attempts: &mut Vec<(SocketAddr, Pin<Box<F>>)>) -> (SocketAddr, io::Result<T>)
where
    F: Future<Output = io::Result<T>>,
{
    poll_fn(|context| {
        for index in 0..attempts.len() {
            if let Poll::Ready(result) = attempts[index].1.as_mut().poll(context) {
                let (address, _) = attempts.swap_remove(index);
                return Poll::Ready((address, result));
            }
        }
        Poll::Pending
    })
    .await
}

/// One line: with several addresses, which failed how.
fn describe(failures: &Failures) -> String {
    match &failures[..] {
        [(address, error)] => format!("{address}: {}", plain(error)),
        several => {
            let each: Vec<_> = several
                .iter()
                .map(|(address, error)| format!("{}: {}", address.ip(), plain(error)))
                .collect();
            each.join(", ")
        }
    }
}

/// The system's words without its error number.
fn plain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::HostUnreachable => "host unreachable".to_owned(),
        io::ErrorKind::NetworkUnreachable => "network unreachable".to_owned(),
        io::ErrorKind::TimedOut => "connection timed out".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use tokio::net::TcpListener;
    use tokio::time::Instant;

    fn addresses<const N: usize>(texts: [&str; N]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn families_take_turns() {
        for (resolved, tried) in [
            (
                addresses(["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "1.1.1.2:1"]),
                addresses(["[::1]:1", "1.1.1.1:1", "[::2]:1", "1.1.1.2:1", "[::3]:1"]),
            ),
            (
                addresses(["1.1.1.1:1", "[::1]:1", "[::2]:1"]),
                addresses(["1.1.1.1:1", "[::1]:1", "[::2]:1"]),
            ),
            (addresses(["1.1.1.1:1", "1.1.1.1:1"]), addresses(["1.1.1.1:1"])),
            (vec![], vec![]),
        ] {
            assert_eq!(interleave(resolved), tried);
        }
    }

    #[test]
    fn an_address_that_came_to_nothing_is_not_the_first_of_the_next_turn() {
        let all = || addresses(["1.1.1.1:1", "[::1]:1", "1.1.1.2:1"]);
        for (turn, tried) in [
            (0, all()),
            (1, addresses(["[::1]:1", "1.1.1.2:1", "1.1.1.1:1"])),
            (2, addresses(["1.1.1.2:1", "1.1.1.1:1", "[::1]:1"])),
            (3, all()),
        ] {
            assert_eq!(in_turn(all(), turn), tried, "{turn}");
        }
        assert_eq!(in_turn(Vec::new(), 1), []);
    }

    /// Runs a race over what each address does, and returns the winner and when each attempt started, in milliseconds.
    async fn scripted(script: &[(u64, bool)]) -> (Result<u16, usize>, Vec<u64>, u64) {
        let list =
            (0..script.len()).map(|n| SocketAddr::from(([127, 0, 0, 1], n as u16))).collect();
        #[expect(clippy::disallowed_methods, reason = "a test of pauses")]
        let begin = Instant::now();
        let elapsed = || begin.elapsed().as_millis() as u64;
        let started = RefCell::new(Vec::new());
        let result = race(list, STAGGER, |address| {
            started.borrow_mut().push(elapsed());
            let (after, connects) = script[usize::from(address.port())];
            async move {
                #[expect(clippy::disallowed_methods, reason = "a test of pauses")]
                tokio::time::sleep(Duration::from_millis(after)).await;
                if connects { Ok(address.port()) } else { Err(io::Error::other("scripted")) }
            }
        })
        .await;
        (result.map_err(|failures| failures.len()), started.into_inner(), elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_address_starts_on_failure_or_silence() {
        for (script, winner, starts, end) in [
            (&[(10, true), (0, true)][..], Ok(0), &[0][..], 10),
            (&[(10, false), (5, true)], Ok(1), &[0, 10], 15),
            (&[(10_000, true), (5, true)], Ok(1), &[0, 250], 255),
            (&[(300, true), (10_000, true)], Ok(0), &[0, 250], 300),
            (&[(10_000, true), (10_000, true), (1, true)], Ok(2), &[0, 250, 500], 501),
            (&[(10, false), (20, false)], Err(2), &[0, 10], 30),
            (&[(260, false), (10_000, false), (1, true)], Ok(2), &[0, 250, 260], 261),
            (&[(900, true), (300, false)], Ok(0), &[0, 250], 900),
            (&[], Err(0), &[], 0),
        ] {
            assert_eq!(scripted(script).await, (winner, starts.to_vec(), end), "{script:?}");
        }
    }

    #[tokio::test]
    async fn an_address_that_refuses_is_passed_over() {
        // The port of a listener that was dropped may be the next one's, of another test.
        let refusing = SocketAddr::from(([127, 0, 0, 1], 1));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let good = listener.local_addr().unwrap();
        let stream = race(vec![refusing, good], STAGGER, open).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), good);
        assert!(stream.nodelay().unwrap());

        let failures = race(vec![refusing], STAGGER, open).await.unwrap_err();
        assert_eq!(describe(&failures), format!("{refusing}: connection refused"));
    }

    #[tokio::test]
    async fn names_are_resolved() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(connect("localhost", port, 0).await.is_ok());
        let cause = connect("no-such-host.invalid", port, 0).await.unwrap_err();
        assert!(
            matches!(&cause, Cause::Resolve(text) if text.contains("no-such-host.invalid")),
            "{cause}"
        );
    }
}
