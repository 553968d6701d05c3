use std::future::poll_fn;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;

use certificates::testing::Authority;
use model::{Pool, PoolId};
use probe::{Calling, HostRoots};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ServerConnection;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::Tls;
use crate::buffers::{Buffer, Buffers};

/// Lengths of records: as HTTP/2 makes them of long frames, and odd ones.
const LENGTHS: [usize; 9] = [16_384, 9, 16_384, 9, 4000, 1, 16_384, 300, 9];

/// So many bytes of the first record come first.
const FIRST: usize = 16_000;

/// The other side, after the handshake.
struct Peer {
    socket: TcpStream,
    connection: ServerConnection,
}

impl Peer {
    /// Sends records, the first in two pieces, of which the first is read before the second is sent; says what was in them.
    async fn send(&mut self, read: impl FnOnce()) -> Vec<u8> {
        let total: usize = LENGTHS.iter().sum();
        let text: Vec<u8> = (0..total).map(|at| (at % 251) as u8).collect();
        let (mut rest, mut records) = (&text[..], Vec::new());
        for length in LENGTHS {
            let piece = rest.split_off(..length).expect("enough");
            self.connection.writer().write_all(piece).expect("taken");
            while self.connection.wants_write() {
                self.connection.write_tls(&mut records).expect("written");
            }
        }
        let (first, second) = records.split_at(FIRST);
        self.socket.write_all(first).await.expect("sent");
        read();
        self.socket.write_all(second).await.expect("sent");
        text
    }
}

fn server_config() -> Arc<ServerConfig> {
    let issued = Authority::new("test").issue(&["a.example"]);
    let chain = CertificateDer::from_pem_slice(issued.chain.as_bytes());
    let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes());
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions();
    let builder = builder.expect("versions").with_no_client_auth();
    let chain = vec![chain.expect("a certificate")];
    let config = builder.with_single_cert(chain, key.expect("a key"));
    Arc::new(config.expect("a certificate and its key"))
}

fn calling() -> Calling {
    let mut pool = Pool::new(PoolId::standard());
    pool.tls.enabled = true;
    pool.tls.verify = false;
    Calling::new(&pool, None, &HostRoots::default()).expect("settings")
}

async fn pair(buffers: &Buffers) -> (Tls, Peer) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address: SocketAddr = listener.local_addr().expect("an address");
    let socket = TcpStream::connect(address).await.expect("connected");
    let (accepted, _) = listener.accept().await.expect("accepted");
    let tls = Tls::call(socket, &calling(), address).expect("a name");
    let acceptor = TlsAcceptor::from(server_config());
    let calls = async {
        let made = poll_fn(|context| tls.poll_handshake(context, buffers)).await;
        made.expect("a handshake");
        // The last flight would go out with the first data.
        tls.session.borrow_mut().send(tls.socket()).expect("sent");
    };
    let (accepted, ()) = tokio::join!(acceptor.accept(accepted), calls);
    let (socket, connection) = accepted.expect("a handshake").into_inner();
    (tls, Peer { socket, connection })
}

#[tokio::test]
async fn records_of_every_length_are_read_however_they_are_cut() {
    let buffers = Buffers::new();
    for room in [1, 5, 4096, 16_384, 65_536] {
        let (tls, mut peer) = pair(&buffers).await;
        let mut room = vec![0; room];
        let wanted = peer.send(|| assert!(tls.try_read(&mut [0]).is_err())).await;
        let mut read = Vec::new();
        while read.len() < wanted.len() {
            let ready = poll_fn(|context| tls.poll_read_ready(context)).await;
            ready.expect("a connection");
            match tls.try_read(&mut room) {
                Ok(count) => read.extend_from_slice(&room[..count]),
                Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
            }
        }
        assert!(read == wanted, "{}", room.len());
    }
}

#[tokio::test]
async fn records_of_every_length_go_into_a_buffer_that_is_almost_full() {
    let buffers = Buffers::new();
    for room in [1, 8, 5000] {
        let (tls, mut peer) = pair(&buffers).await;
        let mut buffer = Buffer::default();
        let held = buffer.room(&buffers).len() - room;
        buffer.fill(held);
        let nothing = std::task::Waker::noop();
        let mut context = std::task::Context::from_waker(nothing);
        let wanted = peer
            .send(|| {
                let filled = tls.poll_fill(&mut context, &mut buffer, &buffers);
                assert!(filled.is_pending());
            })
            .await;
        let mut read = Vec::new();
        while read.len() < wanted.len() {
            let filled = poll_fn(|context| tls.poll_fill(context, &mut buffer, &buffers)).await;
            let count = filled.expect("a connection");
            let piece = &buffer.filled()[held..];
            assert_eq!(piece.len(), count);
            read.extend_from_slice(piece);
            buffer.clear();
            buffer.fill(held);
        }
        assert!(read == wanted, "{room}");
    }
}
