use super::*;
use crate::serve::flags::{Asked, read};

fn check(arguments: &[&str]) -> Result<Settings, String> {
    let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
    match read(&arguments, &[]) {
        Ok(Asked::Serve { values, .. }) => Settings::check(&values),
        other => panic!("{arguments:?}: {other:?}"),
    }
}

#[test]
fn without_flags_everything_is_as_in_etcd() {
    let settings = check(&[]).expect("it is fine");
    assert_eq!(settings.name, "default");
    assert_eq!(settings.data_dir.as_deref(), Some(Path::new("default.etcd")));
    assert_eq!(settings.listen.clients[0].to_string(), "http://localhost:2379");
    assert_eq!(bindable(&settings.listen.clients[0]), "http://127.0.0.1:2379");
    assert_eq!(settings.advertise[0].to_string(), "http://localhost:2379");
    assert_eq!(settings.peer_urls[0].to_string(), "http://localhost:2380");
    assert_eq!(settings.limits.txn_ops, 128);
    assert_eq!(settings.limits.request_bytes, 1536 * 1024);
    assert_eq!(settings.auto_compaction, AutoCompaction::Off);
    assert_eq!(settings.gateway.hosts, ["localhost"]);
    assert!(matches!(settings.tls, Tls::Off));
    assert!(settings.warnings.is_empty());
}

#[test]
fn the_command_line_of_a_single_member_is_taken() {
    let settings = check(&[
        "--name=m0",
        "--data-dir=/tmp/m0",
        "--listen-client-urls=http://127.0.0.1:12379",
        "--advertise-client-urls=http://127.0.0.1:12379",
        "--listen-peer-urls=http://127.0.0.1:12380",
        "--initial-advertise-peer-urls=http://127.0.0.1:12380",
        "--initial-cluster=m0=http://127.0.0.1:12380",
        "--initial-cluster-state=new",
        "--initial-cluster-token=t",
        "--snapshot-count=100",
        "--log-level=warn",
        "--unsafe-no-fsync",
        "--enable-pprof=false",
        "--quota-backend-bytes=-1",
    ]);
    let settings = settings.expect("it is fine");
    assert_eq!(settings.peer_urls[0].to_string(), "http://127.0.0.1:12380");
    assert_eq!(settings.cluster_token, "t");
    assert_eq!(settings.limits.quota_bytes, u64::MAX);
    let recorded = |arguments: &[&str]| {
        let arguments: Vec<String> = arguments.iter().map(|&text| text.to_owned()).collect();
        match read(&arguments, &[]) {
            Ok(Asked::Serve { values, .. }) => recorded(&values),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(recorded(&["--name=a", "--max-wals=3"]), ["--max-wals=3"]);
    assert_eq!(recorded(&["--discovery-password=secret"]), ["--discovery-password=***"]);
}

#[test]
fn an_address_for_clients_follows_from_where_is_listened_if_that_is_one() {
    let advertised = |arguments: &[&str]| {
        check(arguments).map(|settings| {
            settings.advertise.iter().map(Url::to_string).collect::<Vec<_>>().join(",")
        })
    };
    assert_eq!(advertised(&["--listen-client-urls=http://127.0.0.1:0"]), Ok(String::new()));
    let everywhere = "--listen-client-urls=http://0.0.0.0:2379";
    let error = advertised(&[everywhere]).unwrap_err();
    assert!(error.starts_with("--advertise-client-urls is required"), "{error}");
    let said = advertised(&[everywhere, "--advertise-client-urls=http://etcd:2379"]);
    assert_eq!(said, Ok("http://etcd:2379".to_owned()));
    let settings = check(&[everywhere, "--advertise-client-urls=http://etcd:2379"]);
    assert_eq!(settings.expect("it is fine").gateway.hosts, ["0.0.0.0", "etcd"]);
    let settings = check(&["--host-whitelist=a,b"]).expect("it is fine");
    assert_eq!(settings.gateway.hosts, ["a", "b"]);
}

#[test]
fn history_is_kept_for_a_time_or_for_revisions() {
    let kept = |mode: &str, retention: &str| {
        let mode = format!("--auto-compaction-mode={mode}");
        let retention = format!("--auto-compaction-retention={retention}");
        check(&[&mode, &retention]).map(|settings| settings.auto_compaction)
    };
    assert_eq!(kept("periodic", "0"), Ok(AutoCompaction::Off));
    assert_eq!(kept("periodic", "2"), Ok(AutoCompaction::Periodic(Duration::from_secs(7200))));
    assert_eq!(kept("periodic", "5m"), Ok(AutoCompaction::Periodic(Duration::from_secs(300))));
    assert_eq!(kept("revision", "0"), Ok(AutoCompaction::Off));
    assert_eq!(kept("revision", "1000"), Ok(AutoCompaction::Revisions(1000)));
    for (mode, retention) in [("periodic", "x"), ("revision", "5m"), ("revision", "-1"), ("z", "1")]
    {
        assert!(kept(mode, retention).is_err(), "{mode} {retention}");
    }
}

#[test]
fn what_cannot_be_is_refused_with_what_to_do() {
    for (arguments, expected) in [
        (
            &["--discovery=http://a"][..],
            "--discovery=http://a is not offered here: this server is a cluster",
        ),
        (&["--discovery-srv=example.com"], "there is nothing to discover"),
        (&["--enable-pprof"], "there is no Go runtime to profile"),
        (&["--enable-log-rotation"], "log files are not rotated"),
        (
            &["--initial-cluster=default=http://localhost:2380,b=http://localhost:1"],
            "a cluster of one",
        ),
        (&["--heartbeat-interval=0"], "--heartbeat-interval must be >0 (set to 0ms)"),
        (
            &["--heartbeat-interval=300"],
            "--election-timeout[1000ms] should be at least as 5 times as --heartbeat-interval[300ms]",
        ),
        (&["--election-timeout=60000"], "--election-timeout[60000ms] is too long"),
        (
            &["--listen-client-urls=http://a.example:1"],
            "expected IP in URL for binding (http://a.example:1)",
        ),
        (
            &["--listen-peer-urls=http://a.example:1"],
            "--listen-peer-urls takes addresses of this machine",
        ),
        (&["--listen-client-urls="], "--listen-client-urls is empty"),
        (&["--advertise-client-urls=http://:1"], "there is no host in http://:1"),
        (&["--cert-file=c.pem"], "must both be present [cert: c.pem, key: ]"),
        (&["--client-cert-auth"], "--client-cert-auth needs --trusted-ca-file"),
        (
            &["--listen-client-urls=https://127.0.0.1:1"],
            "give --cert-file and --key-file, or --auto-tls",
        ),
        (&["--tls-min-version=TLS1.3", "--tls-max-version=TLS1.2"], "no version is left"),
        (&["--in-memory", "--data-dir=x"], "leave one of them out"),
        (
            &["--in-memory", "--auto-tls", "--listen-client-urls=https://127.0.0.1:1"],
            "give --cert-file and --key-file",
        ),
        (&["--auth-token=paseto"], "'simple' and 'jwt,…' are known"),
        (&["--auth-token=jwt"], "sign-method is missing"),
        (&["--auth-token=jwt,sign-method=RS256"], "priv-key is missing"),
        (&["--auth-token=jwt,sign-method=RS256,nonsense=1"], "\"nonsense\" is unknown"),
        (&["--auth-token=jwt,sign-method=a,sign-method=b"], "sign-method is there twice"),
        (&["--auth-token=jwt,sign-method=a,priv-key=b,ttl=5"], "ttl=5 is no time"),
    ] {
        let error = check(arguments).expect_err(expected);
        assert!(error.contains(expected), "{arguments:?}: {error}");
    }
}

#[test]
fn the_log_is_for_people_on_a_terminal_unless_they_say_otherwise() {
    let format = |arguments: &[&str], terminal| {
        let arguments: Vec<String> = arguments.iter().map(|&text| text.to_owned()).collect();
        match read(&arguments, &[]) {
            Ok(Asked::Serve { values, .. }) => log(&values, terminal).map(|log| log.format),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(format(&[], false), Ok(Format::Json));
    assert_eq!(format(&[], true), Ok(Format::Console));
    assert_eq!(format(&["--log-format=json"], true), Ok(Format::Json));
    assert_eq!(format(&["--log-format=console"], false), Ok(Format::Console));
    assert_eq!(format(&["--logger=x"], false), Err("unknown logger option \"x\"".to_owned()));
}

#[test]
fn a_certificate_that_nobody_would_see_is_warned_of() {
    let settings = check(&["--cert-file=c", "--key-file=k"]).expect("it is fine");
    assert!(matches!(settings.tls, Tls::Off));
    assert_eq!(settings.warnings.len(), 1);
    let settings = check(&["--auto-tls", "--listen-client-urls=https://127.0.0.1:1"]);
    assert!(matches!(settings.expect("it is fine").tls, Tls::Own { years: 1, .. }));
}
