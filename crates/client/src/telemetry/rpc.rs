//! One RPC, as a span and as counters.

use etcdkit_proto::method::{MethodInfo, Shape};
use tracing::{Span, field};

use self::counters::Counters;
use crate::config::Endpoint;
use crate::error::Error;

/// One RPC from its beginning to its [end](Self::end). Whoever drops it before that has cancelled it.
#[derive(Debug)]
#[must_use]
pub(crate) struct Rpc {
    /// Nothing, unless someone listens.
    span: Span,
    counters: Counters,
}

impl Rpc {
    pub(crate) fn begin(method: &MethodInfo) -> Self {
        macro_rules! span {
            ($name:literal) => {
                tracing::debug_span!(
                    target: "etcdkit",
                    $name,
                    rpc = method.path,
                    endpoint = field::Empty,
                    attempts = field::Empty,
                    kind = field::Empty,
                    code = field::Empty,
                )
            };
        }
        let span = match method.shape {
            Shape::Unary => span!("etcd.call"),
            Shape::ServerStream | Shape::Bidi => span!("etcd.stream"),
        };
        Self { span, counters: Counters::begin(method) }
    }

    /// What is done for it goes on in this span.
    pub(crate) fn span(&self) -> &Span {
        &self.span
    }

    /// This is who answers.
    pub(crate) fn served_by(&self, endpoint: &Endpoint) {
        if !self.span.is_none() {
            self.span.record("endpoint", field::display(endpoint));
        }
    }

    pub(crate) fn sent(&self, messages: usize) {
        self.counters.sent(messages);
    }

    pub(crate) fn received(&self) {
        self.counters.received();
    }

    /// It is over, in this way.
    pub(crate) fn end(self, error: Option<&Error>) {
        if let Some(error) = error
            && !self.span.is_none()
        {
            self.span.record("attempts", error.attempts().len());
            self.span.record("kind", field::debug(error.kind()));
            if let Some(endpoint) = error.endpoint() {
                self.span.record("endpoint", endpoint);
            }
            if let Some(code) = error.code() {
                self.span.record("code", field::display(code));
            }
        }
        self.counters.end(error);
    }
}

#[cfg(not(feature = "metrics"))]
mod counters {
    use etcdkit_proto::method::MethodInfo;

    use crate::error::Error;

    #[derive(Debug)]
    pub(super) struct Counters;

    impl Counters {
        #[inline]
        pub(super) fn begin(_method: &MethodInfo) -> Self {
            Self
        }

        #[inline]
        pub(super) fn sent(&self, _messages: usize) {}

        #[inline]
        pub(super) fn received(&self) {}

        #[inline]
        pub(super) fn end(self, _error: Option<&Error>) {}
    }
}

#[cfg(feature = "metrics")]
mod counters {
    use etcdkit_proto::Code;
    use etcdkit_proto::method::{MethodInfo, Shape};
    use metrics::Counter;

    use crate::error::{Error, ErrorKind};

    #[derive(Debug)]
    pub(super) struct Counters {
        method: MethodInfo,
        /// Handles, so that the recorder is not asked for them with each message.
        sent: Counter,
        received: Counter,
        over: bool,
    }

    macro_rules! counter {
        ($name:literal, $method:expr $(, $label:literal => $value:expr)?) => {
            metrics::counter!(
                $name,
                "grpc_type" => shape($method),
                "grpc_service" => $method.service,
                "grpc_method" => $method.name
                $(, $label => $value)?
            )
        };
    }

    impl Counters {
        pub(super) fn begin(method: &MethodInfo) -> Self {
            counter!("grpc_client_started_total", method).increment(1);
            Self {
                method: *method,
                sent: counter!("grpc_client_msg_sent_total", method),
                received: counter!("grpc_client_msg_received_total", method),
                over: false,
            }
        }

        pub(super) fn sent(&self, messages: usize) {
            self.sent.increment(messages as u64);
        }

        pub(super) fn received(&self) {
            self.received.increment(1);
        }

        pub(super) fn end(mut self, error: Option<&Error>) {
            self.handled(error.map_or(Code::Ok, code));
        }

        fn handled(&mut self, code: Code) {
            self.over = true;
            counter!("grpc_client_handled_total", &self.method, "grpc_code" => code.name())
                .increment(1);
        }
    }

    impl Drop for Counters {
        fn drop(&mut self) {
            if !self.over {
                self.handled(Code::Canceled);
            }
        }
    }

    fn shape(method: &MethodInfo) -> &'static str {
        match method.shape {
            Shape::Unary => "unary",
            Shape::ServerStream => "server_stream",
            Shape::Bidi => "bidi_stream",
        }
    }

    /// The code that gRPC would have given a failure that never was a status.
    fn code(error: &Error) -> Code {
        error.code().unwrap_or_else(|| match error.kind() {
            ErrorKind::Timeout => Code::DeadlineExceeded,
            ErrorKind::Cancelled | ErrorKind::Closed => Code::Canceled,
            ErrorKind::ResourceExhausted => Code::ResourceExhausted,
            ErrorKind::Internal => Code::Internal,
            _ => Code::Unavailable,
        })
    }
}
