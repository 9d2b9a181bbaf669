//! gRPC services found through etcd: two of tonic's servers, one channel that follows them, and one server that dies.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::time::Duration;

use etcdkit::Client;
use etcdkit::concurrency::Session;
use etcdkit::naming::{Endpoint, Endpoints};
use etcdkit_examples::greeter::{Greeter, greet};
use etcdkit_examples::{Result, Target};
use tokio::net::TcpListener;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

/// A server that says its name, registered for as long as its session lives.
async fn serve(client: &Client, name: &'static str) -> Result<Session> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let endpoint = Endpoint::new(listener.local_addr()?.to_string());
    let session = client.session(Duration::from_secs(5)).await?;
    let endpoints = Endpoints::new(client, "greeter")?;
    endpoints.add_on(session.lease(), format!("greeter/{name}"), endpoint).await?;
    let alive = session.clone();
    #[expect(clippy::disallowed_methods, reason = "it ends with its session")]
    tokio::spawn(async move {
        let server = Server::builder().add_service(Greeter(name));
        let serving = server.serve_with_incoming(TcpIncoming::from(listener));
        match alive.while_alive(serving).await {
            Ok(served) => println!("{name} could not serve: {served:?}"),
            Err(reason) => println!("{name} serves no more: {reason}"),
        }
    });
    Ok(session)
}

#[tokio::main]
async fn main() -> Result {
    let etcd = Target::find().await?;
    let client = Client::connect(etcd.endpoints()).await?;
    let (one, two) = (serve(&client, "one").await?, serve(&client, "two").await?);

    let connect = |endpoint: &Endpoint| format!("http://{}", endpoint.address()).try_into();
    let services = Endpoints::new(&client, "greeter")?.balanced(connect);
    let mut names = Vec::new();
    while !(names.contains(&"one".to_owned()) && names.contains(&"two".to_owned())) {
        names.push(greet(services.channel()).await?);
    }
    println!("after {} calls both have answered", names.len());

    // It dies without a word: its lease ends, and its endpoint with it.
    client.revoke(one.lease()).await?;
    one.lost().await;
    let mut in_a_row = 0;
    while in_a_row < 20 {
        match greet(services.channel()).await {
            Ok(name) if name == "two" => in_a_row += 1,
            Ok(_) => in_a_row = 0,
            // A call that was on its way to it.
            Err(status) => println!("lost: {}", status.message()),
        }
    }
    println!("the other answers them all");

    two.close().await?;
    client.close().await;
    etcd.stop().await;
    Ok(())
}
