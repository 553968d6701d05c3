//! What a connection's bytes go through: its socket as it is, or TLS over it.
//!
//! TLS is 1.3 with one cipher suite and one group, so that every proxy does the same work. Signatures are not verified, only that the
//! certificate is the one that was made for the comparison: the client's core is to be left to what is measured.

use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

use mio::net::TcpStream;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, HandshakeKind,
    SignatureScheme, StreamOwned, version,
};

use super::{Plan, Sessions};
use crate::Error;
use crate::identity::HOST;

/// A connection's bytes. It never blocks, as its socket does not.
#[derive(Debug)]
pub(super) enum Stream {
    Clear(TcpStream),
    Secured(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// Makes streams of sockets.
#[derive(Debug)]
pub(super) struct Streams {
    tls: Option<Arc<ClientConfig>>,
}

/// Takes one certificate for good, and believes every signature.
#[derive(Debug)]
struct Pinned {
    certificate: CertificateDer<'static>,
    schemes: Vec<SignatureScheme>,
}

impl Streams {
    /// As a plan asks for them. Fails where it asks for TLS, and the certificate cannot be read.
    pub(super) fn new(plan: &Plan) -> Result<Self, Error> {
        let tls = match (plan.request.tls, &plan.certificate) {
            (None, _) => None,
            (Some(sessions), Some(certificate)) => Some(config(sessions, certificate)?.into()),
            (Some(_), None) => return Err(Error::Unfit("TLS needs a certificate".into())),
        };
        Ok(Self { tls })
    }

    /// Sends nothing yet.
    pub(super) fn stream(&self, socket: TcpStream) -> Result<Stream, Error> {
        let Some(config) = &self.tls else {
            return Ok(Stream::Clear(socket));
        };
        let host = ServerName::try_from(HOST).expect("it is a host's name");
        let connection = ClientConnection::new(Arc::clone(config), host)?;
        Ok(Stream::Secured(Box::new(StreamOwned::new(
            connection, socket,
        ))))
    }
}

fn config(sessions: Sessions, certificate: &Path) -> Result<ClientConfig, Error> {
    let provider = provider();
    let pinned = Pinned {
        certificate: CertificateDer::from_pem_file(certificate)
            .map_err(|error| Error::Unfit(format!("{}: {error}", certificate.display())))?,
        schemes: provider
            .signature_verification_algorithms
            .supported_schemes(),
    };
    let mut config = ClientConfig::builder_with_provider(provider.into())
        .with_protocol_versions(&[&version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(pinned))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = match sessions {
        Sessions::New => Resumption::disabled(),
        // Of one host: each connection leaves a ticket or more, and the next one takes one.
        Sessions::Resumed => Resumption::in_memory_sessions(1),
    };
    Ok(config)
}

fn provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: vec![ring::cipher_suite::TLS13_AES_128_GCM_SHA256],
        kx_groups: vec![ring::kx_group::X25519],
        ..ring::default_provider()
    }
}

impl Stream {
    pub(super) fn socket(&mut self) -> &mut TcpStream {
        match self {
            Self::Clear(socket) => socket,
            Self::Secured(stream) => &mut stream.sock,
        }
    }

    /// Whether a read that does not fill its buffer may be followed by more without a wait: TLS gives a record at a time.
    pub(super) fn reads_in_parts(&self) -> bool {
        matches!(self, Self::Secured(_))
    }

    /// Whether it goes on with the session of an earlier one.
    pub(super) fn is_resumed(&self) -> bool {
        match self {
            Self::Clear(_) => false,
            Self::Secured(stream) => stream.conn.handshake_kind() == Some(HandshakeKind::Resumed),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Clear(socket) => socket.read(buffer),
            Self::Secured(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Clear(socket) => socket.write(bytes),
            Self::Secured(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Clear(socket) => socket.flush(),
            Self::Secured(stream) => stream.flush(),
        }
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match *certificate == self.certificate {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(CertificateError::ApplicationVerificationFailure.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener};
    use std::thread;
    use std::time::{Duration, Instant};

    use rustls::pki_types::PrivateKeyDer;
    use rustls::{ServerConfig, ServerConnection};

    use super::super::Request;
    use super::super::client::Client;
    use super::*;
    use crate::identity::Identity;

    /// A body of several records.
    const BODY: usize = 100_000;

    /// A server that shows the identity and answers one request on each connection. It serves until the tests are over.
    fn server(identity: &Identity) -> SocketAddr {
        let certificate = CertificateDer::from_pem_file(&identity.certificate);
        let key = PrivateKeyDer::from_pem_file(&identity.key).expect("a key");
        let config = ServerConfig::builder_with_provider(ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .expect("it has both versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.expect("a certificate")], key);
        let config = Arc::new(config.expect("they belong together"));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let connection = ServerConnection::new(Arc::clone(&config)).expect("a connection");
                thread::spawn(move || answer(StreamOwned::new(connection, socket)));
            }
        });
        address
    }

    fn answer(mut stream: StreamOwned<ServerConnection, std::net::TcpStream>) {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {BODY}\r\n\r\n");
        if matches!(stream.read(&mut [0; 1024]), Ok(1..)) {
            // A client that has enough goes without a word.
            let _ = stream.write_all(&[head.as_bytes(), &[b'x'; BODY]].concat());
        }
    }

    fn plan(address: SocketAddr, sessions: Sessions, shown: &Identity) -> Plan {
        Plan {
            address,
            connections: 2,
            request: Request {
                close: true,
                tls: Some(sessions),
                ..Request::get("/")
            },
            certificate: Some(shown.certificate.clone()),
            rate: None,
            warm_up: Duration::ZERO,
            warm_up_requests: 0,
            duration: Duration::ZERO,
            watch: 0,
        }
    }

    /// A client that went on until so many requests were answered, or failed.
    fn client(plan: &Plan, requests: u64) -> Client {
        let mut client = Client::connect(plan).expect("it listens");
        let deadline = Instant::now() + Duration::from_secs(30);
        while client.meter.requests + client.meter.failures < requests {
            assert!(Instant::now() < deadline, "{:?}", client.meter);
            let soon = Instant::now() + Duration::from_millis(10);
            client.run_until(soon).expect("it goes on");
        }
        client
    }

    #[test]
    fn a_session_is_resumed_where_that_is_asked_for_and_nowhere_else() {
        let work = tempfile::tempdir().expect("a folder");
        let identity = Identity::within(work.path()).expect("openssl makes it");
        let address = server(&identity);
        let client_of = |sessions| client(&plan(address, sessions, &identity), 20);
        let all_new = client_of(Sessions::New).meter;
        assert_eq!((all_new.failures, all_new.resumed), (0, 0), "{all_new:?}");
        // The first ones have nothing to go on with.
        let resumed = client_of(Sessions::Resumed).meter;
        assert_eq!(resumed.failures, 0, "{resumed:?}");
        assert!(resumed.resumed >= resumed.requests - 2, "{resumed:?}");
    }

    #[test]
    fn another_certificate_is_not_believed() {
        let works = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
        let [shown, expected] = works
            .each_ref()
            .map(|work| Identity::within(work.path()).expect("openssl makes it"));
        let plan = plan(server(&shown), Sessions::New, &expected);
        assert_eq!(client(&plan, 2).meter.requests, 0);
    }
}
