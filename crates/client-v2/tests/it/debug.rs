//! Requests as curl commands.

use std::sync::{Arc, Mutex};

use etcdkit_v2::Client;

use crate::server::{Reply, Server};

#[tokio::test]
async fn requests_are_shown_as_curl_commands_without_secrets() {
    let server = Server::always(Reply::key("v", 7)).await;
    let lines = Arc::new(Mutex::new(Vec::new()));
    let sink = lines.clone();
    let client = Client::builder()
        .endpoints([server.url()])
        .user("root", "secret")
        .debug_curl(move |line| sink.lock().unwrap().push(line.to_owned()))
        .build()
        .unwrap();
    client.keys().get("/k").await.unwrap();
    client.keys().set("/k", "it's").await.unwrap();
    let _ = client.auth().add_user("a", "secret").await;
    let _ = client.auth().change_password("a", "secret").await;
    let url = server.url();
    let json = "-H 'Content-Type: application/json'";
    let form = "-H 'Content-Type: application/x-www-form-urlencoded'";
    let expected = [
        format!(
            "cURL Command: curl -X GET '{url}/v2/keys/k?quorum=false&recursive=false&sorted=false'"
        ),
        format!("cURL Command: curl -X PUT '{url}/v2/keys/k' {form} -d 'value=it%27s'"),
        format!(
            r#"cURL Command: curl -X PUT '{url}/v2/auth/users/a' {json} -d '{{"user":"a","password":"***"}}'"#
        ),
    ];
    let shown = lines.lock().unwrap().clone();
    assert_eq!(shown[..3], expected);
    assert_eq!(shown[3], expected[2]);
    assert!(!shown.concat().contains("secret") && !shown.concat().contains("cm9vd"));
}
