//! Users and roles, against a script.

use etcdkit_v2::{Client, ErrorKind, Permissions};

use crate::server::{Reply, Server};

async fn client(reply: Reply) -> (Server, Client) {
    let server = Server::always(reply).await;
    let client = server.client();
    (server, client)
}

const USER: &str = r#"{"user":"a","roles":["r"]}"#;
const ROLE: &str = r#"{"role":"r","permissions":{"kv":{"read":["/a*"],"write":null}}}"#;

#[tokio::test]
async fn requests_are_as_gos() {
    let (server, client) = client(Reply::ok(USER)).await;
    let auth = client.auth();
    auth.enable().await.unwrap();
    auth.disable().await.unwrap();
    auth.add_user("a", "p").await.unwrap();
    auth.change_password("a", "q").await.unwrap();
    auth.grant_roles("a", ["r", "s"]).await.unwrap();
    auth.revoke_roles("a", ["r"]).await.unwrap();
    auth.user("a").await.unwrap();
    auth.remove_user("a").await.unwrap();
    let sent: Vec<(String, String)> =
        server.received().iter().map(|sent| (sent.line(), sent.body.clone())).collect();
    let expected = [
        ("PUT /v2/auth/enable", ""),
        ("DELETE /v2/auth/enable", ""),
        ("PUT /v2/auth/users/a", r#"{"user":"a","password":"p"}"#),
        ("PUT /v2/auth/users/a", r#"{"user":"a","password":"q"}"#),
        ("PUT /v2/auth/users/a", r#"{"user":"a","grant":["r","s"]}"#),
        ("PUT /v2/auth/users/a", r#"{"user":"a","revoke":["r"]}"#),
        ("GET /v2/auth/users/a", ""),
        ("DELETE /v2/auth/users/a", ""),
    ];
    assert_eq!(sent, expected.map(|(line, body)| (line.to_owned(), body.to_owned())));

    let (server, client) = self::client(Reply::ok(ROLE)).await;
    let auth = client.auth();
    let permissions = Permissions::new().read("/a*").read_write("/b");
    auth.add_role("r").await.unwrap();
    auth.grant_permissions("r", &permissions).await.unwrap();
    auth.revoke_permissions("r", &permissions).await.unwrap();
    let role = auth.role("r").await.unwrap();
    assert_eq!((role.name(), role.permissions().readable()), ("r", &["/a*".to_owned()][..]));
    assert!(role.permissions().writable().is_empty());
    auth.remove_role("r").await.unwrap();
    let kv = r#"{"kv":{"read":["/a*","/b"],"write":["/b"]}}"#;
    let bodies: Vec<String> = server.received().iter().map(|sent| sent.body.clone()).collect();
    let expected = [
        r#"{"role":"r","permissions":{"kv":{"read":[],"write":[]}}}"#.to_owned(),
        format!(r#"{{"role":"r","grant":{kv}}}"#),
        format!(r#"{{"role":"r","revoke":{kv}}}"#),
        String::new(),
        String::new(),
    ];
    assert_eq!(bodies, expected);
}

#[tokio::test]
async fn roles_of_users_are_names_or_objects() {
    for (body, roles) in [
        (r#"{"user":"a","roles":["r","s"]}"#.to_owned(), vec!["r", "s"]),
        (format!(r#"{{"user":"a","roles":[{ROLE},"s"]}}"#), vec!["r", "s"]),
        (r#"{"user":"a","roles":null}"#.to_owned(), vec![]),
        (r#"{"user":"a"}"#.to_owned(), vec![]),
    ] {
        let (_server, client) = client(Reply::ok(&body)).await;
        let user = client.auth().user("a").await.unwrap();
        assert_eq!(user.roles().collect::<Vec<_>>(), roles, "{body}");
        let (_server, client) = self::client(Reply::ok(format!(r#"{{"users":[{body}]}}"#))).await;
        assert_eq!(client.auth().users().await.unwrap()[0], user);
    }
}

#[tokio::test]
async fn refusals_are_typed() {
    for (status, message, kind) in [
        (400, "auth: Role r does not exist.", ErrorKind::NotFound),
        (404, "auth: User a does not exist.", ErrorKind::NotFound),
        (401, "Insufficient credentials", ErrorKind::Unauthenticated),
        (409, "auth: already enabled", ErrorKind::Conflict),
        (403, "no", ErrorKind::PermissionDenied),
    ] {
        let (_server, client) =
            client(Reply::status(status, format!(r#"{{"message":"{message}"}}"#))).await;
        let error = client.auth().user("a").await.unwrap_err();
        assert_eq!((error.kind(), error.status()), (kind, Some(status)));
        assert_eq!(error.to_string(), message);
    }
}
