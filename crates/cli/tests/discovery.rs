//! Members that are found by DNS: `--discovery-srv` and the flags around it.

use std::process::Output;

use etcdkit_server::{Server, ServerTls};
use etcdkit_testkit::certs::TestCa;
use etcdkit_testkit::name_server::NameServer;
use tokio::process::Command;

/// Runs `etcdctl get a` with more flags.
async fn get(name_server: &NameServer, flags: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_etcdkit"));
    command.env_clear().env("ETCDKIT_NAME_SERVER", name_server.addr().to_string());
    let output = command.args(["get", "a"]).args(flags).output().await.expect("it runs");
    let Output { status, stdout, stderr } = output;
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (status.code(), text(stdout), text(stderr))
}

fn port(server: &Server) -> u16 {
    let url = server.client_urls()[0].clone();
    url.rsplit_once(':').expect("it has a port").1.parse().expect("a number")
}

#[tokio::test]
async fn members_are_found_by_the_records_of_a_domain() {
    let server = Server::builder().listen("127.0.0.1:0").start().await.expect("it starts");
    let client = etcdkit::Client::connect(server.client_urls()).await.expect("it serves");
    client.put("a", "1").await.expect("it takes it");
    let port = port(&server);
    let zone = move |name: &str| match name {
        "_etcd-client._tcp.etcd.test" | "_etcd-client-blue._tcp.etcd.test" => {
            vec![(0, 0, port, "127.0.0.1.")]
        }
        _ => vec![],
    };
    let names = NameServer::start(zone).await;
    let found = (Some(0), "a\n1\n".to_owned(), String::new());
    assert_eq!(get(&names, &["--discovery-srv", "etcd.test"]).await, found);
    assert_eq!(get(&names, &["-d=etcd.test", "--discovery-srv-name=blue"]).await, found);

    let (code, _, err) = get(&names, &["-d=etcd.test", "--discovery-srv-name=red"]).await;
    assert_eq!(code, Some(1));
    assert!(err.contains("_etcd-client-red._tcp.etcd.test: there is no such name"), "{err}");
    let (code, _, err) = get(&names, &["-d=etcd.test", "--insecure-discovery=false"]).await;
    let expected = format!(
        "ignoring discovered insecure endpoint http://127.0.0.1:{port}\n\
         Error: etcdclient: no available endpoints\n"
    );
    assert_eq!((code, err), (Some(2), expected));
}

/// What DNS says is believed only as far as certificates are made out to the domain.
#[tokio::test]
async fn members_that_were_found_have_to_prove_that_they_are_the_domains() {
    let authority = TestCa::new();
    let identity = authority.server_for(&["etcd.test"]);
    let tls = ServerTls::new(identity.cert_path(), identity.key_path());
    let server = Server::builder().listen("https://127.0.0.1:0").tls(&tls).expect("it can be read");
    let server = server.start().await.expect("it starts");
    let port = port(&server);
    let names = NameServer::start(move |name: &str| match name {
        "_etcd-client-ssl._tcp.etcd.test" | "_etcd-client-ssl._tcp.other.test" => {
            vec![(0, 0, port, "127.0.0.1.")]
        }
        _ => vec![],
    });
    let names = names.await;
    let ca = format!("--cacert={}", authority.cert_path().display());
    let flags = [ca.as_str(), "--insecure-discovery=false", "--command-timeout=50s"];
    let found = get(&names, &[&["-d=etcd.test"], &flags[..]].concat()).await;
    assert_eq!(found, (Some(0), String::new(), String::new()));
    let flags = [ca.as_str(), "--insecure-discovery=false", "--command-timeout=2s"];
    let (code, _, err) = get(&names, &[&["-d=other.test"], &flags[..]].concat()).await;
    assert_eq!((code, err.as_str()), (Some(1), "Error: context deadline exceeded\n"));
}
