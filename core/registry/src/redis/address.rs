//! The registry's URL, taken apart: what kind of Redis it names, where that is, and who asks.
//!
//! The Redis client's own parser knows neither several hosts nor Sentinels, so everything is parsed here, once.
//! What holds a password shows itself without it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;

/// The forms of an address, as a person would write them.
pub(crate) const FORMS: &str = "redis://[user:password@]host[:port][/database], unix:///path[?db=&user=&pass=], \
     redis+sentinel://[user:password@]host[:port],.../service[/database] or redis+cluster://[user:password@]host[:port],... \
     (with TLS rediss instead of redis)";

const REDIS_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// A registry's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(super) place: Place,
    pub(super) tls: bool,
    pub(super) login: Login,
    pub(super) database: i64,
}

/// What is asked first, and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Server(Host),
    Socket(PathBuf),
    Sentinels {
        hosts: Vec<Host>,
        service: String,
        login: Login,
    },
    Cluster(Vec<Host>),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Host {
    pub(super) name: String,
    pub(super) port: u16,
}

/// A user and a password, either of which may be missing.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Login {
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login(..)")
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.contains(':') {
            write!(f, "[{}]:{}", self.name, self.port)
        } else {
            write!(f, "{}:{}", self.name, self.port)
        }
    }
}

/// Where it is, without who asks.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Server(host) => host.fmt(f),
            Place::Socket(path) => path.display().fmt(f),
            Place::Sentinels { hosts, service, .. } => {
                write!(f, "{} ({service})", joined(hosts))
            }
            Place::Cluster(hosts) => f.write_str(&joined(hosts)),
        }
    }
}

fn joined(hosts: &[Host]) -> String {
    let hosts: Vec<_> = hosts.iter().map(Host::to_string).collect();
    hosts.join(",")
}

impl Address {
    /// Takes a URL apart.
    ///
    /// # Errors
    /// What is wrong with it and what to write instead, without repeating what may be a password.
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
        let unknown = || format!("is neither memory nor {FORMS}");
        let (scheme, rest) = url.split_once("://").ok_or_else(unknown)?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        if query.contains('@') {
            return Err(
                "has a @ behind a ?: write ? as %3F and @ as %40 within a user or password".into(),
            );
        }
        if rest.contains('#') || query.contains('#') {
            return Err("has a #: write it as %23".into());
        }
        let query = Query::parse(query)?;
        let scheme = scheme.replace("valkey", "redis");
        if let "unix" | "redis+unix" = scheme.as_str() {
            return Self::socket(rest, query);
        }
        let (base, kind) = scheme.split_once('+').unwrap_or((&scheme, ""));
        let tls = match base {
            "redis" => false,
            "rediss" => true,
            _ => return Err(unknown()),
        };
        let parts = Parts::parse(rest)?;
        match kind {
            "" => parts.server(tls, query),
            "sentinel" => parts.sentinels(tls, query),
            "cluster" => parts.cluster(tls, query),
            _ => Err(unknown()),
        }
    }

    fn socket(path: &str, mut query: Query) -> Result<Self, String> {
        if !path.starts_with('/') {
            return Err("names no absolute path: write unix:///path/of/the.sock".into());
        }
        let database = database(query.take("db").as_deref())?;
        let login = Login {
            user: query.take("user"),
            password: query.take("pass"),
        };
        query.finish("db, user and pass")?;
        Ok(Self {
            place: Place::Socket(decoded(path)?.into()),
            tls: false,
            login,
            database,
        })
    }

    pub(crate) fn is_encrypted(&self) -> bool {
        self.tls
    }

    /// Every password in it: what no message may repeat.
    pub(super) fn passwords(&self) -> Vec<String> {
        let mut passwords: Vec<_> = self.login.password.iter().cloned().collect();
        if let Place::Sentinels { login, .. } = &self.place {
            passwords.extend(login.password.clone());
        }
        passwords
    }
}

/// What is common to the forms with hosts.
struct Parts<'a> {
    login: Login,
    hosts: &'a str,
    path: Vec<&'a str>,
}

impl<'a> Parts<'a> {
    fn parse(rest: &'a str) -> Result<Self, String> {
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        if path.contains('@') {
            return Err(
                "has a @ behind a /: write / as %2F and @ as %40 within a user or password".into(),
            );
        }
        let (login, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (user, password) = login
            .split_once(':')
            .map_or((login, None), |(user, password)| (user, Some(password)));
        let user = (!user.is_empty()).then(|| decoded(user)).transpose()?;
        let password = password.filter(|password| !password.is_empty());
        let password = password.map(decoded).transpose()?;
        if user.is_some() && password.is_none() {
            return Err(
                "names a user without a password: write user:password@, or :password@".into(),
            );
        }
        let path = path.split('/').filter(|part| !part.is_empty()).collect();
        Ok(Self {
            login: Login { user, password },
            hosts,
            path,
        })
    }

    fn server(self, tls: bool, query: Query) -> Result<Address, String> {
        query.finish("no parameters")?;
        let hosts = self.hosts(REDIS_PORT)?;
        let [host] = <[Host; 1]>::try_from(hosts).map_err(|_| {
            "names several hosts: that is redis+sentinel:// or redis+cluster://".to_owned()
        })?;
        let database = match self.path.as_slice() {
            [] => 0,
            [text] => database(Some(text))?,
            _ => return Err("has more than a database behind the host".into()),
        };
        Ok(Address {
            place: Place::Server(host),
            tls,
            login: self.login,
            database,
        })
    }

    fn sentinels(self, tls: bool, mut query: Query) -> Result<Address, String> {
        let hosts = self.hosts(SENTINEL_PORT)?;
        let login = Login {
            user: query.take("sentinel_user"),
            password: query.take("sentinel_password"),
        };
        query.finish("sentinel_user and sentinel_password")?;
        let (service, database) = match self.path.as_slice() {
            [service] => (decoded(service)?, 0),
            [service, text] => (decoded(service)?, database(Some(text))?),
            _ => return Err("names no service: write what the Sentinels call the master, redis+sentinel://host/mymaster".into()),
        };
        Ok(Address {
            place: Place::Sentinels {
                hosts,
                service,
                login,
            },
            tls,
            login: self.login,
            database,
        })
    }

    fn cluster(self, tls: bool, query: Query) -> Result<Address, String> {
        query.finish("no parameters")?;
        if self.path.iter().any(|part| *part != "0") {
            return Err("names a database: a Redis Cluster has none but 0".into());
        }
        Ok(Address {
            place: Place::Cluster(self.hosts(REDIS_PORT)?),
            tls,
            login: self.login,
            database: 0,
        })
    }

    fn hosts(&self, port: u16) -> Result<Vec<Host>, String> {
        self.hosts.split(',').map(|text| host(text, port)).collect()
    }
}

/// Takes a host and its port apart. What is wrong is not repeated: it may be a password in the wrong place.
fn host(text: &str, default_port: u16) -> Result<Host, String> {
    let (name, port) = match text.strip_prefix('[') {
        Some(bracketed) => bracketed.split_once(']').ok_or("has a [ without a ]")?,
        None => text
            .split_once(':')
            .map_or((text, ""), |(name, _)| (name, &text[name.len()..])),
    };
    if name.is_empty() || name.contains(char::is_whitespace) {
        return Err(format!(
            "names no host, or one of several is empty; the forms are {FORMS}"
        ));
    }
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => default_port,
        Some(port) => port
            .parse()
            .ok()
            .filter(|port| *port > 0)
            .ok_or("has a port that is no number from 1 to 65535")?,
        None => return Err("has something between ] and the port".into()),
    };
    Ok(Host {
        name: name.into(),
        port,
    })
}

fn database(text: Option<&str>) -> Result<i64, String> {
    let Some(text) = text else { return Ok(0) };
    let number = text.parse().ok().filter(|number| *number >= 0);
    number.ok_or_else(|| "has a database that is no number".into())
}

fn decoded(text: &str) -> Result<String, String> {
    let decoded = percent_decode_str(text).decode_utf8();
    let decoded = decoded.map_err(|_| "is no UTF-8 where it is percent-encoded")?;
    Ok(decoded.into_owned())
}

/// The parameters behind the `?`.
struct Query(BTreeMap<String, String>);

impl Query {
    fn parse(text: &str) -> Result<Self, String> {
        let mut parameters = BTreeMap::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair
                .split_once('=')
                .ok_or("has a parameter without a value")?;
            parameters.insert(decoded(name)?, decoded(value)?);
        }
        Ok(Self(parameters))
    }

    fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    /// The names of others are not repeated: a password's end may look like one.
    fn finish(self, known: &str) -> Result<(), String> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(format!(
                "has a parameter that is unknown in this form, which knows {known}"
            ))
        }
    }
}

#[cfg(test)]
mod tests;
