//! Records of every length, from clients and from servers of HTTP/2, whose frames of full length make records of full length and short
//! ones in turn.

use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use model::{Change, PoolTls, Protocol};

use crate::client;
use crate::fleet::pool;
use crate::h2_upstream::{self, Call, H2Upstream};
use crate::secure::{ANY, Trust, bridge, front, server_config, tls_of};
use crate::tls_bodies::{echo, much};

const LONG: usize = 4 << 20;

/// Answers with the request's body.
async fn answer(mut call: Call) {
    let (body, _) = call.read().await;
    let head = Response::builder().header("content-length", body.len());
    let mut stream = call.begin(head.body(()).expect("a head"));
    for piece in body.chunks(16_384) {
        let piece = Bytes::copy_from_slice(piece);
        let sent = h2_upstream::send(&mut stream, piece).await;
        sent.expect("the balancer takes it");
    }
    stream.send_data(Bytes::new(), true).expect("an end");
}

fn put(body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn long_bodies_go_to_a_server_of_http_2_within_tls_and_back() {
    let trust = Trust::new();
    let server = H2Upstream::start(answer).await;
    let issued = trust.authority.issue(&["api.example"]);
    let mut config = Arc::unwrap_or_clone(server_config(&issued, None));
    config.alpn_protocols = vec![b"h2".to_vec()];
    let address = front(server.address, Arc::new(config)).await;
    let fleet = trust.fleet(&[], &[address], &["--threads", "1"]).await;
    let mut pool = pool();
    pool.protocol = Protocol::H2;
    pool.tls = PoolTls {
        enabled: true,
        ca: trust.authority.pem().into(),
        server_name: "api.example".into(),
        ..PoolTls::default()
    };
    fleet.change(Change::put_pool(pool)).await;
    let mut client = client::connect(fleet.address()).await;
    let body = much(LONG);
    for _ in 0..3 {
        let answer = client.ask(put(&body)).await.expect("a whole answer");
        assert_eq!(answer.status(), 200);
        assert!(answer.body == body);
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_may_cut_what_they_send_into_records_as_they_like() {
    let (trust, server) = (Trust::new(), echo().await);
    let issued = trust.authority.issue(&["shop.example"]);
    let shown = [("a", &issued)];
    let servers = [server.address];
    let fleet = trust.fleet(&shown, &servers, &["--threads", "1"]).await;
    for longest in [32, 1001, 9999, 16_389] {
        let mut config = trust.client(ANY);
        config.max_fragment_size = Some(longest);
        let bridged = bridge(tls_of(&fleet), "shop.example", config).await;
        let mut client = client::connect(bridged).await;
        let body = much(1 << 20);
        let answer = client.ask(put(&body)).await.expect("a whole answer");
        assert!(answer.body == body, "{longest}");
    }
}
