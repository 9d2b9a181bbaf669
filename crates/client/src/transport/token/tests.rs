use std::cell::Cell;

use super::*;
use crate::config::Secret;

/// A server that counts how often it is asked, and takes a second for each answer.
#[derive(Default)]
struct Server {
    asked: Cell<u32>,
    refuses: Cell<bool>,
}

impl Server {
    async fn authenticate(&self) -> Result<Authenticated> {
        self.asked.set(self.asked.get() + 1);
        let asked = self.asked.get();
        clock::sleep(Duration::from_secs(1)).await;
        if self.refuses.get() {
            return Err(Error::new(ErrorKind::Unauthenticated, "invalid user ID or password"));
        }
        Ok(Authenticated::Token(format!("token.{asked}")))
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
    let renew = || tokens.renew(0, server.authenticate());
    let (a, b, c) = tokio::join!(renew(), renew(), renew());
    a.and(b).and(c).unwrap();
    assert_eq!(server.asked.get(), 1);
    assert_eq!(value(&tokens).as_deref(), Some("token.1"));
    assert!(!tokens.is_wanting());
}

#[tokio::test(start_paused = true)]
async fn a_token_is_replaced_once_however_many_calls_it_failed() {
    let (tokens, server) = (tokens(), Server::default());
    tokens.renew(0, server.authenticate()).await.unwrap();
    let seen = tokens.current().unwrap().generation;
    let renew = || tokens.renew(seen, server.authenticate());
    let (a, b) = tokio::join!(renew(), renew());
    a.and(b).unwrap();
    // One that comes late, about the token before.
    renew().await.unwrap();
    assert_eq!(server.asked.get(), 2);
    assert_eq!(value(&tokens).as_deref(), Some("token.2"));
    assert_eq!(tokens.current().unwrap().generation, seen + 1);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_gives_up_leaves_the_exchange_to_the_next() {
    let (tokens, server) = (tokens(), Server::default());
    let soon = Some(clock::now() + Duration::from_millis(500));
    let impatient = clock::until(soon, tokens.renew(0, server.authenticate()));
    let (impatient, patient) = tokio::join!(impatient, tokens.renew(0, server.authenticate()));
    assert!(impatient.is_none());
    patient.unwrap();
    assert_eq!(server.asked.get(), 2);
    assert_eq!(value(&tokens).as_deref(), Some("token.2"));
}

#[tokio::test(start_paused = true)]
async fn a_refused_password_is_not_tried_again_by_every_call() {
    let (tokens, server) = (tokens(), Server::default());
    server.refuses.set(true);
    let renew = || tokens.renew(0, server.authenticate());
    // The refusal stands for 1 s, 2 s, 4 s and so on, and at most for 30 s.
    for (nth, stands) in [1, 2, 4, 8, 16, 30, 30].into_iter().enumerate() {
        let asked = u32::try_from(nth).unwrap() + 1;
        let error = renew().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthenticated);
        assert_eq!(server.asked.get(), asked);
        tokio::time::advance(Duration::from_millis(stands * 1000 - 10)).await;
        assert_eq!(renew().await.unwrap_err().kind(), ErrorKind::Unauthenticated);
        assert_eq!(server.asked.get(), asked, "asked again before {stands} s were over");
        tokio::time::advance(Duration::from_millis(20)).await;
    }
    // The password was made right on the server.
    server.refuses.set(false);
    renew().await.unwrap();
    // And after that a refusal stands for a second again.
    server.refuses.set(true);
    let seen = tokens.current().unwrap().generation;
    tokens.renew(seen, server.authenticate()).await.unwrap_err();
    let asked = server.asked.get();
    tokio::time::advance(Duration::from_millis(1010)).await;
    tokens.renew(seen, server.authenticate()).await.unwrap_err();
    assert_eq!(server.asked.get(), asked + 1);
}

#[tokio::test(start_paused = true)]
async fn other_failures_are_not_remembered() {
    let (tokens, server) = (tokens(), Server::default());
    let unavailable = async { Err(Error::new(ErrorKind::Unavailable, "nobody there")) };
    tokens.renew(0, unavailable).await.unwrap_err();
    assert!(tokens.is_wanting());
    tokens.renew(0, server.authenticate()).await.unwrap();
    assert_eq!(server.asked.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn without_authentication_there_is_no_token_to_want() {
    let tokens = tokens();
    tokens.renew(0, async { Ok(Authenticated::NotEnabled) }).await.unwrap();
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
