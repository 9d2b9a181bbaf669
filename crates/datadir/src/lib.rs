//! placeholder
pub mod bbolt;
mod error;
pub use error::{Defect, Error, ErrorKind, Result};
