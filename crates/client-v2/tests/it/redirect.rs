//! Redirects.

use etcdkit_v2::{Cause, Client};

use crate::server::{Reply, Server, patient};

#[tokio::test]
async fn redirected_http_action() {
    // Method, body and query go along.
    let target = Server::always(Reply::key("v", 7)).await;
    let location = format!("{}/elsewhere?a=b", target.url());
    let server = Server::always(Reply::redirect(location)).await;
    let client = server.client();
    client.keys().set("/k", "v").await.unwrap();
    let request = &target.received()[0];
    assert_eq!((request.line().as_str(), request.body.as_str()), ("PUT /elsewhere?a=b", "value=v"));
    assert_eq!(request.header("content-type"), Some("application/x-www-form-urlencoded"));
}

#[tokio::test]
async fn redirect_following_http_client() {
    for (replies, matches) in [
        (vec![Reply::status(301, "")], Some("no location was given")),
        (vec![Reply::redirect(":")], Some("the location `:`")),
        (vec![Reply::redirect("ftp://127.0.0.1/x")], Some("ftp://127.0.0.1/x")),
        (vec![Reply::redirect("/v2/keys/other"), Reply::key("v", 7)], None),
        (vec![Reply::redirect("/a"), Reply::redirect("/b"), Reply::key("v", 7)], None),
    ] {
        let server = Server::replies(replies).await;
        let outcome = server.client().keys().get("/k").await;
        match (outcome, matches) {
            (Ok(_), None) => {}
            (Err(error), Some(text)) => {
                assert!(matches!(error.attempts()[0].cause(), Cause::Redirect(_)), "{error:?}");
                assert!(error.to_string().contains(text), "{error}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn default_check_redirect() {
    let server = Server::always(Reply::redirect("/again")).await;
    let client = server.client();
    let error = client.keys().set("/k", "v").await.unwrap_err();
    assert_eq!(server.received().len(), 11);
    assert!(error.to_string().contains("more than 10"), "{error}");
    // Whoever redirects has not written anything.
    assert!(!error.maybe_applied());

    let builder = Client::builder().endpoints([server.url()]).max_redirects(0);
    assert!(builder.build().unwrap().keys().get("/k").await.is_err());
    assert_eq!(server.received().len(), 12);
}

#[tokio::test]
async fn a_failed_redirect_has_the_next_endpoint_tried() {
    let server = Server::always(Reply::redirect("/again")).await;
    let other = Server::always(Reply::key("v", 7)).await;
    let client = patient().endpoints([server.url(), other.url()]).build().unwrap();
    for _ in 0..4 {
        client.keys().set("/k", "v").await.unwrap();
    }
}

#[tokio::test]
async fn a_write_is_not_sent_to_where_its_outcome_is() {
    let server = Server::always(Reply::status(303, "").with("Location", "/there")).await;
    let other = Server::always(Reply::key("v", 7)).await;
    let client = server.client();
    let error = client.keys().create_in_order("/k", "v").await.unwrap_err();
    assert!(error.maybe_applied() && error.to_string().contains("303"), "{error}");
    assert_eq!(server.received().len(), 1);

    // One that leads nowhere certainly was not made: the next endpoint may be tried.
    let server = Server::always(Reply::status(307, "")).await;
    let client = patient().endpoints([server.url(), other.url()]).build().unwrap();
    for _ in 0..4 {
        client.keys().create_in_order("/k", "v").await.unwrap();
    }
    assert_eq!(other.received().len(), 4);
}

#[tokio::test]
async fn credentials_are_not_sent_to_a_redirect_target_on_another_host() {
    let target = Server::always(Reply::key("v", 7)).await;
    let location = format!("{}/v2/keys/k", target.url());
    let server = Server::start(move |request| match request.target.as_str() {
        "/v2/keys/here" => Reply::redirect("/v2/keys/there"),
        "/v2/keys/there" => Reply::key("v", 7),
        _ => Reply::redirect(&location),
    })
    .await;
    let builder = Client::builder().endpoints([server.url()]).user("root", "secret");
    let keys = builder.build().unwrap().keys();
    keys.set("/k", "v").await.unwrap();
    assert!(server.received()[0].header("authorization").is_some());
    assert_eq!(target.received()[0].header("authorization"), None);
    assert!(!format!("{:?}", target.received()).contains("cm9vd"));

    // On the same host they are.
    keys.set("/here", "v").await.unwrap();
    assert!(server.received().iter().all(|request| request.header("authorization").is_some()));
}
