//! A load that notices each request that fails.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::client;
use crate::wire::eventually;

/// Clients that keep their connections and clients that do not, with GET and with POST, none of whose requests may fail.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    clients: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    pub(crate) fn start(address: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicUsize::new(0));
        let kinds = [
            (true, "GET"),
            (true, "POST"),
            (false, "GET"),
            (false, "POST"),
        ];
        let clients = kinds.into_iter().cycle().take(12).map(|(keeps, method)| {
            let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let mut client = client::connect(address).await;
                    while !stop.load(Ordering::Relaxed) {
                        let request = format!(
                            "{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody"
                        );
                        let answer = client.ask(request).await.expect("an answer");
                        assert_eq!((answer.status(), answer.text()), (200, "one".into()));
                        answered.fetch_add(1, Ordering::Relaxed);
                        if !keeps || answer.field("connection").is_some() {
                            break;
                        }
                    }
                }
            })
        });
        Self {
            clients: clients.collect(),
            stop,
            answered,
        }
    }

    pub(crate) async fn proceeds(&self) {
        let goal = self.answered.load(Ordering::Relaxed) + 100;
        eventually("the load proceeds", || {
            self.answered.load(Ordering::Relaxed) >= goal || self.has_failed()
        })
        .await;
    }

    fn has_failed(&self) -> bool {
        self.clients
            .iter()
            .any(tokio::task::JoinHandle::is_finished)
    }

    pub(crate) async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.await.expect("no request failed");
        }
    }
}
