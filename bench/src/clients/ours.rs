//! Our own client under load, through its public API and with its defaults.

use std::sync::Arc;

use etcdkit::Client;

use crate::Error;
use crate::load::{LoadClient, Workload};

/// A clone of the client for each worker, as its users would make one for each task.
#[derive(Debug, Clone)]
pub struct Ours {
    client: Client,
    workload: Arc<Workload>,
}

impl LoadClient for Ours {
    async fn connect(workload: Arc<Workload>) -> Result<Self, Error> {
        let endpoints = workload.endpoints.iter().map(|endpoint| format!("http://{endpoint}"));
        let client = Client::builder().endpoints(endpoints).connect().await?;
        Ok(Self { client, workload })
    }

    async fn put(&mut self, number: usize) -> Result<(), Error> {
        let key = self.workload.key(number).clone();
        self.client.put(key, self.workload.value.clone()).await?;
        Ok(())
    }

    async fn get(&mut self, number: usize) -> Result<(), Error> {
        let response = self.client.get(self.workload.key(number).clone()).await?;
        if response.kvs().len() == 1 {
            Ok(())
        } else {
            Err("not exactly one key in a get's answer".into())
        }
    }
}
