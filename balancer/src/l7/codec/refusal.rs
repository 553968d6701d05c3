//! Why a message is not taken. A request that is refused is answered with the status named here and
//! its connection closes.

use thiserror::Error;

/// Why a request's head is refused.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "the message of each variant is its documentation"
)]
pub enum Refusal {
    #[error("the request line is not METHOD SP target SP HTTP/1.1 CRLF")]
    RequestLine,
    #[error("the request line is too long")]
    RequestLineTooLong,
    #[error("this version of HTTP is not served here")]
    Version,
    #[error("the request target is not valid for this method")]
    Target,
    #[error("CONNECT is not served here")]
    Connect,
    #[error("TRACE is not served here")]
    Trace,
    #[error("a field name has a byte that is not allowed, or a line is folded")]
    FieldName,
    #[error("a field value has a byte that is not allowed")]
    FieldValue,
    #[error("a line does not end with CRLF")]
    LineEnd,
    #[error("the head has too many fields")]
    TooManyFields,
    #[error("the head is too long")]
    HeadTooLong,
    #[error("a request needs exactly one valid Host")]
    Host,
    #[error("Content-Length is not one decimal number")]
    ContentLength,
    #[error("the body is longer than allowed")]
    BodyTooLong,
    #[error(
        "Transfer-Encoding is not chunked exactly once, or comes with HTTP/1.0 or Content-Length"
    )]
    TransferEncoding,
    #[error("this transfer coding is not served here")]
    UnknownCoding,
    #[error("a field name imitates a framing field")]
    Imitation,
    #[error("Connection is malformed, or names a field that is not its to name")]
    Connection,
    #[error("Max-Forwards is not one decimal number")]
    MaxForwards,
    #[error("this expectation cannot be met")]
    Expectation,
}

impl Refusal {
    /// The status to answer with.
    pub fn status(self) -> u16 {
        match self {
            Self::Trace => 405,
            Self::BodyTooLong => 413,
            Self::RequestLineTooLong => 414,
            Self::Expectation => 417,
            Self::TooManyFields | Self::HeadTooLong => 431,
            Self::Connect | Self::UnknownCoding => 501,
            Self::Version => 505,
            _ => 400,
        }
    }

    /// The token for `Roundhouse-Reason`, metrics and logs.
    pub fn token(self) -> &'static str {
        match self {
            Self::RequestLine => "bad-request-line",
            Self::RequestLineTooLong => "request-line-too-long",
            Self::Version => "unsupported-version",
            Self::Target => "bad-target",
            Self::Connect => "connect-not-served",
            Self::Trace => "trace-not-served",
            Self::FieldName => "bad-field-name",
            Self::FieldValue => "bad-field-value",
            Self::LineEnd => "bad-line-end",
            Self::TooManyFields => "too-many-fields",
            Self::HeadTooLong => "head-too-long",
            Self::Host => "bad-host",
            Self::ContentLength => "bad-content-length",
            Self::BodyTooLong => "body-too-long",
            Self::TransferEncoding => "bad-transfer-encoding",
            Self::UnknownCoding => "unknown-transfer-coding",
            Self::Imitation => "imitated-field",
            Self::Connection => "bad-connection-field",
            Self::MaxForwards => "bad-max-forwards",
            Self::Expectation => "unknown-expectation",
        }
    }
}

/// Why a body is broken off. Before anything of it was answered, a request's is
/// [`status`](Self::status); otherwise both connections are closed so that the body is visibly cut
/// short.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "the message of each variant is its documentation"
)]
pub enum BadBody {
    #[error("a chunk's size line is malformed")]
    ChunkSize,
    #[error("a chunk extension is malformed or too long")]
    ChunkExtension,
    #[error("a chunk's data does not end with CRLF")]
    ChunkEnd,
    #[error("a trailer field is malformed")]
    Trailer,
    #[error("the trailers are too long or too many")]
    TrailersTooLong,
    #[error("the body is longer than allowed")]
    TooLong,
    #[error("the connection ended before the body did")]
    Truncated,
}

impl BadBody {
    /// The status to answer a request's bad body with.
    pub fn status(self) -> u16 {
        match self {
            Self::TooLong => 413,
            Self::TrailersTooLong => 431,
            _ => 400,
        }
    }

    /// The token for `Roundhouse-Reason`, metrics and logs.
    pub fn token(self) -> &'static str {
        match self {
            Self::ChunkSize => "bad-chunk-size",
            Self::ChunkExtension => "bad-chunk-extension",
            Self::ChunkEnd => "bad-chunk-end",
            Self::Trailer => "bad-trailer",
            Self::TrailersTooLong => "trailers-too-long",
            Self::TooLong => "body-too-long",
            Self::Truncated => "body-truncated",
        }
    }
}

/// Why a server's response head cannot be passed on; the client gets 502.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "the message of each variant is its documentation"
)]
pub enum BadResponse {
    #[error("the server's status line is malformed")]
    StatusLine,
    #[error("the server sent a malformed field or line end")]
    Field,
    #[error("the server's head has too many fields or is too long")]
    TooLong,
    #[error("the server's Content-Length is not one decimal number")]
    ContentLength,
    #[error("the server's Transfer-Encoding is not chunked alone")]
    TransferEncoding,
    #[error("the server's Connection field is malformed")]
    Connection,
    #[error("the server changed the protocol unasked")]
    UnaskedUpgrade,
    #[error("the server sent too many interim responses")]
    TooManyInterim,
    #[error("the server's answer breaks the rules of HTTP/2")]
    Malformed,
}

impl BadResponse {
    /// The token for `Roundhouse-Reason`, metrics and logs.
    pub fn token(self) -> &'static str {
        match self {
            Self::StatusLine => "bad-status-line",
            Self::Field => "bad-response-field",
            Self::TooLong => "response-head-too-long",
            Self::ContentLength => "bad-response-length",
            Self::TransferEncoding => "bad-response-encoding",
            Self::Connection => "bad-response-connection",
            Self::UnaskedUpgrade => "unasked-upgrade",
            Self::TooManyInterim => "too-many-interim-responses",
            Self::Malformed => "malformed-http2-response",
        }
    }
}
