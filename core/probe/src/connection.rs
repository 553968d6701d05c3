//! One HTTP/1.1 connection to a server, on which checks are exchanged one after another.

use std::net::SocketAddr;

use crate::Failure;
use crate::driver::Driver;
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

#[derive(Debug)]
pub(crate) struct Connection {
    sender: SendRequest<Empty<Bytes>>,
    driver: Driver<http1::Connection<TokioIo<Wire>, Empty<Bytes>>>,
}

impl Connection {
    pub(crate) async fn handshake(stream: Wire) -> Result<Self, Failure> {
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(HEAD_BYTES_MAX)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| Failure::exchanging(&error))?;
        Ok(Self {
            sender,
            driver: Driver::new(connection),
        })
    }

    /// Sends the check and reads the answer to its end, or as far as is bearable; answers its status.
    pub(crate) async fn exchange(
        &mut self,
        address: SocketAddr,
        check: &HealthCheck,
    ) -> Result<u16, Failure> {
        let request = request(address, check)?;
        let result = self.driver.drive(ask(&mut self.sender, request)).await;
        let (status, ended) = result.map_err(|error| Failure::exchanging(&error))?;
        if !ended {
            self.driver.end();
        }
        Ok(status)
    }

    /// The connection, if another check may be sent on it as far as can be seen now.
    pub(crate) async fn into_reusable(mut self) -> Option<Self> {
        self.driver.is_reusable().await.then_some(self)
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
