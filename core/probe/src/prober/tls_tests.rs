//! Probes within TLS.

use std::time::Duration;

use certificates::testing::{Authority, Issued};
use model::{Pool, PoolId, PoolTls};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::Callers;

/// A server that answers each check well, within TLS.
async fn server(issued: &Issued) -> SocketAddr {
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder
        .with_safe_default_protocol_versions()
        .expect("versions");
    let chain = CertificateDer::pem_slice_iter(issued.chain.as_bytes());
    let chain = chain.collect::<Result<_, _>>().expect("certificates");
    let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).expect("a key");
    let config = builder.with_no_client_auth().with_single_cert(chain, key);
    let acceptor = TlsAcceptor::from(Arc::new(config.expect("settings")));
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

async fn probe(address: SocketAddr, pool: &Pool) -> Result<(), Failure> {
    let mut prober = Prober::new(address);
    prober.call_by(Callers::default().calling(pool)?);
    let check = HealthCheck {
        timeout: Duration::from_secs(5),
        ..HealthCheck::default()
    };
    prober.probe(&check, pool.protocol).await
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
