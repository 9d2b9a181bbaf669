//! Configuration watched live: the present state, then every change, also those that a gap in the history hides.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::collections::BTreeMap;

use etcdkit::{Client, Resync, Watch};
use etcdkit_examples::{Result, Target};

#[tokio::main]
async fn main() -> Result {
    let etcd = Target::find().await?;
    let client = Client::connect(etcd.endpoints()).await?;
    // Only this program's keys, by short names.
    let config = client.clone().namespace("/example/config/");
    config.put("level", "info").await?;
    config.put("workers", "4").await?;

    let mut settings = BTreeMap::new();
    let mut changes = config.watch_resync(Watch::prefix(""));
    // What an operator does meanwhile.
    let mut script = ["debug", "warn", "done"].into_iter();
    while let Some(change) = changes.next().await {
        match change? {
            Resync::State { changed, vanished, .. } => {
                settings.extend(changed.into_iter().map(etcdkit::KeyValue::into_parts));
                vanished.iter().for_each(|key| drop(settings.remove(key)));
            }
            Resync::Events(events) => {
                for event in events {
                    let gone = event.is_delete();
                    let (key, value) = event.into_kv().into_parts();
                    if gone {
                        settings.remove(&key)
                    } else {
                        settings.insert(key, value)
                    };
                }
            }
            _ => {}
        }
        println!("{settings:?}");
        match script.next() {
            Some("done") | None => break,
            Some(level) => drop(config.put("level", level).await?),
        }
    }
    client.close().await;
    etcd.stop().await;
    Ok(())
}
