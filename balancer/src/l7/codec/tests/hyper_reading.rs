//! A second, widely used reader's opinion: what is forwarded, hyper must take, and read as the same
//! single request.

use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use tokio::io::AsyncWriteExt;

use super::checker;
use super::properties::{REQUEST_LINES, message};
use super::proxy::serve;

/// Method, target, Host and body of a request.
type Read = (String, String, String, Vec<u8>);

/// Every request that hyper's server reads from `bytes`, or nothing where it objects.
async fn read_by_hyper(bytes: &[u8]) -> Option<Vec<Read>> {
    let (mut client, server) = tokio::io::duplex(1 << 16);
    client.write_all(bytes).await.ok()?;
    client.shutdown().await.ok()?;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let service = service_fn(|request: Request<Incoming>| {
        let seen = Arc::clone(&seen);
        async move {
            let method = request.method().to_string();
            let target = request.uri().to_string();
            let host = request.headers()["host"].to_str().unwrap().to_owned();
            let body = request.into_body().collect().await?.to_bytes().to_vec();
            seen.lock().unwrap().push((method, target, host, body));
            Ok::<_, hyper::Error>(Response::new(Empty::<Bytes>::new()))
        }
    });
    let connection = http1::Builder::new()
        .half_close(true)
        .serve_connection(TokioIo::new(server), service);
    connection.await.ok()?;
    let seen = seen.lock().unwrap().clone();
    Some(seen)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn hyper_reads_what_is_forwarded_as_the_same_request(bytes in message(REQUEST_LINES)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for forwarded in serve([bytes.as_slice()]).forwarded {
            let (ours, _) = checker::read_request(&forwarded);
            let method = ours.start_line.split(' ').next().unwrap().to_owned();
            let host = ours.only("host").to_owned();
            let expected = (method, ours.target().to_owned(), host, ours.body);
            let read = runtime.block_on(read_by_hyper(&forwarded));
            prop_assert_eq!(read, Some(vec![expected]));
        }
    }
}
