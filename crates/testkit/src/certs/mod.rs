//! Certificates for tests: a CA made on the spot, what it signs, and files that should have been certificates or keys.
//!
//! [`TestCa`] writes PEM files into a temporary folder, for programs that take paths (etcd, our own client's builder).
//! The folder is removed once the CA and every [`Identity`] from it are dropped. For peers inside the test's own
//! process, an [`Identity`] also makes rustls configurations, always with an explicit provider, so that tests can run
//! beside code that has installed another one.
//!
//! Broken material: [`TestCa::expired_server`] and [`TestCa::expired_client`]; another [`TestCa::new`] for a CA that
//! nobody trusts; [`TestCa::impostor`] for one that claims the trusted one's name; keys that are encrypted, malformed
//! or missing.
//!
//! * `ca.rs`: the CA and what it writes.
//! * `tls.rs`: rustls configurations.

mod ca;
#[cfg(test)]
mod tests;
mod tls;

pub use ca::{Identity, KEY_PASSPHRASE, TestCa};
pub use tls::ClientAuth;
