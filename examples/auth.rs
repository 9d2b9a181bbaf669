//! Authentication: with a user's name and password, and with a token made elsewhere.
//!
//! On a cluster of your own: `-- --endpoints 127.0.0.1:2379 --user alice:wonderland`.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use etcdkit::auth::{Permission, UserAdd};
use etcdkit::proto::etcdserverpb as pb;
use etcdkit::proto::method::auth;
use etcdkit::{Client, KeyRange};
use etcdkit_examples::{Result, Target, flag};

/// Lets `alice` read and write what begins with `/alice/`, and turns authentication on.
async fn set_up(endpoints: &[String]) -> Result {
    let admin = Client::connect(endpoints).await?;
    for (name, password) in [("root", "secret"), ("alice", "wonderland")] {
        admin.user_add(UserAdd::new(name, password)).await?;
        admin.role_add(name).await?;
        admin.user_grant_role(name, name).await?;
    }
    let own = KeyRange::prefix("/alice/");
    admin.role_grant_permission("alice", own, Permission::ReadWrite).await?;
    // From here on everybody has to say who they are, this client included.
    admin.auth_enable().await?;
    Ok(())
}

#[tokio::main]
async fn main() -> Result {
    let etcd = Target::find().await?;
    if etcd.is_own() {
        set_up(etcd.endpoints()).await?;
    }
    let user = flag("--user").unwrap_or_else(|| "alice:wonderland".to_owned());
    let (name, password) = user.split_once(':').ok_or("--user takes name:password")?;

    let builder = || Client::builder().endpoints(etcd.endpoints());
    let alice = builder().user(name, password).connect().await?;
    alice.put("/alice/diary", "down the rabbit hole").await?;
    println!("{name} wrote her diary");
    if let Err(error) = alice.get("/queen/diary").await {
        println!("the queen's: {:?}, {error}", error.kind());
    }

    // A token is what Authenticate returns, which has no method, since clients call it themselves: any RPC can be called
    // with etcd's own messages. A JWT signed by whoever runs the cluster works the same way.
    let login = pb::AuthenticateRequest { name: name.into(), password: password.into() };
    let token = builder().build()?.raw(auth::AUTHENTICATE, &login).await?.token;
    let bearer = builder().token(token).connect().await?;
    let diary = bearer.get("/alice/diary").await?;
    println!("with her token: {:?}", diary.first().map(|kv| kv.value_str()).transpose()?);

    let stranger = builder().user(name, "looking glass").build()?;
    if let Err(error) = stranger.get("/alice/diary").await {
        println!("with a wrong password: {:?}, {error}", error.kind());
    }
    alice.close().await;
    bearer.close().await;
    etcd.stop().await;
    Ok(())
}
