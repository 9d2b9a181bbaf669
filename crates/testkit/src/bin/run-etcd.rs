//! Runs one etcd for trying things by hand, until its standard input ends.

use etcdkit_testkit::etcd::Etcd;
use tokio::io::{AsyncReadExt, stdin};

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stdout, reason = "the address is this program's output")]
async fn main() -> std::io::Result<()> {
    let etcd = Etcd::start_newest().await;
    println!("{} {}", etcd.client_addr(), etcd.data_dir().display());
    stdin().read_to_end(&mut Vec::new()).await?;
    etcd.stop().await;
    Ok(())
}
