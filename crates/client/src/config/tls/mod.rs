//! Certificates and keys: where they come from, and what is made of them.
//!
//! [`Tls`] is what users write. A `TlsLoader` reads what it names, tells what is wrong with it in words that name the
//! file, and makes the TLS library's own configuration of it, anew whenever a file has changed. No type of that
//! library is seen outside of this room and of the connector that shakes hands.

mod loader;
mod pem;
mod settings;

pub use settings::Tls;

pub(crate) use loader::TlsLoader;

#[cfg(test)]
#[cfg(any(feature = "aws-lc-rs", feature = "ring"))]
mod tests;
