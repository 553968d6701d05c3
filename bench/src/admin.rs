//! The admin API, as far as a comparison needs it: blocking, one call after the other.

use std::net::{SocketAddr, SocketAddrV4};
use std::time::{Duration, Instant};

use model::ServerKey;
use serde_json::{Value, json};

use crate::Error;

/// Between two membership changes, where they are made all the time.
pub(crate) const CHANGE_EACH: Duration = Duration::from_millis(100);

/// How long the fleet may take to come up, ten thousand servers included.
const READY_WITHIN: Duration = Duration::from_secs(180);

/// How often it is asked meanwhile.
const ASK_EACH: Duration = Duration::from_millis(100);

/// From so many servers on they are probed until they are up, and then each hour: probes are the orchestrator's work, on the core that the
/// client and the servers need, and the balancer has no part in it. A connection is enough of a probe then: one that asks is kept, and
/// the one process that stands for all servers may not be allowed to have two open for each.
const MANY_SERVERS: usize = 1000;

/// The admin API of one fleet. Clones share its connections.
#[derive(Debug, Clone)]
pub(crate) struct Admin {
    agent: ureq::Agent,
    base: String,
}

impl Admin {
    pub(crate) fn new(address: SocketAddr) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(60)))
            .http_status_as_error(false);
        Self {
            agent: config.build().into(),
            base: format!("http://{address}/v1"),
        }
    }

    /// Gives the pool `default` its servers and its algorithm, and waits until all servers are up.
    pub(crate) fn set_up(
        &self,
        servers: &[SocketAddrV4],
        algorithm: Option<&str>,
    ) -> Result<(), Error> {
        self.until("a leader to make the pool", || {
            Ok(self.get("/pools/default").is_ok())
        })?;
        if let Some(algorithm) = algorithm {
            self.patch_pool(&json!({ "algorithm": algorithm }))?;
        }
        let are_many = servers.len() >= MANY_SERVERS;
        if are_many {
            self.patch_pool(&json!({ "health": { "kind": "tcp", "interval": "10s" } }))?;
        }
        for (index, server) in servers.iter().enumerate() {
            self.add(&format!("s{index}"), *server)?;
        }
        self.until("every server to be up", || self.are_all_up())?;
        if are_many {
            self.patch_pool(&json!({ "health": { "interval": "1h" } }))?;
        }
        Ok(())
    }

    /// Makes the fleet what a document says, of what it speaks of.
    pub(crate) fn import(&self, document: &Value) -> Result<(), Error> {
        let url = format!("{}/import", self.base);
        checked("the rules", self.agent.put(url).send_json(document)).map(drop)
    }

    /// Waits until the balancer says at its ops address that it serves.
    pub(crate) fn await_ready(&self, ops: SocketAddr) -> Result<(), Error> {
        let url = format!("http://{ops}/readyz");
        let is_ready = || {
            Ok(self
                .agent
                .get(&url)
                .call()
                .is_ok_and(|answer| answer.status() == 200))
        };
        self.until("the balancer to be ready", is_ready)
    }

    pub(crate) fn add(&self, id: &str, address: SocketAddrV4) -> Result<(), Error> {
        let body = json!({ "id": id, "address": address.to_string() });
        let sent = self
            .agent
            .post(format!("{}/pools/default/servers", self.base))
            .send_json(body);
        checked(&format!("server {id}"), sent).map(drop)
    }

    pub(crate) fn remove(&self, id: &str) -> Result<(), Error> {
        let url = format!("{}/pools/default/servers/{id}", self.base);
        checked(
            &format!("the removal of {id}"),
            self.agent.delete(url).call(),
        )
        .map(drop)
    }

    /// Gives a server another weight, and waits until every balancer works with it.
    pub(crate) fn weigh_and_wait(&self, server: &ServerKey, weight: usize) -> Result<(), Error> {
        let url = format!("{}{}?wait=applied&timeout=30s", self.base, path_of(server));
        let sent = self.agent.patch(url).send_json(json!({ "weight": weight }));
        if sent.as_ref().is_ok_and(|answer| answer.status() == 202) {
            return Err(Error::Unfit(format!("{server} was not changed everywhere")));
        }
        checked(&format!("the weight of {server}"), sent).map(drop)
    }

    /// Waits until it knows a server.
    pub(crate) fn await_server(&self, server: &ServerKey) -> Result<(), Error> {
        self.until("the admin API to know every server", || {
            Ok(self.get(&path_of(server)).is_ok())
        })
    }

    fn are_all_up(&self) -> Result<bool, Error> {
        let servers = self.get("/pools/default/servers")?;
        let servers = servers.as_array().map_or(&[][..], Vec::as_slice);
        Ok(servers.iter().all(|server| server["health"] == "up"))
    }

    fn get(&self, path: &str) -> Result<Value, Error> {
        checked(path, self.agent.get(format!("{}{path}", self.base)).call())
    }

    fn patch_pool(&self, change: &Value) -> Result<(), Error> {
        let sent = self
            .agent
            .patch(format!("{}/pools/default", self.base))
            .send_json(change);
        checked(&change.to_string(), sent).map(drop)
    }

    fn until(&self, what: &str, is_so: impl Fn() -> Result<bool, Error>) -> Result<(), Error> {
        let deadline = Instant::now() + READY_WITHIN;
        while !is_so()? {
            if Instant::now() > deadline {
                let said = format!("waited in vain for {what} ({})", self.base);
                return Err(Error::Unfit(said));
            }
            std::thread::sleep(ASK_EACH);
        }
        Ok(())
    }
}

fn path_of(server: &ServerKey) -> String {
    format!("/pools/{}/servers/{}", server.pool, server.server)
}

/// The answer's JSON, if it is a success.
fn checked(
    what: &str,
    sent: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
) -> Result<Value, Error> {
    let refused = |said: String| Error::Admin {
        what: what.into(),
        said,
    };
    let mut answer = sent.map_err(|error| refused(error.to_string()))?;
    let body = answer
        .body_mut()
        .with_config()
        .limit(64 << 20)
        .read_to_string();
    let body = body.map_err(|error| refused(error.to_string()))?;
    if !answer.status().is_success() {
        return Err(refused(body));
    }
    Ok(serde_json::from_str(&body)?)
}
