//! One request to the admin API and its answer, within a time and of a bounded size.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::root_cause;
use crate::{AdminUrl, Error, Refusal, Token};

/// The largest answer that is read.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How long a connection may take to be made.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);

/// How long an answer may take, besides what the API was asked to wait.
pub(crate) const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// How long an unused connection is kept: less than the API keeps it.
const IDLE_LIMIT: Duration = Duration::from_secs(20);

/// The connections to one API, and what is sent with each request.
#[derive(Debug, Clone)]
pub(crate) struct Transport {
    pub(crate) url: AdminUrl,
    token: Option<Token>,
    pool: Pool<HttpConnector, Full<Bytes>>,
}

/// A request in the making.
#[derive(Debug)]
pub(crate) struct Call {
    method: Method,
    /// With its query, below `/v1`.
    path: String,
    headers: HeaderMap,
    body: Bytes,
    limit: Duration,
}

impl Call {
    pub(crate) fn new(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            limit: ANSWER_LIMIT,
        }
    }

    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    pub(crate) fn json(mut self, body: &(impl Serialize + ?Sized)) -> Self {
        let body = serde_json::to_vec(body);
        self.body = body
            .expect("what is sent holds nothing that JSON cannot")
            .into();
        self.header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
    }

    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    pub(crate) fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }
}

impl Transport {
    pub(crate) fn new(url: AdminUrl, token: Option<Token>) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_LIMIT));
        connector.set_nodelay(true);
        let pool = Pool::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_LIMIT)
            .build(connector);
        Self { url, token, pool }
    }

    /// The answer as JSON of a type.
    pub(crate) async fn read<T: DeserializeOwned>(&self, call: Call) -> Result<T, Error> {
        let body = self.send(call).await?;
        self.parse(&body)
    }

    pub(crate) fn parse<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T, Error> {
        serde_json::from_slice(body).map_err(|error| self.unexpected(error.to_string()))
    }

    /// The whole body of the answer, if it is a success.
    pub(crate) async fn send(&self, call: Call) -> Result<Bytes, Error> {
        let limit = call.limit;
        let exchange = async {
            let response = self.begin(call).await?;
            self.collect(response).await
        };
        tokio::time::timeout(limit, exchange)
            .await
            .unwrap_or_else(|_| Err(self.silent(limit)))
    }

    /// The answer's head, if it is a success. Its body may go on for ever.
    pub(crate) async fn open(&self, call: Call) -> Result<Response<Incoming>, Error> {
        let limit = call.limit;
        let begin = tokio::time::timeout(limit, self.begin(call));
        begin.await.unwrap_or_else(|_| Err(self.silent(limit)))
    }

    async fn begin(&self, call: Call) -> Result<Response<Incoming>, Error> {
        let request = self.request(call)?;
        let response = self.pool.request(request).await;
        let response = response.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = self.collect(response).await?;
        Err(Error::Refused(Refusal::read(status, &body)))
    }

    async fn collect(&self, response: Response<Incoming>) -> Result<Bytes, Error> {
        let limited = Limited::new(response.into_body(), ANSWER_BYTES_MAX);
        let collected = limited.collect().await;
        Ok(collected
            .map_err(|error| self.unreachable(&*error))?
            .to_bytes())
    }

    fn request(&self, call: Call) -> Result<Request<Full<Bytes>>, Error> {
        let path = format!("/v1{}", call.path).try_into();
        let path = path.map_err(|_| self.unexpected(format!("no path: {:?}", call.path)))?;
        let mut request = Request::new(Full::new(call.body));
        *request.method_mut() = call.method;
        *request.uri_mut() = self.url.join(path);
        *request.headers_mut() = call.headers;
        let headers = request.headers_mut();
        headers
            .entry(ACCEPT)
            .or_insert(HeaderValue::from_static("application/json"));
        if let Some(token) = &self.token {
            headers.insert(AUTHORIZATION, token.header());
        }
        Ok(request)
    }

    pub(crate) fn unreachable(&self, error: &(dyn std::error::Error + 'static)) -> Error {
        Error::Unreachable {
            url: self.url.clone(),
            reason: root_cause(error),
        }
    }

    pub(crate) fn unexpected(&self, reason: String) -> Error {
        Error::Unexpected {
            url: self.url.clone(),
            reason,
        }
    }

    pub(crate) fn ended(&self) -> Error {
        Error::Unreachable {
            url: self.url.clone(),
            reason: "it ended the connection".into(),
        }
    }

    pub(crate) fn silent(&self, limit: Duration) -> Error {
        Error::Silent {
            url: self.url.clone(),
            limit,
        }
    }
}
