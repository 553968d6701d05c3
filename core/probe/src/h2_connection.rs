//! One HTTP/2 connection to a server, with prior knowledge, on which checks are exchanged one after another.

use bytes::Bytes;
use h2::client::{self, SendRequest};
use h2::{RecvStream, SendStream};
use http::header::USER_AGENT;
use http::uri::Scheme;
use http::{HeaderMap, HeaderValue, Request, Response, Version};

use crate::Failure;
use crate::driver::Driver;
use crate::wire::Wire;

/// What is read of an answer's fields and of its body, at most.
const FIELDS_BYTES_MAX: u32 = 64 * 1024;
const BODY_BYTES_MAX: usize = 64 * 1024;

#[derive(Debug)]
pub(crate) struct H2Connection {
    sender: SendRequest<Bytes>,
    driver: Driver<client::Connection<Wire, Bytes>>,
}

/// An answer, its body as far as is bearable.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) fields: HeaderMap,
    pub(crate) body: Vec<u8>,
    /// Of a body that was read to its end.
    pub(crate) trailers: HeaderMap,
}

impl H2Connection {
    pub(crate) async fn handshake(stream: Wire) -> Result<Self, Failure> {
        let (sender, connection) = client::Builder::new()
            .enable_push(false)
            .max_header_list_size(FIELDS_BYTES_MAX)
            .handshake(stream)
            .await
            .map_err(|error| Failure::over_http2(&error))?;
        Ok(Self {
            sender,
            driver: Driver::new(connection),
        })
    }

    /// Sends a request whose body is `content`, and reads the answer.
    pub(crate) async fn exchange(
        &mut self,
        request: Request<()>,
        content: Bytes,
    ) -> Result<Answer, Failure> {
        let exchange = ask(self.sender.clone(), request, content);
        let result = self.driver.drive(exchange).await;
        result.map_err(|error| Failure::over_http2(&error))
    }

    /// The connection, if another check may be sent on it as far as can be seen now.
    pub(crate) async fn into_reusable(mut self) -> Option<Self> {
        self.driver.is_reusable().await.then_some(self)
    }
}

/// The request of a check by status. `authority` is host and port, `path` an origin-form target.
pub(crate) fn get(scheme: &Scheme, authority: &str, path: &str) -> Result<Request<()>, Failure> {
    Request::builder()
        .version(Version::HTTP_2)
        .uri(format!("{scheme}://{authority}{path}"))
        .header(USER_AGENT, HeaderValue::from_static("roundhouse-probe"))
        .body(())
        .map_err(|error| Failure::Request(error.to_string()))
}

async fn ask(
    sender: SendRequest<Bytes>,
    request: Request<()>,
    content: Bytes,
) -> Result<Answer, h2::Error> {
    let mut sender = sender.ready().await?;
    let (response, mut upload) = sender.send_request(request, content.is_empty())?;
    if !content.is_empty() {
        // At most a few hundred bytes, which are queued until the server has room for them.
        upload.send_data(content, true)?;
    }
    read(response.await?, upload).await
}

/// Reads the answer; what is too long of it is not waited for.
async fn read(
    response: Response<RecvStream>,
    mut upload: SendStream<Bytes>,
) -> Result<Answer, h2::Error> {
    let (head, mut stream) = response.into_parts();
    let mut answer = Answer {
        status: head.status.as_u16(),
        fields: head.headers,
        body: Vec::new(),
        trailers: HeaderMap::new(),
    };
    while let Some(piece) = stream.data().await {
        let piece = piece?;
        stream.flow_control().release_capacity(piece.len())?;
        if answer.body.len() + piece.len() > BODY_BYTES_MAX {
            upload.send_reset(h2::Reason::CANCEL);
            return Ok(answer);
        }
        answer.body.extend_from_slice(&piece);
    }
    answer.trailers = stream.trailers().await?.unwrap_or_default();
    Ok(answer)
}
