//! Why a probe failed, in a few words that become a verdict's reason.

use std::error::Error;
use std::io;
use std::time::Duration;

use model::format_duration;

use crate::grpc::Code;
use crate::wire::TLS_BROKE;

/// How a server failed its health check.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    #[error("status {0}")]
    Status(u16),
    #[error("gRPC health is {0}")]
    NotServing(&'static str),
    #[error("gRPC status {0}")]
    GrpcStatus(Code),
    #[error("timed out after {}", format_duration(*after))]
    TimedOut { after: Duration },
    #[error("connection refused")]
    Refused,
    #[error("cannot connect: {0}")]
    Connect(String),
    #[error("TLS failed: {0}")]
    Tls(String),
    #[error("connection reset")]
    Reset,
    #[error("connection closed before the answer's end")]
    Closed,
    #[error("not a valid HTTP answer: {0}")]
    NotHttp(String),
    #[error("not a valid answer over HTTP/2: {0}")]
    NotHttp2(String),
    #[error("not a valid gRPC answer: {0}")]
    NotGrpc(&'static str),
    #[error("connection failed: {0}")]
    Connection(String),
    #[error("the check cannot be sent: {0}")]
    Request(String),
}

impl Failure {
    /// The kind of failure, for counting.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Status(_) | Self::NotServing(_) | Self::GrpcStatus(_) => "status",
            Self::TimedOut { .. } => "timeout",
            Self::Refused | Self::Connect(_) => "connect",
            Self::Reset | Self::Closed | Self::Connection(_) => "connection",
            Self::Tls(_) => "tls",
            Self::NotHttp(_) | Self::NotHttp2(_) | Self::NotGrpc(_) => "protocol",
            Self::Request(_) => "request",
        }
    }

    /// Whether the server gave no answer, not even a bad one. The way to it may be what is broken.
    pub fn is_silence(&self) -> bool {
        match self {
            Self::TimedOut { .. }
            | Self::Refused
            | Self::Connect(_)
            | Self::Reset
            | Self::Closed
            | Self::Connection(_) => true,
            Self::Status(_)
            | Self::Tls(_)
            | Self::NotServing(_)
            | Self::GrpcStatus(_)
            | Self::NotHttp(_)
            | Self::NotHttp2(_)
            | Self::NotGrpc(_)
            | Self::Request(_) => false,
        }
    }

    pub(crate) fn connecting(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused,
            io::ErrorKind::ConnectionReset => Self::Reset,
            kind => Self::Connect(kind.to_string()),
        }
    }

    /// What is wrong with the server's TLS, or that it went away before there was any.
    pub(crate) fn securing(error: &io::Error) -> Self {
        match error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<rustls::Error>())
        {
            Some(error) => Self::Tls(error.to_string()),
            None => Self::lost(error),
        }
    }

    pub(crate) fn exchanging(error: &hyper::Error) -> Self {
        if error.is_parse() {
            return Self::NotHttp(error.to_string());
        }
        if let Some(error) = io_cause(error) {
            return Self::lost(error);
        }
        if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
            return Self::Closed;
        }
        Self::Connection(error.to_string())
    }

    /// What went wrong on a connection of HTTP/2. A server that speaks something else shows in what cannot be read of it.
    pub(crate) fn over_http2(error: &h2::Error) -> Self {
        if let Some(error) = error.get_io() {
            return Self::lost(error);
        }
        if error.is_remote() && error.is_reset() {
            return Self::Reset;
        }
        if error.is_remote() && error.is_go_away() {
            return Self::Closed;
        }
        Self::NotHttp2(error.to_string())
    }

    fn lost(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Self::Reset,
            io::ErrorKind::UnexpectedEof => Self::Closed,
            TLS_BROKE => Self::Tls(error.to_string()),
            // What a peer sent that speaks another protocol, as the library says it.
            io::ErrorKind::InvalidData => Self::NotHttp2(error.to_string()),
            kind => Self::Connection(kind.to_string()),
        }
    }
}

fn io_cause(error: &hyper::Error) -> Option<&io::Error> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref() {
            return Some(error);
        }
        cause = error.source();
    }
    None
}
