use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::*;
use crate::config::Secret;

/// A server that counts how often it is asked and how often it answered, and takes a second for each answer.
#[derive(Clone, Default)]
struct Server(Arc<Counts>);

#[derive(Default)]
struct Counts {
    asked: AtomicU32,
    answered: AtomicU32,
    refuses: AtomicBool,
}

impl Server {
    fn authenticate(&self) -> Exchange {
        let Self(counts) = self.clone();
        Box::pin(async move {
            let asked = counts.asked.fetch_add(1, Ordering::Relaxed) + 1;
            clock::sleep(Duration::from_secs(1)).await;
            counts.answered.fetch_add(1, Ordering::Relaxed);
            if counts.refuses.load(Ordering::Relaxed) {
                return Err(Error::new(ErrorKind::Unauthenticated, "invalid user ID or password"));
            }
            Ok(Authenticated::Token(format!("token.{asked}")))
        })
    }

    fn refuse(&self, refuses: bool) {
        self.0.refuses.store(refuses, Ordering::Relaxed);
    }

    fn asked(&self) -> u32 {
        self.0.asked.load(Ordering::Relaxed)
    }
}

fn tokens() -> Tokens {
    let password = Secret::new("secret");
    Tokens::new(Credentials::Password { user: "root".into(), password }).unwrap()
}

fn value(tokens: &Tokens) -> Option<String> {
    let token = tokens.current()?;
    assert!(token.value.is_sensitive());
    assert!(!format!("{token:?}").contains("token."), "{token:?}");
    Some(token.value.to_str().unwrap().to_owned())
}

#[tokio::test(start_paused = true)]
async fn one_exchange_serves_all_who_ask_at_once() {
    let (tokens, server) = (tokens(), Server::default());
    assert!(tokens.is_wanting());
    let renew = || tokens.renew(0, || server.authenticate());
    let (a, b, c) = tokio::join!(renew(), renew(), renew());
    a.and(b).and(c).unwrap();
    assert_eq!(server.asked(), 1);
    assert_eq!(value(&tokens).as_deref(), Some("token.1"));
    assert!(!tokens.is_wanting());
}

#[tokio::test(start_paused = true)]
async fn a_token_is_replaced_once_however_many_calls_it_failed() {
    let (tokens, server) = (tokens(), Server::default());
    tokens.renew(0, || server.authenticate()).await.unwrap();
    let seen = tokens.current().unwrap().generation;
    let renew = || tokens.renew(seen, || server.authenticate());
    let (a, b) = tokio::join!(renew(), renew());
    a.and(b).unwrap();
    // One that comes late, about the token before.
    renew().await.unwrap();
    assert_eq!(server.asked(), 2);
    assert_eq!(value(&tokens).as_deref(), Some("token.2"));
    assert_eq!(tokens.current().unwrap().generation, seen + 1);
}

#[tokio::test(start_paused = true)]
async fn a_caller_with_little_time_does_not_end_the_exchange_for_the_others() {
    let (tokens, server) = (tokens(), Server::default());
    let soon = Some(clock::now() + Duration::from_millis(500));
    let impatient = clock::until(soon, tokens.renew(0, || server.authenticate()));
    let (impatient, patient) = tokio::join!(impatient, tokens.renew(0, || server.authenticate()));
    assert!(impatient.is_none());
    patient.unwrap();
    assert_eq!(server.asked(), 1);
    assert_eq!(value(&tokens).as_deref(), Some("token.1"));
}

#[tokio::test(start_paused = true)]
async fn an_exchange_that_nobody_waits_for_any_more_is_ended() {
    let (tokens, server) = (tokens(), Server::default());
    let soon = Some(clock::now() + Duration::from_millis(500));
    let renew = || clock::until(soon, tokens.renew(0, || server.authenticate()));
    let (a, b) = tokio::join!(renew(), renew());
    assert!(a.is_none() && b.is_none());
    clock::sleep(Duration::from_secs(2)).await;
    // Nothing of it is left, or the server would be shared with it.
    assert_eq!(Arc::strong_count(&server.0), 1);
    assert_eq!(server.0.answered.load(Ordering::Relaxed), 0);
    tokens.renew(0, || server.authenticate()).await.unwrap();
    assert_eq!(server.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_failed_exchange_is_told_to_all_who_waited_for_it() {
    let tokens = tokens();
    let asked = AtomicU32::new(0);
    let renew = || {
        tokens.renew(0, || {
            asked.fetch_add(1, Ordering::Relaxed);
            Box::pin(async {
                clock::sleep(Duration::from_secs(1)).await;
                Err(Error::new(ErrorKind::Unavailable, "nobody there"))
            })
        })
    };
    let (a, b, c) = tokio::join!(renew(), renew(), renew());
    for outcome in [a, b, c] {
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Unavailable);
    }
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    // Who comes later asks again.
    renew().await.unwrap_err();
    assert_eq!(asked.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn a_refused_password_is_not_tried_again_by_every_call() {
    let (tokens, server) = (tokens(), Server::default());
    server.refuse(true);
    let renew = || tokens.renew(0, || server.authenticate());
    // The refusal stands for 1 s, 2 s, 4 s and so on, and at most for 30 s.
    for (nth, stands) in [1, 2, 4, 8, 16, 30, 30].into_iter().enumerate() {
        let asked = u32::try_from(nth).unwrap() + 1;
        let error = renew().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthenticated);
        assert_eq!(server.asked(), asked);
        tokio::time::advance(Duration::from_millis(stands * 1000 - 10)).await;
        assert_eq!(renew().await.unwrap_err().kind(), ErrorKind::Unauthenticated);
        assert_eq!(server.asked(), asked, "asked again before {stands} s were over");
        tokio::time::advance(Duration::from_millis(20)).await;
    }
    // The password was made right on the server.
    server.refuse(false);
    renew().await.unwrap();
    // And after that a refusal stands for a second again.
    server.refuse(true);
    let seen = tokens.current().unwrap().generation;
    tokens.renew(seen, || server.authenticate()).await.unwrap_err();
    let asked = server.asked();
    tokio::time::advance(Duration::from_millis(1010)).await;
    tokens.renew(seen, || server.authenticate()).await.unwrap_err();
    assert_eq!(server.asked(), asked + 1);
}

#[tokio::test(start_paused = true)]
async fn other_failures_are_not_remembered() {
    let (tokens, server) = (tokens(), Server::default());
    let unavailable = async { Err(Error::new(ErrorKind::Unavailable, "nobody there")) };
    tokens.renew(0, || Box::pin(unavailable)).await.unwrap_err();
    assert!(tokens.is_wanting());
    tokens.renew(0, || server.authenticate()).await.unwrap();
    assert_eq!(server.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn without_authentication_there_is_no_token_to_want() {
    let tokens = tokens();
    tokens.renew(0, || Box::pin(async { Ok(Authenticated::NotEnabled) })).await.unwrap();
    assert!(tokens.current().is_none());
    assert!(!tokens.is_wanting());
}

#[test]
fn a_token_made_elsewhere_is_used_as_it_is() {
    let tokens = Tokens::new(Credentials::Token(Secret::new("token.jwt"))).unwrap();
    assert_eq!(value(&tokens).as_deref(), Some("token.jwt"));
    assert!(!tokens.can_authenticate() && !tokens.is_wanting() && tokens.password().is_none());
    let broken = Tokens::new(Credentials::Token(Secret::new("to\nken")));
    let error = broken.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(!error.to_string().contains("ken\"") && !format!("{error:?}").contains("to\\nken"));
}
