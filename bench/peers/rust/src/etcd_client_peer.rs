//! The crate etcd-client with its defaults.

use std::sync::Arc;

use etcd_client::{Client, KvClient};
use etcdkit_bench::Error;
use etcdkit_bench::load::{LoadClient, Workload};

/// A clone of its KV client for each worker.
#[derive(Clone)]
pub struct EtcdClient {
    kv: KvClient,
    workload: Arc<Workload>,
}

impl LoadClient for EtcdClient {
    async fn connect(workload: Arc<Workload>) -> Result<Self, Error> {
        let client = Client::connect(&workload.endpoints, None).await?;
        Ok(Self { kv: client.kv_client(), workload })
    }

    async fn put(&mut self, number: usize) -> Result<(), Error> {
        let (key, value) = (self.workload.key(number), &self.workload.value);
        self.kv.put(key.as_ref(), value.as_ref(), None).await?;
        Ok(())
    }

    async fn get(&mut self, number: usize) -> Result<(), Error> {
        let response = self.kv.get(self.workload.key(number).as_ref(), None).await?;
        if response.kvs().len() == 1 {
            Ok(())
        } else {
            Err("not exactly one key in a get's answer".into())
        }
    }
}
