//! From an address to a connection to the one Redis that takes the fleet's writes.
//!
//! Where that is may change, so it is found anew for each connection: Sentinels are asked for the master, and
//! nodes of a cluster for the one that owns the fleet's slot. Whoever is found is asked what it is before it is
//! used; that takes no right, since anybody may say HELLO.

mod cluster;
mod sentinels;

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo, ProtocolVersion,
    RedisConnectionInfo, RedisResult, Value,
};

use super::address::{Address, Host, Login, Place};
use super::errors::Endpoint;
use super::settings;
use super::tls::Tls;
use crate::RegistryError;

/// How long a connection may take to be made, and an answer to come.
pub(super) const DEADLINE: Duration = Duration::from_secs(2);
/// How long a Sentinel, or a node that is only asked for the way, may take.
const ASKING_DEADLINE: Duration = Duration::from_secs(1);

/// How the registry's Redis is found.
pub(super) struct Locator {
    address: Address,
    tls: Option<Tls>,
    endpoint: Endpoint,
    /// A key of the fleet: in a cluster, all of them are in its slot.
    key: String,
}

/// Without who asks.
impl fmt::Debug for Locator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

impl Locator {
    /// `keys` is what of Redis is asked for, as a person would write it.
    pub(super) fn new(address: Address, tls: Option<Tls>, key: String, keys: String) -> Self {
        let endpoint = Endpoint::new(address.to_string(), address.passwords(), keys);
        Self {
            address,
            tls,
            endpoint,
            key,
        }
    }

    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Finds the Redis, connects, and makes sure that it will do.
    pub(super) async fn connect(
        &self,
        config: AsyncConnectionConfig,
    ) -> Result<MultiplexedConnection, RegistryError> {
        let connecting = tokio::time::timeout(DEADLINE + ASKING_DEADLINE, self.find(&config));
        let late = |_| Err(self.endpoint.unreachable("there was no answer in time"));
        connecting.await.unwrap_or_else(late)
    }

    async fn find(
        &self,
        config: &AsyncConnectionConfig,
    ) -> Result<MultiplexedConnection, RegistryError> {
        let config = limited(config.clone(), DEADLINE);
        let found = match &self.address.place {
            Place::Server(host) => {
                return self.opened(self.tcp(host), &config, &self.endpoint).await;
            }
            Place::Socket(path) => {
                let path = ConnectionAddr::Unix(path.clone());
                return self.opened(path, &config, &self.endpoint).await;
            }
            Place::Sentinels {
                hosts,
                service,
                login,
            } => self.master(hosts, service, login).await?,
            Place::Cluster(hosts) => self.owner(hosts).await?,
        };
        let endpoint = self.endpoint_of(&found);
        self.opened(self.tcp(&found), &config, &endpoint).await
    }

    /// The same registry, at one of the hosts that it may be at.
    fn endpoint_of(&self, host: &Host) -> Endpoint {
        self.endpoint
            .at(format!("{host}, found by {}", self.address))
    }

    fn tcp(&self, host: &Host) -> ConnectionAddr {
        if self.address.tls {
            ConnectionAddr::TcpTls {
                host: host.name.clone(),
                port: host.port,
                insecure: false,
                tls_params: None,
            }
        } else {
            ConnectionAddr::Tcp(host.name.clone(), host.port)
        }
    }

    /// A connection to what has said that it takes writes.
    async fn opened(
        &self,
        place: ConnectionAddr,
        config: &AsyncConnectionConfig,
        endpoint: &Endpoint,
    ) -> Result<MultiplexedConnection, RegistryError> {
        let settings = credentials(&self.address.login)
            .set_db(self.address.database)
            .set_protocol(ProtocolVersion::RESP3);
        let explain = |error| self.doubted(endpoint.explain_connecting(&error));
        let mut connection = self.open(place, settings, config).await.map_err(explain)?;
        let mut hello = redis::cmd("HELLO");
        let greeting = hello.arg(3).query_async(&mut connection).await;
        let greeting = greeting.map_err(explain)?;
        if let Some(reason) = objection(&greeting) {
            return Err(endpoint.unreachable(reason));
        }
        if said(&greeting, "mode") == "cluster" {
            self.check_keys(&mut connection).await.map_err(explain)?;
        }
        Ok(connection)
    }

    /// A Redis without TLS waits for the end of what it takes for a command, and says nothing.
    fn doubted(&self, mut error: RegistryError) -> RegistryError {
        if let RegistryError::Unreachable { reason, .. } = &mut error
            && self.address.tls
            && reason.contains("timed out")
        {
            reason.push_str(": perhaps it does not speak TLS on that port");
        }
        error
    }

    async fn open(
        &self,
        place: ConnectionAddr,
        settings: RedisConnectionInfo,
        config: &AsyncConnectionConfig,
    ) -> RedisResult<MultiplexedConnection> {
        let tcp = TcpSettings::default().set_nodelay(true);
        let info = place.into_connection_info()?;
        let info = info.set_redis_settings(settings).set_tcp_settings(tcp);
        let client = match &self.tls {
            Some(tls) => tls.client(info)?,
            None => Client::open(info)?,
        };
        client
            .get_multiplexed_async_connection_with_config(config)
            .await
    }
}

fn limited(config: AsyncConnectionConfig, deadline: Duration) -> AsyncConnectionConfig {
    config
        .set_connection_timeout(Some(deadline))
        .set_response_timeout(Some(deadline))
}

/// For a connection on which only the way is asked. It must not be the caller's own configuration: the end of
/// such a connection would be said to the caller's subscription.
fn asking() -> AsyncConnectionConfig {
    limited(AsyncConnectionConfig::new(), ASKING_DEADLINE)
}

fn credentials(login: &Login) -> RedisConnectionInfo {
    // CLIENT SETINFO is a right that Redis 7.0 cannot grant by name, and nothing here needs it.
    let mut settings = RedisConnectionInfo::default().set_skip_set_lib_name();
    if let Some(user) = &login.user {
        settings = settings.set_username(user);
    }
    if let Some(password) = &login.password {
        settings = settings.set_password(password);
    }
    settings
}

fn said(greeting: &HashMap<String, Value>, name: &str) -> String {
    match greeting.get(name) {
        Some(Value::BulkString(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
        Some(Value::SimpleString(text)) => text.clone(),
        _ => String::new(),
    }
}

/// Why what answered cannot be the registry, by what it said to HELLO, and what to do.
fn objection(greeting: &HashMap<String, Value>) -> Option<String> {
    if said(greeting, "mode") == "sentinel" {
        return Some("a Sentinel answers there: write redis+sentinel://host:port/service".into());
    }
    if let Some(reason) = settings::too_old(&said(greeting, "version")) {
        return Some(format!("{reason}: upgrade it"));
    }
    let is_replica = matches!(said(greeting, "role").as_str(), "replica" | "slave");
    is_replica.then(|| {
        "it is a replica, which takes no writes: name its master, or have it found by redis+sentinel:// or redis+cluster://"
            .into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn greeting(pairs: &[(&str, &str)]) -> HashMap<String, Value> {
        let owned =
            |(name, text): &(&str, &str)| ((*name).into(), Value::BulkString((*text).into()));
        pairs.iter().map(owned).collect()
    }

    #[test]
    fn what_will_not_do_is_refused_with_what_to_do() {
        let good = [
            ("version", "7.0.15"),
            ("role", "master"),
            ("mode", "standalone"),
        ];
        assert_eq!(objection(&greeting(&good)), None);
        assert_eq!(objection(&greeting(&[])), None, "who says nothing is tried");
        for (name, text, said) in [
            ("role", "replica", "name its master"),
            ("version", "6.0.16", "6.2 is the oldest that will do"),
            ("mode", "sentinel", "redis+sentinel://"),
        ] {
            let mut greeting = greeting(&good);
            greeting.insert(name.into(), Value::BulkString(text.into()));
            let reason = objection(&greeting).expect("an objection");
            assert!(reason.contains(said), "{reason}");
        }
    }
}
