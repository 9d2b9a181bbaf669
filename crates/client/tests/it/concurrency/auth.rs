//! With authentication: what one user may do is enough, and it goes on when the server forgets the token.

use etcdkit::concurrency::{Election, Mutex};
use etcdkit::{ErrorKind, Get, Put, Txn};
use etcdkit_testkit::wait::eventually;

use super::{session, spawn};
use crate::auth::users::{self, login};
use crate::kv::members::*;

/// Also of locks. A restarted member knows none of its tokens, neither for calls nor for watches and renewals.
#[tokio::test]
async fn election_with_auth_enabled() {
    on_own_member_with(users::quick, async |anonymous, etcd| {
        users::set_up(&anonymous).await;
        let (one, two) = (login(&etcd, "alice").await, login(&etcd, "alice").await);
        let (first, second) = (session(&one).await, session(&two).await);
        let leads = Election::new(&first, "alice/e").campaign("one").await.unwrap();
        let held = Mutex::new(&first, "alice/m").lock().await.unwrap();
        let (candidate, waiter) = (second.clone(), second.clone());
        let candidate =
            spawn(async move { Election::new(&candidate, "alice/e").campaign("two").await });
        let waiter = spawn(async move { Mutex::new(&waiter, "alice/m").lock().await });
        eventually("both to be in line", DEADLINE, async || {
            let count = one.get(Get::prefix("alice/").count_only()).await.unwrap().count();
            (count == 4).then_some(())
        })
        .await;

        etcd.restart().await;
        in_time("a proclamation", leads.proclaim("one, still")).await.unwrap();
        let written = Txn::new().then([Put::new("alice/done", "1")]);
        in_time("a write", held.txn(written)).await.unwrap();
        in_time("the end", held.unlock()).await.unwrap();
        in_time("the end", leads.resign()).await.unwrap();
        let held = in_time("the lock", waiter).await.unwrap().unwrap();
        let leads = in_time("the lead", candidate).await.unwrap().unwrap();
        assert!(held.is_held().await.unwrap() && leads.guard().is_held().await.unwrap());
        assert!(first.state().is_alive() && second.state().is_alive());

        // What somebody may not touch is refused at once, and nothing is left that would have to be deleted.
        let refused = in_time("a refusal", Mutex::new(&second, "bob/m").lock()).await;
        fails(refused, ErrorKind::PermissionDenied);
    })
    .await;
}
