//! Probes within TLS.

use std::time::Duration;

use certificates::testing::{Authority, Issued};
use h2::server::SendResponse;
use model::{Pool, PoolId, PoolTls};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::Callers;

fn config(issued: &Issued, clients: Option<&Authority>) -> ServerConfig {
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder
        .with_safe_default_protocol_versions()
        .expect("versions");
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            let root = CertificateDer::from_pem_slice(authority.pem().as_bytes());
            roots.add(root.expect("a certificate")).expect("a root");
            let roots = Arc::new(roots);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
            builder.with_client_cert_verifier(verifier.build().expect("a verifier"))
        }
    };
    let chain = CertificateDer::pem_slice_iter(issued.chain.as_bytes());
    let chain = chain.collect::<Result<_, _>>().expect("certificates");
    let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).expect("a key");
    let config = builder.with_single_cert(chain, key);
    config.expect("settings")
}

/// A server that answers each check well, within TLS.
async fn server(issued: &Issued) -> SocketAddr {
    let acceptor = TlsAcceptor::from(Arc::new(config(issued, None)));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut stream = acceptor.accept(socket).await?;
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await?);
                }
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                    .await?;
                // Until the prober has gone.
                stream.read_u8().await
            });
        }
    });
    address
}

/// A server of HTTP/2 and nothing else, which answers checks of both kinds well where they are said to come within TLS.
async fn h2_server(issued: &Issued) -> SocketAddr {
    let mut config = config(issued, None);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let Ok(stream) = acceptor.accept(socket).await else {
                continue;
            };
            let mut requests = h2::server::handshake(stream).await.expect("a client");
            while let Some(Ok((request, respond))) = requests.accept().await {
                answer(&request, respond);
            }
        }
    });
    address
}

fn answer(request: &http::Request<h2::RecvStream>, mut respond: SendResponse<Bytes>) {
    let head = http::Response::builder();
    if request.uri().scheme_str() != Some("https") {
        let head = head.status(421).body(()).expect("a head");
        respond.send_response(head, true).expect("sent");
    } else if request.method() == http::Method::GET {
        let head = head.body(()).expect("a head");
        respond.send_response(head, true).expect("sent");
    } else {
        let head = head.header("content-type", "application/grpc");
        let head = head.body(()).expect("a head");
        let mut stream = respond.send_response(head, false).expect("sent");
        let serving = Bytes::from_static(&[0, 0, 0, 0, 2, 8, 1]);
        stream.send_data(serving, false).expect("sent");
        let status = (http::HeaderName::from_static("grpc-status"), "0");
        let status = (status.0, http::HeaderValue::from_static(status.1));
        let trailers = [status].into_iter().collect();
        stream.send_trailers(trailers).expect("sent");
    }
}

fn pool(authority: &Authority) -> Pool {
    let mut pool = Pool::new(PoolId::standard());
    pool.tls = PoolTls {
        enabled: true,
        ca: authority.pem().into(),
        server_name: "api.example".into(),
        ..PoolTls::default()
    };
    pool
}

fn check(kind: CheckKind) -> HealthCheck {
    HealthCheck {
        kind,
        timeout: Duration::from_secs(5),
        ..HealthCheck::default()
    }
}

async fn probe(address: SocketAddr, pool: &Pool) -> Result<(), Failure> {
    probe_as(address, None, pool).await
}

/// The same for a server that was added by a name.
async fn probe_as(address: SocketAddr, hostname: Option<&str>, pool: &Pool) -> Result<(), Failure> {
    let mut prober = Prober::new(address);
    prober.call_by(Callers::default().calling(pool, hostname)?);
    prober.probe(&check(CheckKind::Http), pool.protocol).await
}

#[tokio::test]
async fn a_server_is_healthy_that_answers_within_tls_and_proves_its_name() {
    let authority = Authority::new("test authority");
    let address = server(&authority.issue(&["api.example"])).await;
    assert_eq!(probe(address, &pool(&authority)).await, Ok(()));
    let other = pool(&Authority::new("another authority"));
    let failed = probe(address, &other).await.expect_err("a stranger");
    assert_eq!(failed.kind(), "tls", "{failed}");
    let mut credulous = other;
    credulous.tls.verify = false;
    assert_eq!(probe(address, &credulous).await, Ok(()));
    let mut unusable = pool(&authority);
    unusable.tls.ca = "no root".into();
    let failed = probe(address, &unusable).await.expect_err("no root");
    assert_eq!(failed.kind(), "tls", "{failed}");
}

#[tokio::test]
async fn a_server_whose_certificate_has_expired_is_not() {
    let authority = Authority::new("test authority");
    let expired = authority.issue_expired(&["api.example"]);
    let failed = probe(server(&expired).await, &pool(&authority)).await;
    assert_eq!(failed.expect_err("it has expired").kind(), "tls");
}

#[tokio::test]
async fn checks_over_http_2_go_within_tls_too() {
    let authority = Authority::new("test authority");
    let address = h2_server(&authority.issue(&["api.example"])).await;
    let mut pool = pool(&authority);
    for (kind, protocol) in [
        (CheckKind::Http, Protocol::H2),
        (CheckKind::Grpc, Protocol::H2),
        // gRPC is HTTP/2, whatever else is spoken with the pool's servers.
        (CheckKind::Grpc, Protocol::Http1),
    ] {
        pool.protocol = protocol;
        let mut prober = Prober::new(address);
        let calling = Callers::default().calling(&pool, None);
        prober.call_by(calling.expect("settings"));
        for _ in 0..2 {
            let outcome = prober.probe(&check(kind), protocol).await;
            assert_eq!(outcome, Ok(()), "{kind:?} {protocol:?}");
        }
    }
}

/// A server that asks for a certificate, which by TLS 1.3 fails only after the client's side of the handshake.
async fn strict_server(authority: &Authority, alpn: &[u8]) -> SocketAddr {
    let issued = authority.issue(&["api.example"]);
    let mut config = config(&issued, Some(authority));
    config.alpn_protocols = vec![alpn.to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let accepting = acceptor.accept(socket).into_fallible();
            let (_, mut socket) = accepting.await.expect_err("no certificate");
            // What is not read when it closes would break off the connection before the reason is heard.
            tokio::spawn(async move { socket.read_to_end(&mut Vec::new()).await });
        }
    });
    address
}

#[tokio::test]
async fn a_server_that_asks_for_a_certificate_fails_by_tls() {
    let authority = Authority::new("test authority");
    let mut pool = pool(&authority);
    for (protocol, alpn) in [
        (Protocol::Http1, &b"http/1.1"[..]),
        (Protocol::H2, &b"h2"[..]),
    ] {
        pool.protocol = protocol;
        let failed = probe(strict_server(&authority, alpn).await, &pool).await;
        let failed = failed.expect_err("it needs a certificate");
        assert_eq!(failed.kind(), "tls", "{failed}");
        assert!(failed.to_string().contains("CertificateRequired"));
    }
}

#[tokio::test]
async fn a_server_is_asked_for_the_name_that_the_pool_says_else_for_its_own_else_for_its_address() {
    let authority = Authority::new("test authority");
    let mut pool = pool(&authority);
    let named = server(&authority.issue(&["web.internal"])).await;
    let addressed = server(&authority.issue(&["127.0.0.1"])).await;
    let common = server(&authority.issue(&["api.example"])).await;
    let own = Some("web.internal");
    assert_eq!(probe_as(common, own, &pool).await, Ok(()));
    assert!(probe_as(named, own, &pool).await.is_err());
    pool.tls.server_name = String::new();
    assert_eq!(probe_as(named, own, &pool).await, Ok(()));
    assert_eq!(probe_as(addressed, None, &pool).await, Ok(()));
    for (address, hostname) in [(named, None), (addressed, own), (common, own)] {
        let failed = probe_as(address, hostname, &pool).await;
        assert_eq!(failed.expect_err("another name").kind(), "tls");
    }
}

#[tokio::test]
async fn no_connection_is_kept_that_was_made_for_another_name() {
    let authority = Authority::new("test authority");
    let issued = authority.issue(&["a.internal", "b.internal"]);
    let (address, mut pool) = (h2_server(&issued).await, pool(&authority));
    pool.protocol = Protocol::H2;
    pool.tls.server_name = String::new();
    let (mut callers, mut prober) = (Callers::default(), Prober::new(address));
    let mut call = |prober: &mut Prober, name| {
        let calling = callers.calling(&pool, Some(name));
        prober.call_by(calling.expect("settings"));
    };
    call(&mut prober, "a.internal");
    let outcome = prober.probe(&check(CheckKind::Http), Protocol::H2).await;
    assert_eq!(outcome, Ok(()));
    call(&mut prober, "a.internal");
    assert!(prober.is_connected());
    call(&mut prober, "b.internal");
    assert!(!prober.is_connected());
}
