//! TLS around what these tests speak: bridges from plain connections into TLS and out of it, and handshakes to look at.

use std::net::SocketAddr;
use std::sync::Arc;

use certificates::testing::{Authority, Issued};
use certificates::{PrivateKey, SealKey};
use model::{Certificate, CertificateId, Change, Listener, ListenerTls};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{
    ClientConfig, HandshakeKind, ProtocolVersion, RootCertStore, ServerConfig,
    SupportedProtocolVersion, version,
};
use tempfile::TempDir;
use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::fleet::{Fleet, commit, pool, registry, server};
use crate::wire::LIMIT;

/// Both versions.
pub(crate) const ANY: &[&SupportedProtocolVersion] = &[&version::TLS13, &version::TLS12];
pub(crate) const TLS12: &[&SupportedProtocolVersion] = &[&version::TLS12];
pub(crate) const TLS13: &[&SupportedProtocolVersion] = &[&version::TLS13];

/// What bridges pass on at once: the longest frame of HTTP/2 with its head, which makes one record of full length and one of 9 bytes.
const PIECE: usize = 16_384 + 9;

/// An authority whom clients believe, and the seal key of a fleet.
pub(crate) struct Trust {
    pub(crate) authority: Authority,
    pub(crate) seal_key: SealKey,
    pub(crate) directory: TempDir,
}

/// What a client sees of a handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) leaf: CertificateDer<'static>,
    pub(crate) version: ProtocolVersion,
    pub(crate) resumed: bool,
    pub(crate) alpn: Option<Vec<u8>>,
}

impl Trust {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().expect("a folder");
        let seal_key = SealKey::generate();
        std::fs::write(directory.path().join("seal.key"), &*seal_key.line()).expect("a file");
        Self {
            authority: Authority::new("test authority"),
            seal_key,
            directory,
        }
    }

    pub(crate) fn seal_key_file(&self) -> String {
        self.directory.path().join("seal.key").display().to_string()
    }

    pub(crate) fn put(&self, id: &str, issued: &Issued) -> Change {
        put(id, issued, &self.seal_key)
    }

    /// A balancer that shows these certificates, in front of these servers.
    pub(crate) async fn fleet(
        &self,
        shown: &[(&str, &Issued)],
        servers: &[SocketAddr],
        flags: &[&str],
    ) -> Fleet {
        let registry = registry(pool()).await;
        for (index, address) in servers.iter().enumerate() {
            let server = server(&format!("s{}", index + 1), *address);
            commit(&*registry, vec![Change::put_server(server)]).await;
        }
        for (id, issued) in shown {
            commit(&*registry, vec![self.put(id, issued)]).await;
        }
        let file = self.seal_key_file();
        let own = ["--listen-tls", "127.0.0.1:0", "--seal-key-file", &file];
        let fleet = Fleet::on(registry, &[&own[..], flags].concat()).await;
        let ready = timeout(LIMIT, fleet.balancer.ready());
        ready.await.expect("ready in time");
        fleet
    }

    /// A client that believes the authority, and remembers sessions.
    pub(crate) fn client(&self, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_protocol_versions(versions).expect("versions");
        let builder = builder.with_root_certificates(roots(self.authority.pem()));
        builder.with_no_client_auth()
    }

    /// The same with a certificate of its own.
    pub(crate) fn client_as(&self, issued: &Issued) -> ClientConfig {
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_protocol_versions(ANY).expect("versions");
        let builder = builder.with_root_certificates(roots(self.authority.pem()));
        let client = builder.with_client_auth_cert(chain(issued), key(issued));
        client.expect("a certificate and its key")
    }

    /// A bridge to the balancer for clients that ask for this name.
    pub(crate) async fn bridge(&self, fleet: &Fleet, name: &str) -> SocketAddr {
        bridge(tls_of(fleet), name, self.client(ANY)).await
    }
}

pub(crate) fn put(id: &str, issued: &Issued, seal_key: &SealKey) -> Change {
    let id: CertificateId = id.parse().expect("a name");
    let key = PrivateKey::parse(&issued.key).expect("a key");
    let sealed = seal_key.public().seal(&id, &key);
    let certificate = Certificate::new(id.clone(), issued.chain.clone(), sealed);
    Change::Certificate(id, Some(Box::new(certificate)))
}

/// The listener for TLS with these settings.
pub(crate) fn listener(tls: ListenerTls) -> Change {
    let mut listener = Listener::new("https".parse().expect("a name"));
    listener.tls = tls;
    Change::Listener(listener.id.clone(), Some(listener))
}

pub(crate) fn tls_of(fleet: &Fleet) -> SocketAddr {
    fleet.balancer.tls_address().expect("a listener for TLS")
}

pub(crate) fn leaf(issued: &Issued) -> CertificateDer<'static> {
    chain(issued).remove(0)
}

fn chain(issued: &Issued) -> Vec<CertificateDer<'static>> {
    let chain = CertificateDer::pem_slice_iter(issued.chain.as_bytes());
    chain.collect::<Result<_, _>>().expect("certificates")
}

fn key(issued: &Issued) -> PrivateKeyDer<'static> {
    PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).expect("a key")
}

fn roots(pem: &str) -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        roots.add(root.expect("a certificate")).expect("a root");
    }
    Arc::new(roots)
}

/// A server's settings; with an authority, clients must show a certificate of its making.
pub(crate) fn server_config(issued: &Issued, clients: Option<&Authority>) -> Arc<ServerConfig> {
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_protocol_versions(ANY).expect("versions");
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let roots = roots(authority.pem());
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
            builder.with_client_cert_verifier(verifier.build().expect("a verifier"))
        }
    };
    let config = builder.with_single_cert(chain(issued), key(issued));
    Arc::new(config.expect("a certificate and its key"))
}

/// A handshake; why there is none, where there is none.
pub(crate) async fn connect(
    address: SocketAddr,
    name: &str,
    config: &Arc<ClientConfig>,
) -> Result<TlsStream<TcpStream>, String> {
    let socket = TcpStream::connect(address).await.expect("connected");
    socket.set_nodelay(true).expect("no delay");
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let connector = TlsConnector::from(Arc::clone(config));
    let made = timeout(LIMIT, connector.connect(name, socket)).await;
    made.expect("in time").map_err(|error| error.to_string())
}

pub(crate) fn seen(stream: &TlsStream<TcpStream>) -> Seen {
    let (_, made) = stream.get_ref();
    let chain = made.peer_certificates().expect("a chain");
    Seen {
        leaf: chain[0].clone().into_owned(),
        version: made.protocol_version().expect("a version"),
        resumed: made.handshake_kind() == Some(HandshakeKind::Resumed),
        alpn: made.alpn_protocol().map(<[u8]>::to_vec),
    }
}

/// What comes in here in the open goes on within TLS.
pub(crate) async fn bridge(address: SocketAddr, name: &str, config: ClientConfig) -> SocketAddr {
    let (name, config) = (name.to_owned(), Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let here = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut plain, _)) = listener.accept().await {
            let (name, config) = (name.clone(), Arc::clone(&config));
            tokio::spawn(async move {
                plain.set_nodelay(true).expect("no delay");
                let mut secure = connect(address, &name, &config).await?;
                // How it ends is seen at both ends.
                let _ = copy_bidirectional_with_sizes(&mut plain, &mut secure, PIECE, PIECE).await;
                Ok::<_, String>(())
            });
        }
    });
    here
}

/// What comes in here within TLS goes on in the open.
pub(crate) async fn front(server: SocketAddr, config: Arc<ServerConfig>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let here = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let acceptor = TlsAcceptor::from(Arc::clone(&config));
            tokio::spawn(async move {
                let mut secure = acceptor.accept(socket).await?;
                let mut plain = TcpStream::connect(server).await?;
                plain.set_nodelay(true)?;
                secure.get_ref().0.set_nodelay(true)?;
                copy_bidirectional_with_sizes(&mut secure, &mut plain, PIECE, PIECE).await
            });
        }
    });
    here
}
