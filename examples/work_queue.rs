//! A queue of work: producers and workers in different processes, and what is urgent comes first.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use etcdkit::Client;
use etcdkit::concurrency::{PriorityQueue, Queue};
use etcdkit_examples::{Result, Target};

async fn worker(queue: Queue, name: &str) -> Result<usize> {
    let mut done = 0;
    // Waits for the next item; each comes to one worker.
    loop {
        let job = queue.dequeue().await?;
        if job == "stop" {
            return Ok(done);
        }
        println!("{name} does {}", String::from_utf8_lossy(&job));
        done += 1;
    }
}

#[tokio::main]
async fn main() -> Result {
    let etcd = Target::find().await?;
    let client = Client::connect(etcd.endpoints()).await?;

    let queue = Queue::new(&client, "/example/jobs");
    let produce = async {
        for job in 0..6 {
            queue.enqueue(format!("job {job}")).await?;
        }
        queue.enqueue("stop").await?;
        queue.enqueue("stop").await
    };
    let (produced, one, two) =
        tokio::join!(produce, worker(queue.clone(), "one"), worker(queue.clone(), "two"));
    produced?;
    println!("{} jobs were done", one? + two?);

    let urgent = PriorityQueue::new(&client, "/example/urgent");
    for (job, priority) in [("sweep", 9), ("put out the fire", 0), ("cook", 5)] {
        urgent.enqueue(job, priority).await?;
    }
    while let Some(job) = urgent.try_dequeue().await? {
        println!("{}", String::from_utf8_lossy(&job));
    }
    client.close().await;
    etcd.stop().await;
    Ok(())
}
