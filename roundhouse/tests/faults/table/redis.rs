//! Redis itself: gone, emptied, silent, full, or with other passwords.

use std::io::Read;
use std::net::TcpStream;
use std::time::Duration;

use hyper::{Method, StatusCode};
use registry::testing::password_of;

use super::{Fault, History, NOTHING, Part, seconds};
use crate::proxy::Mode;
use crate::shared::eventually;
use crate::stage::{Setup, Stage, Store};

/// The users of a fleet.
const USERS: [&str; 3] = ["balancer", "orchestrator", "admin"];

/// How many clients Redis takes, and how many the crowd tries to be.
const CLIENTS: &str = "64";
const CROWD: usize = 96;

const PLAIN: Fault = Fault {
    parts: &[Part::Redis],
    ..NOTHING
};

pub(crate) const REDIS: &[Fault] = &[
    Fault {
        name: "Redis killed, back after 1 s",
        expected: "traffic goes on by the last table; changes are refused until it is back",
        holds: seconds(1, 1),
        breaks: |stage| Box::pin(async move { stage.redis().kill() }),
        heals: |stage| Box::pin(async move { stage.redis().restart() }),
        ..PLAIN
    },
    Fault {
        name: "Redis killed, back after long",
        expected: "the same; a change is refused with 503",
        holds: seconds(4, 60),
        breaks: |stage| Box::pin(async move { stage.redis().kill() }),
        during: |stage| Box::pin(stage.refuses_changes()),
        heals: |stage| Box::pin(async move { stage.redis().restart() }),
        ..PLAIN
    },
    Fault {
        name: "Redis killed, back empty",
        expected: "the orchestrator that knows most restores it under a new epoch; no acknowledged change is lost",
        holds: seconds(1, 5),
        history: History::Renewed,
        breaks: |stage| Box::pin(async move { stage.redis().kill() }),
        heals: |stage| Box::pin(async move { stage.redis().restart_empty() }),
        ..PLAIN
    },
    Fault {
        name: "Redis stopped (SIGSTOP)",
        expected: "traffic goes on by the last table; a change is refused with 503",
        holds: seconds(4, 15),
        breaks: |stage| Box::pin(async move { stage.redis().pause() }),
        during: |stage| Box::pin(stage.refuses_changes()),
        heals: |stage| Box::pin(async move { stage.redis().resume() }),
        ..PLAIN
    },
    Fault {
        name: "FLUSHALL",
        expected: "restored under a new epoch while traffic goes on; no acknowledged change is lost",
        history: History::Renewed,
        breaks: |stage| Box::pin(async move { drop(stage.command(&["FLUSHALL"])) }),
        during: |stage| Box::pin(stage.has_a_new_epoch()),
        ..PLAIN
    },
    Fault {
        name: "the master killed, failover by Sentinel, with writes in flight",
        expected: "the new master is followed; what it lacks of acknowledged changes is made again",
        setup: Setup {
            sentinels: true,
            ..NOTHING.setup
        },
        holds: seconds(5, 10),
        breaks: |stage| Box::pin(async move { stage.redis().kill() }),
        during: |stage| Box::pin(stage.has_another_master()),
        heals: |stage| Box::pin(async move { stage.redis().restart() }),
        ..PLAIN
    },
    Fault {
        name: "CLIENT KILL TYPE pubsub, again and again",
        expected: "each subscription is made again, and what was missed is read from the log",
        again: Some(|stage| {
            Box::pin(async move { drop(stage.command(&["CLIENT", "KILL", "TYPE", "pubsub"])) })
        }),
        ..PLAIN
    },
    Fault {
        name: "output buffers too small for what is published",
        expected: "Redis ends the subscriptions; they are made again, and what was missed is read from the log",
        breaks: |stage| {
            Box::pin(async move { stage.set("client-output-buffer-limit", "pubsub 16kb 0 0") })
        },
        again: Some(|stage| Box::pin(async move { stage.publish_rubbish() })),
        heals: |stage| {
            Box::pin(async move { stage.set("client-output-buffer-limit", "pubsub 32mb 8mb 60") })
        },
        ..PLAIN
    },
    Fault {
        name: "maxclients reached, and nobody of the fleet among them",
        expected: "traffic goes on; status and readiness say that there are too many clients",
        parts: &[Part::Redis, Part::Ways],
        breaks: |stage| Box::pin(async move { stage.crowd_out() }),
        during: |stage| Box::pin(stage.shows("max number of clients reached")),
        heals: |stage| Box::pin(async move { stage.make_room().await }),
        ..PLAIN
    },
    Fault {
        name: "passwords rotated, and the old ones wrong",
        expected: "traffic goes on; each process says that its password is refused",
        breaks: |stage| {
            Box::pin(async move { stage.set_passwords(|user| format!("a-new-password-of-{user}")) })
        },
        during: |stage| Box::pin(stage.says("refused the user or password")),
        heals: |stage| Box::pin(async move { stage.set_passwords(password_of) }),
        ..PLAIN
    },
    Fault {
        name: "allkeys-lru evicts the fleet's keys",
        expected: "traffic goes on; with noeviction, and the head deleted, an orchestrator restores all of it",
        history: History::Renewed,
        breaks: |stage| Box::pin(async move { stage.evict() }),
        heals: |stage| Box::pin(async move { stage.stop_evicting() }),
        ..PLAIN
    },
];

/// Whether a client is told at once that there is no place for it. One that is welcome is told nothing.
fn is_refused(address: &str) -> bool {
    let mut client = TcpStream::connect(address).expect("Redis accepts");
    let set = client.set_read_timeout(Some(Duration::from_millis(100)));
    set.expect("a timeout above zero");
    client.read(&mut [0]).is_ok()
}

impl Stage {
    fn set(&mut self, setting: &str, value: &str) {
        self.command(&["CONFIG", "SET", setting, value]);
    }

    /// What is far larger than a subscriber may leave unread.
    fn publish_rubbish(&mut self) {
        let rubbish = "x".repeat(256 * 1024);
        self.command(&["PUBLISH", "roundhouse:{main}:changes", &rubbish]);
    }

    /// Ends the fleet's connections, takes their room, and lets the fleet try again.
    fn crowd_out(&mut self) {
        self.set_ways(Mode::Refuse);
        self.set("maxclients", CLIENTS);
        let address = self.redis().address();
        let join = || TcpStream::connect(&address).expect("Redis accepts");
        self.crowd = (0..CROWD).map(|_| join()).collect();
        let last = self.crowd.last_mut().expect("a crowd");
        let mut said = [0; 64];
        let length = last.read(&mut said).expect("a refusal");
        let said = String::from_utf8_lossy(&said[..length]);
        assert!(said.contains("max number of clients"), "{said}");
        self.set_ways(Mode::Pass);
    }

    async fn make_room(&mut self) {
        self.crowd.clear();
        let address = self.redis().address();
        // Redis sees the ends when it comes to them.
        eventually("Redis has room", || async { !is_refused(&address) }).await;
        self.set("maxclients", "10000");
    }

    /// Gives the fleet's users other passwords, and ends their connections, as an operator who rotates them does.
    fn set_passwords(&mut self, password: impl Fn(&str) -> String) {
        for user in USERS {
            let password = format!(">{}", password(user));
            self.command(&["ACL", "SETUSER", user, "resetpass", &password]);
            self.command(&["CLIENT", "KILL", "USER", user]);
        }
    }

    fn evict(&mut self) {
        self.set("maxmemory-policy", "allkeys-lru");
        self.set("maxmemory", "1mb");
    }

    fn stop_evicting(&mut self) {
        self.set("maxmemory", "0");
        self.set("maxmemory-policy", "noeviction");
        self.command(&["DEL", "roundhouse:{main}:head"]);
    }

    /// Waits until a change is refused since the registry does not answer.
    async fn refuses_changes(&mut self) {
        eventually("a change is refused", || async {
            let answer = self.change("s3", Method::PATCH, r#"{"zone":"here"}"#, "");
            let answer = tokio::time::timeout(Duration::from_secs(12), answer).await;
            matches!(answer, Ok(Ok(answer)) if answer.status == StatusCode::SERVICE_UNAVAILABLE)
        })
        .await;
    }

    /// Waits until a change is taken, and all balancers have applied it.
    pub(crate) async fn takes_changes(&mut self, zone: &str) {
        let body = format!(r#"{{"zone":"{zone}"}}"#);
        let query = "?wait=applied&timeout=20s";
        eventually("a change is applied by all", || async {
            let answer = self.change("s3", Method::PATCH, &body, query).await;
            answer.is_ok_and(|answer| answer.status == StatusCode::OK)
        })
        .await;
    }

    pub(super) async fn has_a_new_epoch(&mut self) {
        eventually("the fleet has a new epoch", || async {
            let head = self.registry.head().await;
            matches!(head, Ok(Some(head)) if head.position.epoch != self.before.epoch)
        })
        .await;
    }

    async fn has_another_master(&mut self) {
        let Store::Sentinels(sentinels) = &mut self.store else {
            panic!("there are no Sentinels");
        };
        let first = sentinels.first_master().address();
        let sentinels = &*sentinels;
        eventually("another server is the master", || async {
            sentinels.master() != first
        })
        .await;
    }

    /// Waits until a process of each role has said these words.
    async fn says(&mut self, words: &str) {
        let members = [&self.orchestrators[0], &self.balancers[0], &self.admin];
        eventually(&format!("each process says: {words}"), || async {
            members.iter().all(|member| member.errors().contains(words))
        })
        .await;
    }

    /// Waits until these words are in what an operator asks for.
    async fn shows(&mut self, words: &str) {
        let ready = format!("{}/readyz", self.orchestrators[0].ops());
        let status = format!("{}/v1/status", self.admin.url());
        eventually(&format!("it is shown: {words}"), || async {
            let ready = self.http.get(&ready).await.body;
            ready.contains(words) && self.http.get(&status).await.body.contains(words)
        })
        .await;
    }
}
