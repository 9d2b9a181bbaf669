//! Each fault, seen from a client and a server on either side of the proxy.

use std::io::ErrorKind;
use std::num::NonZeroU64;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::Instant;

use super::{Direction, Proxy};

/// A server's listener with a proxy before it.
async fn start() -> (TcpListener, Proxy) {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = Proxy::start(server.local_addr().unwrap()).await;
    (server, proxy)
}

/// Both ends of one connection through `proxy`.
async fn connect(server: &TcpListener, proxy: &Proxy) -> (TcpStream, TcpStream) {
    let client = TcpStream::connect(proxy.addr()).await.unwrap();
    let (accepted, _) = server.accept().await.unwrap();
    (client, accepted)
}

async fn receive(socket: &mut TcpStream, expected: &[u8]) {
    let mut received = vec![0; expected.len()];
    socket.read_exact(&mut received).await.unwrap();
    assert_eq!(received, expected);
}

/// What a read gives until the connection ends, and how it ends.
async fn rest(socket: &mut TcpStream) -> (Vec<u8>, Result<(), ErrorKind>) {
    let mut received = Vec::new();
    let result = socket.read_to_end(&mut received).await;
    (received, result.map(drop).map_err(|error| error.kind()))
}

/// Nothing can be read at this moment. It proves nothing alone: each caller has first waited for the fault to act.
fn nothing_to_read(socket: &TcpStream) {
    let error = socket.try_read(&mut [0; 1]).expect_err("nothing was forwarded");
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
}

#[expect(clippy::disallowed_methods, reason = "measures how long a delay takes")]
fn now() -> Instant {
    Instant::now()
}

#[tokio::test]
async fn copies_both_ways_and_counts() {
    let (server, proxy) = start().await;
    let (mut client, mut accepted) = connect(&server, &proxy).await;
    client.write_all(b"request").await.unwrap();
    receive(&mut accepted, b"request").await;
    accepted.write_all(b"answer!!").await.unwrap();
    receive(&mut client, b"answer!!").await;
    proxy.wait_bytes(Direction::ToServer, 7).await;
    proxy.wait_bytes(Direction::ToClient, 8).await;
    assert_eq!((proxy.bytes(Direction::ToServer), proxy.bytes(Direction::ToClient)), (7, 8));
    assert_eq!((proxy.connections(), proxy.active()), (1, 1));

    // A half-close passes through, and the other direction stays usable.
    client.shutdown().await.unwrap();
    assert_eq!(rest(&mut accepted).await, (vec![], Ok(())));
    accepted.write_all(b"late").await.unwrap();
    receive(&mut client, b"late").await;
    drop(accepted);
    assert_eq!(rest(&mut client).await, (vec![], Ok(())));
    proxy.wait_active(0).await;
    assert_eq!(proxy.connections(), 1);
}

#[tokio::test]
async fn carries_more_than_the_buffers_hold() {
    let (server, proxy) = start().await;
    let (mut client, mut accepted) = connect(&server, &proxy).await;
    let sent: Vec<u8> = (0..16_000_000_u32).map(|i| i.to_le_bytes()[0]).collect();
    let expected = sent.clone();
    let write = async {
        client.write_all(&sent).await.unwrap();
        client.shutdown().await.unwrap();
    };
    let ((), (received, ended)) = tokio::join!(write, rest(&mut accepted));
    assert_eq!(ended, Ok(()));
    assert!(received == expected, "bytes were changed, lost or reordered");
}

#[tokio::test]
async fn takes_urls_and_host_names() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = server.local_addr().unwrap().port();
    for upstream in [format!("localhost:{port}"), format!("http://127.0.0.1:{port}/")] {
        let proxy = Proxy::start(&upstream).await;
        let (mut client, mut accepted) = connect(&server, &proxy).await;
        client.write_all(b"x").await.unwrap();
        receive(&mut accepted, b"x").await;
    }
}

#[tokio::test]
async fn an_unreachable_upstream_resets() {
    // The port of a listener that was dropped may be the next one's, of another test.
    let proxy = Proxy::start("127.0.0.1:1").await;
    let mut client = TcpStream::connect(proxy.addr()).await.unwrap();
    assert_eq!(rest(&mut client).await, (vec![], Err(ErrorKind::ConnectionReset)));
}

#[tokio::test]
async fn freeze_holds_old_and_new_connections_until_unfreeze() {
    let (server, proxy) = start().await;
    let (mut client, mut accepted) = connect(&server, &proxy).await;
    proxy.freeze();
    client.write_all(b"held").await.unwrap();
    let mut late = TcpStream::connect(proxy.addr()).await.unwrap();
    late.write_all(b"new").await.unwrap();
    proxy.wait_connections(2).await;
    nothing_to_read(&accepted);
    assert_eq!(proxy.bytes(Direction::ToServer), 0);
    assert_eq!(proxy.active(), 2);

    proxy.unfreeze();
    receive(&mut accepted, b"held").await;
    let (mut late_accepted, _) = server.accept().await.unwrap();
    receive(&mut late_accepted, b"new").await;
}

#[tokio::test]
async fn a_frozen_connection_can_be_ended() {
    let (server, proxy) = start().await;
    let (mut client, mut accepted) = connect(&server, &proxy).await;
    proxy.freeze();
    client.write_all(b"held").await.unwrap();
    proxy.close();
    assert_eq!(rest(&mut client).await, (vec![], Ok(())));
    assert_eq!(rest(&mut accepted).await, (vec![], Ok(())));
    proxy.wait_active(0).await;
}

#[tokio::test]
async fn dropping_one_direction_leaves_the_other() {
    for dropped in [Direction::ToServer, Direction::ToClient] {
        let (server, proxy) = start().await;
        let (client, accepted) = connect(&server, &proxy).await;
        let (mut deaf, mut heard) = match dropped {
            Direction::ToServer => (accepted, client),
            Direction::ToClient => (client, accepted),
        };
        proxy.drop_direction(dropped);
        heard.write_all(b"lost").await.unwrap();
        proxy.wait_discarded(dropped, 4).await;
        nothing_to_read(&deaf);
        deaf.write_all(b"still works").await.unwrap();
        receive(&mut heard, b"still works").await;

        // A stream with a gap never continues; a new connection is whole.
        proxy.heal();
        heard.write_all(b"after the gap").await.unwrap();
        proxy.wait_discarded(dropped, 17).await;
        nothing_to_read(&deaf);
        let (mut client, mut accepted) = connect(&server, &proxy).await;
        client.write_all(b"new").await.unwrap();
        receive(&mut accepted, b"new").await;
        accepted.write_all(b"new").await.unwrap();
        receive(&mut client, b"new").await;
    }
}

#[tokio::test]
async fn half_open_swallows_both_directions_and_fin() {
    let (server, proxy) = start().await;
    let (mut client, mut accepted) = connect(&server, &proxy).await;
    proxy.half_open();
    client.write_all(b"lost").await.unwrap();
    accepted.write_all(b"lost").await.unwrap();
    proxy.wait_discarded(Direction::ToServer, 4).await;
    proxy.wait_discarded(Direction::ToClient, 4).await;
    client.shutdown().await.unwrap();
    proxy.heal();
    nothing_to_read(&client);
    nothing_to_read(&accepted);
    assert_eq!(proxy.active(), 1);
}

#[tokio::test]
async fn reset_and_close_end_every_connection_but_not_the_next() {
    for (expected, end) in [
        (Err(ErrorKind::ConnectionReset), Proxy::reset as fn(&Proxy)),
        (Ok(()), Proxy::close as fn(&Proxy)),
    ] {
        let (server, proxy) = start().await;
        let mut ends = Vec::new();
        for _ in 0..3 {
            let (client, accepted) = connect(&server, &proxy).await;
            ends.extend([client, accepted]);
        }
        end(&proxy);
        for socket in &mut ends {
            assert_eq!(rest(socket).await, (vec![], expected));
        }
        proxy.wait_active(0).await;

        let (mut client, mut accepted) = connect(&server, &proxy).await;
        client.write_all(b"next").await.unwrap();
        receive(&mut accepted, b"next").await;
    }
}

#[tokio::test]
async fn a_reset_from_one_side_reaches_the_other() {
    let (server, proxy) = start().await;
    let (mut client, accepted) = connect(&server, &proxy).await;
    accepted.set_zero_linger().unwrap();
    drop(accepted);
    assert_eq!(rest(&mut client).await, (vec![], Err(ErrorKind::ConnectionReset)));
}

#[tokio::test]
async fn refuse_keeps_connections_and_the_port() {
    let (server, proxy) = start().await;
    let (mut client, mut accepted) = connect(&server, &proxy).await;
    for _ in 0..3 {
        proxy.refuse().await;
        proxy.refuse().await;
        let refused = TcpStream::connect(proxy.addr()).await.map_err(|error| error.kind());
        assert_eq!(refused.expect_err("refused"), ErrorKind::ConnectionRefused);
        client.write_all(b"old").await.unwrap();
        receive(&mut accepted, b"old").await;

        proxy.listen_again().await;
        let (mut client, mut accepted) = connect(&server, &proxy).await;
        client.write_all(b"new").await.unwrap();
        receive(&mut accepted, b"new").await;
    }
    assert_eq!(proxy.connections(), 4);
}

#[tokio::test]
async fn delay_holds_back_each_way_without_limiting_throughput() {
    let (server, proxy) = start().await;
    let (mut client, mut accepted) = connect(&server, &proxy).await;
    let delay = Duration::from_millis(50);
    proxy.delay(delay);
    let started = now();
    for _ in 0..1000 {
        client.write_all(b"ping").await.unwrap();
    }
    receive(&mut accepted, &b"ping".repeat(1000)).await;
    accepted.write_all(b"pong").await.unwrap();
    receive(&mut client, b"pong").await;
    let elapsed = started.elapsed();
    assert!(elapsed >= 2 * delay, "{elapsed:?}");
    assert!(elapsed < 1000 * delay, "each write waited for the one before it: {elapsed:?}");
}

#[tokio::test]
async fn throttle_limits_the_rate() {
    let (server, proxy) = start().await;
    let (mut client, mut accepted) = connect(&server, &proxy).await;
    proxy.throttle(NonZeroU64::new(10_000).unwrap());
    let started = now();
    client.write_all(&[7; 3000]).await.unwrap();
    receive(&mut accepted, &[7; 3000]).await;
    // The first of the six pieces goes at once.
    let elapsed = started.elapsed();
    assert!(elapsed >= Duration::from_millis(250), "{elapsed:?}");
    proxy.heal();
    client.write_all(&[8; 1_000_000]).await.unwrap();
    receive(&mut accepted, &[8; 1_000_000]).await;
}

#[tokio::test]
async fn cut_forwards_exactly_n_bytes_of_one_connection() {
    for n in [0, 1, 9, 100_000] {
        let (server, proxy) = start().await;
        proxy.cut_after(Direction::ToServer, n);
        let (mut client, mut accepted) = connect(&server, &proxy).await;
        let write = async {
            // The reset may come while this writes.
            let _ = client.write_all(&[1; 150_000]).await;
        };
        let ((), (received, ended)) = tokio::join!(write, rest(&mut accepted));
        assert_eq!((received.len() as u64, ended), (n, Err(ErrorKind::ConnectionReset)));
        assert!(rest(&mut client).await.1.is_err());
        assert_eq!(proxy.bytes(Direction::ToServer), n);

        let (mut client, mut accepted) = connect(&server, &proxy).await;
        client.write_all(&[2; 150]).await.unwrap();
        receive(&mut accepted, &[2; 150]).await;
    }
}

#[tokio::test]
async fn silence_forwards_n_bytes_and_swallows_the_rest() {
    let (server, proxy) = start().await;
    proxy.silence_after(Direction::ToClient, 5);
    let (mut client, mut accepted) = connect(&server, &proxy).await;
    accepted.write_all(b"first").await.unwrap();
    accepted.write_all(b"second").await.unwrap();
    receive(&mut client, b"first").await;
    proxy.wait_discarded(Direction::ToClient, 6).await;
    nothing_to_read(&client);
    client.write_all(b"request").await.unwrap();
    receive(&mut accepted, b"request").await;
    assert_eq!(proxy.active(), 1);
}

#[tokio::test]
async fn dropping_the_proxy_ends_everything() {
    let (server, proxy) = start().await;
    let (mut client, mut accepted) = connect(&server, &proxy).await;
    let addr = proxy.addr();
    // No other test is given its port meanwhile.
    let port = TcpSocket::new_v4().unwrap();
    port.set_reuseport(true).unwrap();
    port.bind(addr).unwrap();
    drop(proxy);
    assert_eq!(rest(&mut client).await, (vec![], Ok(())));
    assert_eq!(rest(&mut accepted).await, (vec![], Ok(())));
    let refused = TcpStream::connect(addr).await.map_err(|error| error.kind());
    assert_eq!(refused.expect_err("refused"), ErrorKind::ConnectionRefused);
}
