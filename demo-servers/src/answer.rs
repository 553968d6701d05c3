//! What is answered to a request: the server's name, its health, or that a switch was thrown.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::header::{ACCEPT, ALLOW, CONTENT_TYPE, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use serde_json::json;

use crate::switches::{Mode, Refused, Switches};

/// What the server is, for all of its connections.
#[derive(Debug)]
pub(crate) struct Greeter {
    pub(crate) name: String,
    pub(crate) switches: Switches,
    /// Ordinary requests in flight.
    load: AtomicU64,
}

/// The connection is to be reset instead of an answer.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the connection is reset on purpose")]
pub(crate) struct Reset;

/// Counts a request for as long as it lasts.
struct InFlight<'a> {
    load: &'a AtomicU64,
    /// With this one.
    count: u64,
}

impl Greeter {
    pub(crate) fn new(name: String) -> Self {
        Self {
            name,
            switches: Switches::default(),
            load: AtomicU64::new(0),
        }
    }

    /// Answers a request that came to `address`.
    pub(crate) async fn answer(
        &self,
        request: Request<Incoming>,
        address: SocketAddr,
    ) -> Result<Response<Full<Bytes>>, Reset> {
        let path = request.uri().path();
        match path.strip_prefix("/-/") {
            Some("health") => Ok(self.health().await),
            Some("load") => Ok(line(
                StatusCode::OK,
                &self.load.load(Ordering::Relaxed).to_string(),
            )),
            Some(switch) => Ok(self.switch(&request, switch)),
            None => self.greet(request, address).await,
        }
    }

    async fn health(&self) -> Response<Full<Bytes>> {
        self.switches.answering().await;
        match self.switches.behaviour().mode {
            Mode::Failing => line(StatusCode::SERVICE_UNAVAILABLE, "failing"),
            Mode::Healthy | Mode::Hanging => line(StatusCode::OK, "healthy"),
        }
    }

    fn switch(&self, request: &Request<Incoming>, switch: &str) -> Response<Full<Bytes>> {
        let query = request.uri().query().unwrap_or_default();
        match self.switches.throw(request.method(), switch, query) {
            Ok(said) => {
                tracing::info!(server = self.name, "{said}");
                line(StatusCode::OK, &said)
            }
            Err(refused) => refusal(switch, &refused),
        }
    }

    async fn greet(
        &self,
        request: Request<Incoming>,
        address: SocketAddr,
    ) -> Result<Response<Full<Bytes>>, Reset> {
        let in_flight = InFlight::enter(&self.load);
        self.switches.answering().await;
        let behaviour = self.switches.behaviour();
        if behaviour.mode == Mode::Failing {
            return Err(Reset);
        }
        let wants_json = wants_json(&request);
        discard(request.into_body()).await?;
        tokio::time::sleep(behaviour.delay).await;
        Ok(self.greeting(wants_json, address, in_flight.count))
    }

    fn greeting(&self, json: bool, address: SocketAddr, load: u64) -> Response<Full<Bytes>> {
        let greeting = format!("Hello from Server {}", self.name);
        let mut response = if json {
            let body =
                json!({"message": greeting, "name": self.name, "address": address, "load": load});
            typed(StatusCode::OK, "application/json", format!("{body}\n"))
        } else {
            line(StatusCode::OK, &greeting)
        };
        let headers = response.headers_mut();
        for (header, value) in [
            ("x-server-name", self.name.clone()),
            ("x-server-address", address.to_string()),
            ("x-server-load", load.to_string()),
        ] {
            let value = HeaderValue::from_bytes(value.as_bytes());
            headers.insert(header, value.expect("a name holds no control character"));
        }
        response
    }
}

impl<'a> InFlight<'a> {
    fn enter(load: &'a AtomicU64) -> Self {
        let count = 1 + load.fetch_add(1, Ordering::Relaxed);
        Self { load, count }
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.load.fetch_sub(1, Ordering::Relaxed);
    }
}

fn wants_json(request: &Request<Incoming>) -> bool {
    let accept = request
        .headers()
        .get(ACCEPT)
        .and_then(|value| value.to_str().ok());
    accept.is_some_and(|accept| accept.contains("application/json"))
}

/// Reads the body to its end, so that the connection can be used again.
async fn discard(mut body: impl Body + Unpin) -> Result<(), Reset> {
    while let Some(frame) = body.frame().await {
        frame.map_err(|_| Reset)?;
    }
    Ok(())
}

fn refusal(switch: &str, refused: &Refused) -> Response<Full<Bytes>> {
    match refused {
        Refused::NotFound => {
            let text = format!(
                "there is no /-/{switch}: health, load, fail, hang, slow and recover are there"
            );
            line(StatusCode::NOT_FOUND, &text)
        }
        Refused::NotPost => {
            let mut response = line(StatusCode::METHOD_NOT_ALLOWED, &format!("POST /-/{switch}"));
            response
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("POST"));
            response
        }
        Refused::BadParameter(text) => line(StatusCode::BAD_REQUEST, text),
    }
}

fn line(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    typed(status, "text/plain; charset=utf-8", format!("{text}\n"))
}

fn typed(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
