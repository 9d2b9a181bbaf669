//! How a channel gets its tokens.

use etcdkit_proto::ServerError;
use etcdkit_proto::etcdserverpb::{AuthenticateRequest, AuthenticateResponse};
use etcdkit_proto::method::{self, Method};

use super::call::Call;
use super::channel::Channel;
use super::token::{Authenticated, Exchange};
use super::traits::Transport;
use crate::clock::{self, Instant};
use crate::error::{Error, ErrorKind, Result};
use crate::metadata::Metadata;
use crate::service::CallOptions;

const AUTHENTICATE: Method<AuthenticateRequest, AuthenticateResponse> = method::auth::AUTHENTICATE;

impl<T: Transport> Channel<T> {
    /// Replaces the token that was in force as `seen`; one exchange serves all who ask at once.
    pub(crate) async fn renew_token(&self, deadline: Option<Instant>, seen: u64) -> Result<()> {
        let renewed = self.tokens().renew(seen, || self.authenticate());
        let renewed = clock::until(deadline, renewed).await.unwrap_or_else(|| {
            Err(Error::new(ErrorKind::Timeout, "no auth token before the deadline")
                .with_rpc(AUTHENTICATE.path())
                .with_attempts(self.calls().failures()))
        });
        // A token more or less is nothing that the caller wrote.
        renewed.map_err(|error| error.with_maybe_applied(false))
    }

    /// Whether there is a name and a password to get another token with.
    pub(crate) fn can_authenticate(&self) -> bool {
        self.tokens().can_authenticate()
    }

    /// Exchanges name and password for a token, in the time that such a call takes, whoever waits for it.
    fn authenticate(&self) -> Exchange {
        let channel = self.clone();
        Box::pin(async move {
            let Some((name, password)) = channel.tokens().password() else {
                return Ok(Authenticated::NotEnabled);
            };
            let request = AuthenticateRequest { name: name.into(), password: password.into() };
            let options = CallOptions::new().retry(true);
            let call = Call {
                require_leader: false,
                metadata: Metadata::new(),
                authenticated: false,
                ..channel.prepare(channel.calls(), AUTHENTICATE.info(), false, &options)
            };
            let message = channel.frame(&request, &call)?;
            match channel.run(&call, message).await {
                Ok(answer) => {
                    let response: AuthenticateResponse = channel.decode(answer, &call)?;
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
