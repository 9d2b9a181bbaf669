//! How a channel gets its tokens.

use std::future::Future;
use std::pin::Pin;

use etcdkit_proto::ServerError;
use etcdkit_proto::etcdserverpb::{AuthenticateRequest, AuthenticateResponse};
use etcdkit_proto::method::{self, Method};

use super::call::Call;
use super::channel::Channel;
use super::token::Authenticated;
use super::traits::Transport;
use crate::clock::{self, Instant};
use crate::error::{Error, ErrorKind, Result};
use crate::metadata::Metadata;

const AUTHENTICATE: Method<AuthenticateRequest, AuthenticateResponse> = method::auth::AUTHENTICATE;

impl<T: Transport> Channel<T> {
    /// Replaces the token that was in force as `seen`; one exchange serves all who ask at once.
    pub(crate) async fn renew_token(&self, deadline: Option<Instant>, seen: u64) -> Result<()> {
        let renewed = self.tokens().renew(seen, self.authenticate(deadline));
        let renewed = clock::until(deadline, renewed).await.unwrap_or_else(|| {
            Err(Error::new(ErrorKind::Timeout, "no auth token before the deadline")
                .with_rpc(AUTHENTICATE.path())
                .with_attempts(self.calls().failures()))
        });
        // A token more or less is nothing that the caller wrote.
        renewed.map_err(|error| error.with_maybe_applied(false))
    }

    /// Exchanges name and password for a token. Boxed: a call may need a token, and a token takes a call.
    fn authenticate(
        &self,
        deadline: Option<Instant>,
    ) -> Pin<Box<dyn Future<Output = Result<Authenticated>> + Send + '_>> {
        Box::pin(async move {
            let Some((name, password)) = self.tokens().password() else {
                return Ok(Authenticated::NotEnabled);
            };
            let request = AuthenticateRequest { name: name.into(), password: password.into() };
            let call = Call {
                pool: self.calls(),
                method: AUTHENTICATE.info(),
                serializable: false,
                started: clock::now(),
                deadline,
                retry: true,
                require_leader: false,
                metadata: Metadata::new(),
                authenticated: false,
            };
            let message = self.frame(&request, &call)?;
            match self.run(&call, message).await {
                Ok(answer) => {
                    let response: AuthenticateResponse = self.decode(answer, &call)?;
                    Ok(Authenticated::Token(response.token))
                }
                Err(error) if error.server_error() == Some(ServerError::AuthNotEnabled) => {
                    Ok(Authenticated::NotEnabled)
                }
                Err(error) => Err(error),
            }
        })
    }
}
