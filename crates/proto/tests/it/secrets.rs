//! `Debug` output without passwords and tokens.

use std::fmt::Debug;

use etcdkit_proto::authpb::User;
use etcdkit_proto::etcdserverpb::{
    AuthUserAddRequest, AuthUserChangePasswordRequest, AuthenticateRequest, AuthenticateResponse,
    InternalAuthenticateRequest, InternalRaftRequest,
};

#[test]
fn secrets_do_not_show() {
    let secret = || "hunter2".to_owned();
    let name = || "alice".to_owned();
    let login =
        InternalAuthenticateRequest { name: name(), password: secret(), simple_token: secret() };
    let messages: [&dyn Debug; 6] = [
        &User { name: name().into(), password: secret().into(), ..Default::default() },
        &AuthenticateRequest { name: name(), password: secret() },
        &AuthenticateResponse { token: secret(), ..Default::default() },
        &AuthUserAddRequest {
            name: name(),
            password: secret(),
            hashed_password: secret(),
            ..Default::default()
        },
        &AuthUserChangePasswordRequest {
            name: name(),
            password: secret(),
            hashed_password: secret(),
        },
        &InternalRaftRequest { authenticate: Some(login), ..Default::default() },
    ];
    for message in messages {
        for text in [format!("{message:?}"), format!("{message:#?}")] {
            assert!(!text.contains("hunter2"), "{text}");
            assert!(text.contains("<redacted>"), "{text}");
        }
    }
}

#[test]
fn the_rest_shows() {
    let request = AuthenticateRequest { name: "alice".to_owned(), password: "x".to_owned() };
    assert_eq!(
        format!("{request:?}"),
        r#"AuthenticateRequest { name: "alice", password: <redacted> }"#
    );
}
