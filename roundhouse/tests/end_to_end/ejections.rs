//! A balancer whose own way to a server is broken ejects it for itself, and for nobody else.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::{Http, eventually};
use crate::up::Up;

/// What comes over the broken way is recognised by its path.
const BROKEN: &str = "/over-a-broken-link";

/// A server that one of the balancers reaches over a link that breaks off each request.
struct Odd {
    address: SocketAddr,
    probes: Arc<AtomicUsize>,
}

impl Odd {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let probes = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&probes);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let counted = Arc::clone(&counted);
                std::thread::spawn(move || serve(stream, &counted));
            }
        });
        Self { address, probes }
    }

    fn probes(&self) -> usize {
        self.probes.load(Ordering::SeqCst)
    }
}

fn serve(mut stream: TcpStream, probes: &AtomicUsize) {
    let mut head = Vec::new();
    let mut piece = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut piece) {
        head.extend_from_slice(&piece[..count]);
        if !head.ends_with(b"\r\n\r\n") {
            continue;
        }
        let text = String::from_utf8_lossy(&head).into_owned();
        head.clear();
        if text.contains(BROKEN) {
            return;
        }
        probes.fetch_add(usize::from(text.contains("/-/health")), Ordering::SeqCst);
        if stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nodd")
            .is_err()
        {
            return;
        }
    }
}

/// The servers that each balancer says it has ejected.
async fn ejected(http: &Http, admin: &str) -> Vec<usize> {
    let balancers = http.get(&format!("{admin}/v1/balancers")).await.json();
    let balancers = balancers.as_array().expect("a list").iter();
    let mut ejected: Vec<usize> = balancers
        .map(|balancer| balancer["ejected"].as_array().map_or(0, Vec::len))
        .collect();
    ejected.sort_unstable();
    ejected
}

#[tokio::test(flavor = "multi_thread")]
async fn a_balancer_with_a_broken_link_ejects_a_server_for_nobody_else() {
    let up = Up::start(&["--servers", "2", "--balancers", "2"]);
    let (cut_off, well) = (&up.balancers[0], &up.balancers[1]);
    let http = Http::new();
    let odd = Odd::start();
    let server = format!(r#"{{"id":"odd","address":"{}"}}"#, odd.address);
    let url = format!("{}?wait=applied", up.servers_url());
    let answer = http.post(&url, &server).await;
    assert!(answer.status.is_success(), "{answer:?}");
    let is_up = async || up.health_of(&http, "odd").await == "up";
    eventually("the server is up", is_up).await;

    eventually("it is ejected by one", async || {
        let answer = http.get(&format!("{cut_off}{BROKEN}")).await;
        assert_eq!(answer.status, 200, "no request fails for it");
        ejected(&http, &up.admin).await == [0, 1]
    })
    .await;
    let probes = odd.probes();
    eventually("the leader has looked", async || odd.probes() > probes).await;
    assert!(is_up().await, "the leader's own probe decides");
    let bodies = http.bodies(well, 9).await;
    let odds = bodies.iter().filter(|body| *body == "odd").count();
    assert_eq!(odds, 3, "the other uses it as before: {bodies:?}");
    assert_eq!(ejected(&http, &up.admin).await, [0, 1]);
}
