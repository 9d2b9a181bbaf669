//! Requests that are nearly right.

use std::panic;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use etcdkit_server::Server;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::UNARY;

/// Sends requests that are nearly right, each on a connection of its own, to a server in this process. Time passes when
/// nobody has anything to do.
async fn mutated(requests: u64, seed: u64) {
    const TOKENS: [&str; 12] = [
        "{",
        "}",
        "[",
        "]",
        "\"",
        ":",
        ",",
        "null",
        "1e999",
        "-9223372036854775808",
        "\u{7ff}",
        "\"key\":{\"key\":",
    ];
    let panics = Arc::new(AtomicU64::new(0));
    let (counted, before) = (Arc::clone(&panics), panic::take_hook());
    panic::set_hook(Box::new(move |info| {
        counted.fetch_add(1, Ordering::Relaxed);
        before(info);
    }));
    let server = Server::start_ephemeral().await.expect("it starts");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut served = 0;
    for number in 0..requests {
        let (path, body) = UNARY[random.usize(..UNARY.len())];
        let mut body = body.as_bytes().to_vec();
        for _ in 0..random.usize(..4) {
            let at = random.usize(..=body.len());
            match random.u8(..4) {
                0 if at < body.len() => body[at] = random.u8(..),
                1 => body.truncate(at),
                2 => {
                    let end = random.usize(at..=body.len());
                    let part = body[at..end].repeat(random.usize(..3));
                    body.splice(at..at, part);
                }
                _ => drop(body.splice(at..at, TOKENS[random.usize(..TOKENS.len())].bytes())),
            }
        }
        let length = body.len();
        let head = "Host: localhost\r\nConnection: close\r\n";
        let mut request =
            format!("POST /v3/{path} HTTP/1.1\r\n{head}Content-Length: {length}\r\n\r\n")
                .into_bytes();
        if random.u8(..8) == 0 {
            let at = random.usize(..request.len());
            request[at] = random.u8(..);
        }
        request.extend_from_slice(&body);
        let mut io = server.connect();
        io.write_all(&request).await.expect("it reads");
        let mut answer = Vec::new();
        let read = io.read_to_end(&mut answer);
        // A head that was cut short waits for its end.
        let ended = tokio::time::timeout(Duration::from_secs(120), read).await;
        assert!(ended.is_ok(), "seed {seed}, request {number}: {}", request.escape_ascii());
        served += u64::from(answer.starts_with(b"HTTP/1.1 "));
    }
    assert_eq!(panics.load(Ordering::Relaxed), 0);
    assert!(served > requests * 8 / 10, "{served} of {requests}");
}

#[tokio::test(start_paused = true)]
async fn requests_that_are_nearly_right_are_answered() {
    mutated(1000, 1).await;
}

#[tokio::test(start_paused = true)]
#[ignore = "long: cargo xtask soak"]
async fn soak_requests_that_are_nearly_right_are_answered() {
    mutated(600_000, 2).await;
}
