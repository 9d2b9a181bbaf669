//! Certificates and keys: where they come from, and what is made of them.
//!
//! [`Tls`] is what users write. A `TlsLoader` reads what it names and makes the TLS library's own configuration of it,
//! anew for each connection if files are named. No type of that library is seen outside of this room and of the
//! connector that shakes hands.

mod loader;
mod settings;

pub use settings::Tls;

pub(crate) use loader::TlsLoader;
