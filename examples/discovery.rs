//! Service discovery: two servers that register themselves, a client that follows them, and one that dies.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::collections::BTreeMap;
use std::time::Duration;

use etcdkit::Client;
use etcdkit::concurrency::Session;
use etcdkit::naming::{Endpoint, EndpointChange, Endpoints};
use etcdkit_examples::{Result, Target};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A server that says its name, registered for as long as its session lives.
async fn serve(client: &Client, name: &'static str) -> Result<Session> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let endpoint = Endpoint::new(listener.local_addr()?.to_string()).with_metadata("v1")?;
    let session = client.session(Duration::from_secs(5)).await?;
    let endpoints = Endpoints::new(client, "greeter")?;
    endpoints.add_on(session.lease(), format!("greeter/{name}"), endpoint).await?;
    let alive = session.clone();
    #[expect(clippy::disallowed_methods, reason = "it ends with its session")]
    tokio::spawn(async move {
        let serving = alive.while_alive(async {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.write_all(name.as_bytes()).await;
            }
        });
        if let Err(reason) = serving.await {
            println!("{name} serves no more: {reason}");
        }
    });
    Ok(session)
}

#[tokio::main]
async fn main() -> Result {
    let etcd = Target::find().await?;
    let client = Client::connect(etcd.endpoints()).await?;
    let (one, two) = (serve(&client, "one").await?, serve(&client, "two").await?);

    let mut known = BTreeMap::new();
    let mut updates = Endpoints::new(&client, "greeter")?.watch();
    while let Some(changes) = updates.next().await {
        for change in changes? {
            match change {
                EndpointChange::Add { key, endpoint } => drop(known.insert(key, endpoint)),
                EndpointChange::Delete { key } => drop(known.remove(&key)),
                _ => {}
            }
        }
        println!("{} endpoints", known.len());
        for endpoint in known.values() {
            let mut greeting = String::new();
            let mut stream = TcpStream::connect(endpoint.address()).await?;
            stream.read_to_string(&mut greeting).await?;
            println!("{} is {greeting}, {:?}", endpoint.address(), endpoint.metadata::<String>()?);
        }
        match known.len() {
            2 => one.close().await?,
            _ => break,
        }
    }
    two.close().await?;
    client.close().await;
    etcd.stop().await;
    Ok(())
}
