//! Who asks, as far as the call says so.

use std::sync::Arc;

use crate::auth::Who;
use crate::lease::Now;
use crate::state::State;
use crate::status::Result;

use etcdkit_proto::ServerError;

/// What a call brings along beside its message.
#[derive(Clone, Debug, Default)]
pub(crate) struct Caller {
    /// The token of the metadata.
    pub(crate) token: Option<Arc<str>>,
    /// The common name of the certificate that the client proved to have.
    pub(crate) common_name: Option<Arc<str>>,
    /// Whether the call is to fail rather than wait for a leader.
    pub(crate) needs_leader: bool,
}

impl State {
    /// The user that a caller proves to be; `None` if it proves nothing, or nobody needs to.
    pub(crate) fn who(&self, caller: &Caller, now: Now) -> Result<Option<Who>, ServerError> {
        if !self.auth.is_enabled() {
            return Ok(None);
        }
        #[cfg(feature = "jwt")]
        if let (Some(jwt), Some(token)) = (&self.config.jwt, &caller.token) {
            return jwt.who(token, now).map(Some).ok_or(ServerError::InvalidAuthToken);
        }
        let name = match (&caller.token, &caller.common_name) {
            (Some(token), _) => {
                self.tokens.user(token, now).ok_or(ServerError::InvalidAuthToken)?
            }
            (None, Some(name)) => Arc::clone(name),
            (None, None) => return Ok(None),
        };
        Ok(Some(Who { name, revision: self.auth.revision() }))
    }
}
