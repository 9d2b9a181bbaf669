//! JSON web tokens: whoever has the public key can check them, and nobody has to remember them.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};

use super::Who;
use crate::error::Error;
use crate::lease::Now;

/// How long a token is valid, unless it is said.
const TTL: Duration = Duration::from_secs(300);

/// The keys of JSON web tokens, instead of simple tokens.
///
/// For [`ServerBuilder::auth_jwt`](crate::ServerBuilder::auth_jwt). The claims are etcd's: `username`, `revision`, `exp`.
#[derive(Clone, Debug)]
#[must_use]
pub struct AuthJwt {
    method: String,
    private_key: PathBuf,
    public_key: Option<PathBuf>,
    ttl: Duration,
}

impl AuthJwt {
    /// A way to sign, such as `RS256`, `ES256`, `EdDSA` or `HS256`, and the file of the key: PEM, or the secret itself.
    pub fn new(method: impl Into<String>, private_key: impl Into<PathBuf>) -> Self {
        Self { method: method.into(), private_key: private_key.into(), public_key: None, ttl: TTL }
    }

    /// The file of the key that checks what the other one signs. Needed for all but secrets.
    pub fn public_key(mut self, public_key: impl Into<PathBuf>) -> Self {
        self.public_key = Some(public_key.into());
        self
    }

    /// How long a token is valid. 5 minutes by default.
    pub const fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// Reads the keys. `epoch` is the time of day at which the server's clock begins.
    pub(crate) fn load(&self, epoch: Duration) -> Result<Jwt, Error> {
        let algorithm: Algorithm = self
            .method
            .parse()
            .map_err(|_| Error::setting(format!("{} is no way to sign a token", self.method)))?;
        let private = read(&self.private_key)?;
        let public = self.public_key.as_deref().map_or_else(|| Ok(private.clone()), read)?;
        let keys = match self.method.get(..2) {
            Some("HS") => {
                Ok((EncodingKey::from_secret(&private), DecodingKey::from_secret(&public)))
            }
            Some("ES") => EncodingKey::from_ec_pem(&private)
                .and_then(|sign| Ok((sign, DecodingKey::from_ec_pem(&public)?))),
            Some("Ed") => EncodingKey::from_ed_pem(&private)
                .and_then(|sign| Ok((sign, DecodingKey::from_ed_pem(&public)?))),
            _ => EncodingKey::from_rsa_pem(&private)
                .and_then(|sign| Ok((sign, DecodingKey::from_rsa_pem(&public)?))),
        };
        let (sign, check) = keys.map_err(|error| {
            Error::setting(format!(
                "{} does not fit {}: {error}",
                self.private_key.display(),
                self.method
            ))
        })?;
        let mut validation = Validation::new(algorithm);
        // The server's own clock decides, which a test can move.
        validation.validate_exp = false;
        validation.required_spec_claims.clear();
        Ok(Jwt {
            algorithm,
            sign: Arc::new(sign),
            check: Arc::new(check),
            validation,
            ttl: self.ttl,
            epoch,
        })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|error| Error::setting(format!("{}: {error}", path.display())))
}

/// Signs and checks tokens.
#[derive(Clone)]
pub(crate) struct Jwt {
    algorithm: Algorithm,
    sign: Arc<EncodingKey>,
    check: Arc<DecodingKey>,
    validation: Validation,
    ttl: Duration,
    epoch: Duration,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    username: String,
    revision: u64,
    exp: u64,
}

impl Jwt {
    /// A token for a user, at a revision of the users.
    pub(crate) fn issue(&self, user: &str, revision: u64, now: Now) -> Option<String> {
        let exp = (self.epoch + now + self.ttl).as_secs();
        let claims = Claims { username: user.to_owned(), revision, exp };
        encode(&Header::new(self.algorithm), &claims, &self.sign).ok()
    }

    /// Whose token it is, if it was signed with the key and has not expired.
    pub(crate) fn who(&self, token: &str, now: Now) -> Option<Who> {
        let claims = decode::<Claims>(token, &self.check, &self.validation).ok()?.claims;
        let expired = claims.exp <= (self.epoch + now).as_secs();
        (!expired).then(|| Who { name: claims.username.into(), revision: claims.revision })
    }
}

impl fmt::Debug for Jwt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jwt").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}
