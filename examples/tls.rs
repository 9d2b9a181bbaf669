//! TLS: the client trusts a certificate authority of its own choice and shows a certificate.
//!
//! On a cluster of your own: `-- --endpoints https://etcd-0:2379 --cacert ca.crt --cert client.crt --key client.key`.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::path::PathBuf;

use etcdkit::Client;
use etcdkit::config::Tls;
use etcdkit_examples::{Result, Target, flag};
use etcdkit_testkit::certs::TestCa;
use etcdkit_testkit::etcd;

/// Whom to trust, and who to be: PEM files.
struct Files {
    ca: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

#[tokio::main]
async fn main() -> Result {
    let path = |name| flag(name).map(PathBuf::from).ok_or_else(|| format!("{name} is missing"));
    // The files live as long as the authority that wrote them.
    let authority = TestCa::new();
    let (etcd, files) = if flag("--endpoints").is_some() {
        let files =
            Files { ca: path("--cacert")?, certificate: path("--cert")?, key: path("--key")? };
        (Target::find().await?, files)
    } else {
        let server = authority.server("127.0.0.1");
        let client = authority.client("alice");
        let tls = etcd::Tls::new(server.cert_path(), server.key_path(), authority.cert_path())
            .client_certificate(client.cert_path(), client.key_path());
        let files = Files {
            ca: authority.cert_path().to_owned(),
            certificate: client.cert_path().to_owned(),
            key: client.key_path().to_owned(),
        };
        (Target::start(|etcd| etcd.tls(tls)).await?, files)
    };

    // The files are checked here, and read again for each connection: a rotated certificate needs no restart.
    let tls =
        Tls::new().ca_file(&files.ca).client_certificate_files(&files.certificate, &files.key);
    let client = Client::builder().endpoints(etcd.endpoints()).tls(tls).connect().await?;
    client.put("/tls/secret", "for our eyes only").await?;
    let answer = client.get("/tls/secret").await?;
    println!("over TLS: {:?}", answer.first().map(|kv| kv.value_str()).transpose()?);
    client.delete("/tls/secret").await?;
    client.close().await;

    // What goes wrong says what to do about it.
    let anonymous = Tls::new().ca_file(&files.ca);
    let attempts = [
        ("without a client certificate", etcd.endpoints().to_vec(), anonymous),
        ("trusting nobody but the system's authorities", etcd.endpoints().to_vec(), Tls::new()),
    ];
    for (what, endpoints, tls) in attempts {
        match Client::builder().endpoints(endpoints).tls(tls).connect().await {
            Ok(_) => println!("{what}: accepted"),
            Err(error) => println!("{what}: {error}"),
        }
    }
    etcd.stop().await;
    Ok(())
}
