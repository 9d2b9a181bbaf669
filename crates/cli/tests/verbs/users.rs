//! `role`, `user`, `auth`.

use serde_json::json;

use super::target::Target;

pub(crate) async fn have_passwords_roles_and_permissions(target: &Target) {
    let tool = &target.tool;
    assert_eq!(tool.says(&["role", "add", "jobs"]).await, "Role jobs created\n");
    let granted = ["role", "grant-permission", "jobs", "readwrite", "jobs/", "--prefix"];
    assert_eq!(tool.says(&granted).await, "Role jobs updated\n");
    assert_eq!(
        tool.says(&["role", "get", "jobs"]).await,
        "Role jobs\nKV Read:\n\t[jobs/, jobs0) (prefix jobs/)\nKV Write:\n\t[jobs/, jobs0) (prefix jobs/)\n"
    );
    assert_eq!(tool.says(&["user", "add", "ann:secret"]).await, "User ann created\n");
    let granted = tool.says(&["user", "grant-role", "ann", "jobs"]).await;
    assert_eq!(granted, "Role jobs is granted to user ann\n");
    assert_eq!(tool.json(&["user", "get", "ann"]).await["roles"], json!(["jobs"]));
    tool.says(&["user", "add", "root:pw"]).await;
    tool.says(&["user", "grant-role", "root", "root"]).await;
    assert_eq!(tool.says(&["user", "list"]).await, "ann\nroot\n");

    assert_eq!(tool.says(&["auth", "enable"]).await, "Authentication Enabled\n");
    let (ann, root) = ("--user=ann:secret", "--user=root:pw");
    if target.kind.at_least(3, 5) {
        let status = tool.says(&["auth", "status", root]).await;
        assert!(status.starts_with("Authentication Status: true\nAuthRevision: "), "{status}");
    }
    let refused = tool.fails(1, &["get", "jobs/1"]).await;
    assert_eq!(refused, "Error: etcdserver: user name is empty\n");
    let refused = tool.fails(2, &["get", "jobs/1", "--user=ann:wrong"]).await;
    let expected = "Error: etcdserver: authentication failed, invalid user ID or password\n";
    assert_eq!(refused, expected);
    assert_eq!(tool.says(&["put", "jobs/1", "v", ann]).await, "OK\n");
    assert_eq!(
        tool.says(&["get", "jobs/1", "--user=ann", "--password=secret"]).await,
        "jobs/1\nv\n"
    );
    let refused = tool.fails(1, &["get", "other", ann]).await;
    assert_eq!(refused, "Error: etcdserver: permission denied\n");
    // Asked for on a terminal, else read from stdin.
    let ran = tool.run_on(&["user", "passwd", "ann", "--interactive=false", root], "new\n").await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "Password updated\n"), "{ran:?}");
    assert_eq!(tool.says(&["get", "jobs/1", "--user=ann:new"]).await, "jobs/1\nv\n");
    tool.fails(2, &["get", "jobs/1", ann]).await;
    let revoked = tool.says(&["user", "revoke-role", "ann", "jobs", root]).await;
    assert_eq!(revoked, "Role jobs is revoked from user ann\n");
    assert_eq!(
        tool.fails(1, &["get", "jobs/1", "--user=ann:new"]).await,
        "Error: etcdserver: permission denied\n"
    );
    assert_eq!(tool.says(&["user", "delete", "ann", root]).await, "User ann deleted\n");
    assert_eq!(tool.says(&["role", "delete", "jobs", root]).await, "Role jobs deleted\n");
    assert_eq!(tool.says(&["auth", "disable", root]).await, "Authentication Disabled\n");
    assert_eq!(tool.says(&["get", "jobs/1"]).await, "jobs/1\nv\n");
}
