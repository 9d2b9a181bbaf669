//! The client against real servers, and against peers that behave as no server should.
//!
//! One binary, a module for each room. What needs etcd runs on every version that is at hand: `cargo xtask test` gets
//! them; see `etcdkit_testkit::etcd`.
//!
//! A test that etcd's own suites have too bears that test's name in Rust's spelling. Some of those have none here, since
//! what they assert can't be otherwise, or is part of a test in other words:
//!
//! | etcd's tests | here |
//! |---|---|
//! | `TestIsHaltErr`, `TestIsUnavailableErr` | `ErrorKind`: `conformance::status` asserts the kind of every code and of every server error |
//! | `TestBackoffJitterFraction` | how much pauses vary is no setting: the tests of `config::RetryPolicy` and of the balancer |
//! | `TestWithLogger`, `TestZapWithLogger` | there is no logger to hand over: `conformance::telemetry` |
//! | `TestUpdateAuthToken` | `conformance::auth` and the tests of `transport::token` |
//! | `TestNewClientConfigWithSecureCfg`, `TestConfigSpecClone` | settings out of flags, an environment or a file: the tests of `config::environment` and `config::yaml` |
//! | `TestTxnIfClonesCmp`, `TestOpTxnClonesCmps`, `TestWithRangeClonesInput` | requests own what they are made of |
//! | `TestTxnPanics`, `TestIsSortOptionValid` | no type for it: a transaction is a value, and a sort order is a target and a direction |
//! | `extractHostFromHostPort` | the tests of `config::Endpoint` |
//! | `TestTLSInfo…`, `TestNewTransportTLSInfo`, `TestValidateSecureEndpoints` | `config::tls`, `config::mutual_tls` and the tests of the connector: what is missing or malformed is named with its file |
//! | `TestNewTransportTLSInvalidCipherSuitesTLS12`, `TestGetCipherSuite…`, `TestGetVersion` | cipher suites and versions are rustls's own and no setting; older than TLS 1.2 is none of them |
//! | `TestNewListenerTLSInfo…` | of the server: `etcdkit-server` |

mod auth;
mod cache;
mod cluster;
mod concurrency;
mod config;
mod conformance;
mod connectivity;
mod examples;
mod kubernetes;
mod kv;
mod layer;
mod lease;
mod lock_election;
mod maintenance;
mod mirror;
#[cfg(feature = "naming")]
mod naming;
mod observed;
mod stub;
mod users;
mod watch;
