//! One HTTP/1.1 connection to a server, on which checks are exchanged one after another.
//!
//! It is driven by whoever exchanges on it and rests in between, so no task has to be kept for it.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::Failure;
use crate::wire::Wire;
use bytes::Bytes;
use http::header::{HOST, HeaderValue, USER_AGENT};
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use model::HealthCheck;

/// What is read of an answer's head, and of its body, at most.
const HEAD_BYTES_MAX: usize = 64 * 1024;
const BODY_BYTES_MAX: usize = 64 * 1024;

type Driver = http1::Connection<TokioIo<Wire>, Empty<Bytes>>;

#[derive(Debug)]
pub(crate) struct Connection {
    sender: SendRequest<Empty<Bytes>>,
    /// Nothing once it is over: closed, or within an answer that was not read to its end.
    driver: Option<Driver>,
}

impl Connection {
    pub(crate) async fn handshake(stream: Wire) -> Result<Self, Failure> {
        let (sender, driver) = http1::Builder::new()
            .max_buf_size(HEAD_BYTES_MAX)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| Failure::exchanging(&error))?;
        Ok(Self {
            sender,
            driver: Some(driver),
        })
    }

    /// Sends the check and reads the answer to its end, or as far as is bearable; answers its status.
    pub(crate) async fn exchange(
        &mut self,
        address: SocketAddr,
        check: &HealthCheck,
    ) -> Result<u16, Failure> {
        let request = request(address, check)?;
        let exchange = ask(&mut self.sender, request);
        tokio::pin!(exchange);
        let ended = tokio::select! {
            biased;
            result = &mut exchange => Some(result),
            () = end(&mut self.driver) => None,
        };
        let result = match ended {
            Some(result) => result,
            None => {
                // What was received by then decides. What was not sent by then never will be, of which the driver says nothing
                // as long as it is there.
                self.driver = None;
                exchange.await
            }
        };
        let (status, ended) = result.map_err(|error| Failure::exchanging(&error))?;
        if !ended {
            self.driver = None;
        }
        Ok(status)
    }

    /// The connection, if another check may be sent on it as far as can be seen now.
    pub(crate) async fn into_reusable(mut self) -> Option<Self> {
        let driver = self.driver.as_mut()?;
        let look = |context: &mut Context<'_>| Poll::Ready(Pin::new(&mut *driver).poll(context));
        let closed = poll_fn(look).await.is_ready();
        (!closed).then_some(self)
    }
}

/// Drives a connection until it is over.
async fn end(driver: &mut Option<Driver>) {
    if let Some(driver) = driver {
        // How it ended is for whoever exchanges on it to hear.
        let _ = driver.await;
    }
}

async fn ask(
    sender: &mut SendRequest<Empty<Bytes>>,
    request: Request<Empty<Bytes>>,
) -> Result<(u16, bool), hyper::Error> {
    sender.ready().await?;
    let response = sender.send_request(request).await?;
    let status = response.status().as_u16();
    Ok((status, drain(response).await?))
}

/// Reads and discards the body; answers whether its end was reached.
async fn drain(response: Response<Incoming>) -> Result<bool, hyper::Error> {
    let mut body = response.into_body();
    let mut left = BODY_BYTES_MAX;
    while let Some(frame) = body.frame().await {
        let length = frame?.data_ref().map_or(0, Bytes::len);
        match left.checked_sub(length) {
            Some(rest) => left = rest,
            None => return Ok(false),
        }
    }
    Ok(true)
}

fn request(address: SocketAddr, check: &HealthCheck) -> Result<Request<Empty<Bytes>>, Failure> {
    let host = check.host.clone().unwrap_or_else(|| address.to_string());
    Request::builder()
        .method(Method::GET)
        .uri(check.path.as_str())
        .header(HOST, host)
        .header(USER_AGENT, HeaderValue::from_static("roundhouse-probe"))
        .body(Empty::new())
        .map_err(|error| Failure::Request(error.to_string()))
}
