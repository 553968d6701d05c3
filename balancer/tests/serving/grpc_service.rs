//! A gRPC service over tonic whose messages are texts, and a client of it.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, BufMut, Bytes};
use http::uri::PathAndQuery;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::Service;
use tonic::server::{NamedService, StreamingService};
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status, Streaming};

type Answered<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Messages as they are.
#[derive(Clone, Copy, Default)]
pub(crate) struct Texts;

impl Codec for Texts {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Texts {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(item);
        Ok(())
    }
}

impl Decoder for Texts {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, input: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(input.copy_to_bytes(input.remaining())))
    }
}

/// The service; each method is one of its paths.
#[derive(Clone)]
struct Talk;

impl NamedService for Talk {
    const NAME: &'static str = "test.Talk";
}

impl Service<http::Request<Body>> for Talk {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Answered<Result<http::Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let method = Method(request.uri().path().to_owned());
        Box::pin(async move {
            let mut server = tonic::server::Grpc::new(Texts);
            Ok(server.streaming(method, request).await)
        })
    }
}

struct Method(String);

impl StreamingService<Bytes> for Method {
    type Response = Bytes;
    type ResponseStream = ReceiverStream<Result<Bytes, Status>>;
    type Future = Answered<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        let Self(path) = self;
        let method = path.rsplit('/').next().expect("a name").to_owned();
        Box::pin(async move {
            if method == "Refuse" {
                return Err(Status::permission_denied("not for you: ü"));
            }
            let (answer, answers) = mpsc::channel(1);
            tokio::spawn(async move {
                // Who calls no more needs no answer.
                let _ = talk(&method, request.into_inner(), answer).await;
            });
            Ok(Response::new(ReceiverStream::new(answers)))
        })
    }
}

/// `Echo` sends back each message, `Count` as many numbers as the first one says, `Join` one message of all; `Break` fails after one.
async fn talk(
    method: &str,
    mut messages: Streaming<Bytes>,
    answer: mpsc::Sender<Result<Bytes, Status>>,
) -> Result<(), mpsc::error::SendError<Result<Bytes, Status>>> {
    let mut joined = Vec::new();
    while let Ok(Some(message)) = messages.message().await {
        match method {
            "Echo" => answer.send(Ok(message)).await?,
            "Count" => {
                let text = String::from_utf8_lossy(&message);
                let count: u32 = text.parse().expect("a number");
                for number in 0..count {
                    answer.send(Ok(number.to_string().into())).await?;
                }
            }
            "Break" => {
                answer.send(Ok(message)).await?;
                return answer.send(Err(Status::data_loss("broken"))).await;
            }
            _ => joined.extend_from_slice(&message),
        }
    }
    if method == "Join" {
        answer.send(Ok(joined.into())).await?;
    }
    Ok(())
}

/// A server of it, with tonic's health service.
pub(crate) async fn talk_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (_, health) = tonic_health::server::health_reporter();
    let serving = Server::builder().add_service(Talk).add_service(health);
    tokio::spawn(serving.serve_with_incoming(TcpListenerStream::new(listener)));
    address
}

/// A client of it.
pub(crate) struct Caller(pub(crate) tonic::client::Grpc<Channel>);

impl Caller {
    pub(crate) async fn of(address: SocketAddr) -> Self {
        Self(tonic::client::Grpc::new(channel(address).await))
    }

    /// Calls a method with messages that come when they come.
    pub(crate) async fn call(
        &mut self,
        method: &'static str,
        messages: mpsc::Receiver<Bytes>,
    ) -> Result<Streaming<Bytes>, Status> {
        self.0.ready().await.expect("a connection");
        let request = Request::new(ReceiverStream::new(messages));
        let path = PathAndQuery::from_static(method);
        let answers = self.0.streaming(request, path, Texts).await;
        answers.map(Response::into_inner)
    }

    /// The same with these messages.
    pub(crate) async fn call_with(
        &mut self,
        method: &'static str,
        messages: &[&'static str],
    ) -> Result<Streaming<Bytes>, Status> {
        let (send, messages_to_send) = mpsc::channel(messages.len());
        for message in messages {
            let sent = send.send(Bytes::from_static(message.as_bytes())).await;
            sent.expect("room for all");
        }
        drop(send);
        self.call(method, messages_to_send).await
    }
}

pub(crate) async fn channel(address: SocketAddr) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an endpoint");
    endpoint.connect().await.expect("a connection")
}
