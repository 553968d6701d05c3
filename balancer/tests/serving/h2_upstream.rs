//! Servers that speak HTTP/2: one over the `h2` crate, which does what a test tells it to, and one of bare frames for what that crate would
//! not do.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use h2::server::{self, SendResponse};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::wire::LIMIT;

/// A server over `h2`.
pub(crate) struct H2Upstream {
    pub(crate) address: SocketAddr,
    counts: Arc<Counts>,
    serving: JoinHandle<()>,
}

#[derive(Default)]
struct Counts {
    accepted: AtomicUsize,
    open: AtomicUsize,
    requests: AtomicUsize,
}

/// A request that it got.
pub(crate) struct Call {
    pub(crate) head: Request<()>,
    pub(crate) body: RecvStream,
    pub(crate) respond: SendResponse<Bytes>,
}

impl H2Upstream {
    /// Each request is answered by `answer`, in a task of its own.
    pub(crate) async fn start<F: Future<Output = ()> + Send + 'static>(
        answer: impl Fn(Call) -> F + Clone + Send + Sync + 'static,
    ) -> Self {
        Self::with(server::Builder::new(), answer).await
    }

    /// The same with settings of its own.
    pub(crate) async fn with<F: Future<Output = ()> + Send + 'static>(
        settings: server::Builder,
        answer: impl Fn(Call) -> F + Clone + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let counts = Arc::new(Counts::default());
        let serving = tokio::spawn({
            let counts = Arc::clone(&counts);
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    counts.accepted.fetch_add(1, Ordering::SeqCst);
                    let (settings, answer) = (settings.clone(), answer.clone());
                    let counts = Arc::clone(&counts);
                    tokio::spawn(async move {
                        counts.open.fetch_add(1, Ordering::SeqCst);
                        serve(stream, settings, &counts, answer).await;
                        counts.open.fetch_sub(1, Ordering::SeqCst);
                    });
                }
            }
        });
        Self {
            address,
            counts,
            serving,
        }
    }

    /// Answers each request with a head and this body.
    pub(crate) async fn named(name: &'static str) -> Self {
        Self::start(move |call| async move { call.answer(name).await }).await
    }

    /// How many connections were accepted.
    pub(crate) fn connections(&self) -> usize {
        self.counts.accepted.load(Ordering::SeqCst)
    }

    /// How many of them are open.
    pub(crate) fn open(&self) -> usize {
        self.counts.open.load(Ordering::SeqCst)
    }

    /// How many requests came.
    pub(crate) fn requests(&self) -> usize {
        self.counts.requests.load(Ordering::SeqCst)
    }
}

impl Drop for H2Upstream {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve<F: Future<Output = ()> + Send + 'static>(
    stream: TcpStream,
    settings: server::Builder,
    counts: &Counts,
    answer: impl Fn(Call) -> F,
) {
    let Ok(mut requests) = settings.handshake(stream).await else {
        return;
    };
    while let Some(Ok((request, respond))) = requests.accept().await {
        counts.requests.fetch_add(1, Ordering::SeqCst);
        let (head, body) = request.into_parts();
        tokio::spawn(answer(Call {
            head: Request::from_parts(head, ()),
            body,
            respond,
        }));
    }
}

impl Call {
    /// Reads the body to its end, with the trailers behind it.
    pub(crate) async fn read(&mut self) -> (Vec<u8>, HeaderMap) {
        let mut body = Vec::new();
        while let Some(piece) = self.body.data().await {
            let piece = piece.expect("a piece");
            let flow = self.body.flow_control();
            flow.release_capacity(piece.len()).expect("room again");
            body.extend_from_slice(&piece);
        }
        let trailers = self.body.trailers().await.expect("an orderly end");
        (body, trailers.unwrap_or_default())
    }

    /// Answers with status 200 and this body, its length unsaid.
    pub(crate) async fn answer(mut self, body: &'static str) {
        self.read().await;
        let mut stream = self.begin(Response::new(()));
        stream
            .send_data(Bytes::from_static(body.as_bytes()), true)
            .expect("a body");
    }

    /// Sends a head behind which a body follows.
    pub(crate) fn begin(&mut self, head: Response<()>) -> SendStream<Bytes> {
        self.respond.send_response(head, false).expect("a head")
    }

    /// Ends the stream without an answer.
    pub(crate) fn reset(mut self, reason: Reason) {
        self.respond.send_reset(reason);
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let value = self.head.headers().get(name)?;
        value.to_str().ok()
    }
}

/// Sends a piece once there is room for all of it.
pub(crate) async fn send(stream: &mut SendStream<Bytes>, piece: Bytes) -> Result<(), h2::Error> {
    stream.reserve_capacity(piece.len());
    while stream.capacity() < piece.len() {
        let room = std::future::poll_fn(|context| stream.poll_capacity(context)).await;
        room.unwrap_or_else(|| Err(Reason::CANCEL.into()))?;
    }
    stream.send_data(piece, false)
}

/// A server whose first connection drains from its first request on. Answers tell the connection's number; that to `/slow` waits.
pub(crate) async fn draining(began: Arc<Notify>, go_on: Arc<Notify>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        let mut connection = 0;
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(drain(
                stream,
                connection,
                Arc::clone(&began),
                Arc::clone(&go_on),
            ));
            connection += 1;
        }
    });
    address
}

async fn drain(stream: TcpStream, connection: usize, began: Arc<Notify>, go_on: Arc<Notify>) {
    let mut requests = server::handshake(stream).await.expect("a client");
    while let Some(Ok((request, mut respond))) = requests.accept().await {
        if connection == 0 {
            requests.graceful_shutdown();
        }
        let (began, go_on) = (Arc::clone(&began), Arc::clone(&go_on));
        tokio::spawn(async move {
            if request.uri().path() == "/slow" {
                began.notify_one();
                go_on.notified().await;
            }
            let text = Bytes::from(format!("connection {connection}"));
            let mut stream = respond
                .send_response(Response::new(()), false)
                .expect("a head");
            stream.send_data(text, true).expect("a body");
        });
    }
}

/// What a server of bare frames does with a request's HEADERS.
#[derive(Clone)]
pub(crate) enum Reply {
    /// HEADERS with this block, which end the stream.
    Headers(Vec<u8>),
    /// The same, with DATA behind it that ends the stream.
    Data(Vec<u8>, &'static [u8]),
    /// GOAWAY that leaves all streams out.
    GoAway,
    /// Nothing, and no answer to PING either.
    Nothing,
    /// `first` to the first. The second waits, which is told, until a third comes: that one is left out by GOAWAY, and then the second
    /// gets `late`.
    Leave(Arc<Notify>),
}

/// A server of bare frames, each of whose connections takes the next of these replies for all of its requests, the last for the rest.
pub(crate) async fn of_frames(replies: Vec<Reply>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        let mut replies = replies.into_iter().peekable();
        while let Ok((stream, _)) = listener.accept().await {
            let reply = replies.next().expect("a reply");
            if replies.peek().is_none() {
                replies = vec![reply.clone()].into_iter().peekable();
            }
            tokio::spawn(speak(stream, reply));
        }
    });
    address
}

async fn speak(mut stream: TcpStream, reply: Reply) -> std::io::Result<()> {
    let mut preface = [0; 24];
    stream.read_exact(&mut preface).await?;
    stream.write_all(&frame(4, 0, 0, b"")).await?;
    let mut ids = Vec::new();
    loop {
        let mut head = [0; 9];
        timeout(LIMIT, stream.read_exact(&mut head)).await??;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        stream.read_exact(&mut payload).await?;
        let id = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        match (head[3], &reply) {
            (1, Reply::Headers(block)) => stream.write_all(&frame(1, 5, id, block)).await?,
            (1, Reply::Data(block, data)) => {
                stream.write_all(&frame(1, 4, id, block)).await?;
                stream.write_all(&frame(0, 1, id, data)).await?;
            }
            (1, Reply::GoAway) => stream.write_all(&frame(7, 0, 0, &[0; 8])).await?,
            (1, Reply::Leave(waits)) => {
                ids.push(id);
                match ids[..] {
                    [first] => answer(&mut stream, first, b"first").await?,
                    [_, _] => waits.notify_one(),
                    [_, second, ..] => {
                        let payload = [second.to_be_bytes(), [0; 4]].concat();
                        stream.write_all(&frame(7, 0, 0, &payload)).await?;
                        answer(&mut stream, second, b"late").await?;
                    }
                    [] => {}
                }
            }
            // An acknowledgement of its settings.
            (4, _) if head[4] == 0 => stream.write_all(&frame(4, 1, 0, b"")).await?,
            _ => {}
        }
    }
}

async fn answer(stream: &mut TcpStream, id: u32, data: &[u8]) -> std::io::Result<()> {
    stream.write_all(&frame(1, 4, id, &block(&[]))).await?;
    stream.write_all(&frame(0, 1, id, data)).await
}

/// A frame (RFC 9113, 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short frame");
    let mut frame = length.to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A field of a header block, as it is (RFC 7541, 6.2.2).
pub(crate) fn literal(name: &str, value: &str) -> Vec<u8> {
    let mut block = vec![0];
    for text in [name, value] {
        block.push(u8::try_from(text.len()).expect("a short text"));
        block.extend(text.bytes());
    }
    block
}

/// `:status: 200` and these fields.
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let fields = fields.iter().map(|(name, value)| literal(name, value));
    [vec![0x88]].into_iter().chain(fields).flatten().collect()
}
