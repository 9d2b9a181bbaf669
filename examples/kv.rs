//! Keys and values: the reference examples of etcd's Go client, one after the other, with the results that they print.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use etcdkit::{Client, Compare, Delete, ErrorKind, Get, GetResponse, Op, Put, ServerError};
use etcdkit::{SortOrder, SortTarget, Txn};
use etcdkit_examples::{Result, Target};

fn print(answer: &GetResponse) -> Result {
    for kv in answer {
        println!("{} : {}", kv.key_str()?, kv.value_str()?);
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result {
    let etcd = Target::find().await?;
    let client = Client::connect(etcd.endpoints()).await?;

    // Put.
    client.put("sample_key", "sample_value").await?;

    // Put, with error handling. The words are etcd's; ours say more, see `errors.rs`.
    let error = client.put("", "sample_value").await.err().map(|error| error.kind());
    if error == Some(ErrorKind::InvalidArgument) {
        println!("client-side error: {}", ServerError::EmptyKey.message());
    }

    // Get.
    client.put("foo", "bar").await?;
    print(&client.get("foo").await?)?;

    // Get at a revision.
    let first = client.put("foo", "bar1").await?;
    client.put("foo", "bar2").await?;
    print(&client.get(Get::new("foo").at_revision(first.revision())).await?)?;

    // Get a prefix, sorted.
    for number in 0..3 {
        client.put(format!("key_{number}"), "value").await?;
    }
    let sorted = Get::prefix("key").sort(SortTarget::Key, SortOrder::Descend);
    print(&client.get(sorted).await?)?;

    // Get a prefix as a stream, piece by piece.
    let mut pieces = client.get_stream(Get::prefix("key")).await?;
    while let Some(piece) = pieces.next().await {
        print(&piece?)?;
    }

    // Delete.
    let count = client.get(Get::prefix("key").count_only()).await?.count();
    let deleted = client.delete(Delete::prefix("key")).await?.deleted();
    println!("Deleted all keys: {}", deleted == count);

    // Compact.
    let now = client.get("foo").await?.revision();
    client.compact(now).await?;

    // Txn. Values are compared by their bytes: "xyz" is greater than "abc".
    client.put("key", "xyz").await?;
    let upper = Txn::new()
        .when([Compare::value("key").gt("abc")])
        .then([Put::new("key", "XYZ")])
        .or_else([Put::new("key", "ABC")]);
    client.txn(upper).await?;
    print(&client.get("key").await?)?;

    // Do: a list of operations of different kinds.
    let put = |value: &str| Op::from(Put::new("put-key", value));
    for op in [put("123"), Get::new("put-key").into(), put("456")] {
        client.call(op).await?;
    }

    client.close().await;
    etcd.stop().await;
    Ok(())
}
