//! What is asked with a change besides the change itself, and what became of it.

use std::fmt;
use std::time::Duration;

use http::Method;
use http::header::{HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH};
use model::{InstanceId, Revision, format_duration};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::transport::{ANSWER_LIMIT, Call};
use crate::{Client, Error};

/// What the fleet must have done before the API answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// Every balancer works with the change.
    Applied,
    /// That, and none has a request in flight to the server that leaves.
    Drained,
}

/// A wait, and how long it may last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    pub until: Until,
    pub timeout: Duration,
}

/// What the resource must be for a change to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Present {
    /// There, whatever it is.
    Any,
    /// As this revision left it.
    At(Revision),
    /// Not there.
    Absent,
}

/// What a change is made under. The default demands nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Demand {
    pub wait: Option<Wait>,
    pub present: Option<Present>,
    /// The same change sent again with it is not made twice.
    pub idempotency_key: Option<String>,
}

/// A change that was made.
#[derive(Debug, Clone, PartialEq)]
pub struct Changed<T> {
    /// What the API answered, the state of the wait included.
    pub value: T,
    pub outcome: Outcome,
    /// Nothing where the API does not ask the registry's replicas.
    pub durability: Option<Durability>,
}

/// How many of the registry's replicas have a change.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Durability {
    /// How many the API asks for.
    pub asked: u64,
    /// Nothing where nobody could say.
    pub reached: Option<u64>,
    /// Whether they are as many as were asked for.
    pub done: bool,
    /// Why not.
    #[serde(default)]
    pub reason: String,
}

/// How the wait ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was done, or nothing was waited for.
    Done,
    /// What the change took away was brought back by this revision, so that waiting on would have been in vain.
    Undone { by: Revision, reason: String },
    /// Time ran out, or nothing could come of waiting on.
    Unfinished(Unfinished),
}

/// Who has not done what was waited for, or cannot say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfinished {
    pub laggards: Vec<Laggard>,
    /// Why nobody could be asked, if that was so.
    pub reason: String,
}

/// A balancer that is not known to have done what was waited for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Laggard {
    pub instance: InstanceId,
    #[serde(default)]
    pub advertise: String,
    #[serde(default)]
    pub reason: String,
}

impl Wait {
    pub fn applied(timeout: Duration) -> Self {
        let until = Until::Applied;
        Self { until, timeout }
    }

    pub fn drained(timeout: Duration) -> Self {
        let until = Until::Drained;
        Self { until, timeout }
    }

    /// For a path that may have a query already.
    fn query(self, path: &str) -> String {
        let until = match self.until {
            Until::Applied => "applied",
            Until::Drained => "drained",
        };
        // A duration's parts are written apart, and a query holds no space.
        let timeout = format_duration(self.timeout).replace(' ', "%20");
        let sign = if path.contains('?') { '&' } else { '?' };
        format!("{sign}wait={until}&timeout={timeout}")
    }
}

impl Present {
    fn header(self) -> (HeaderName, HeaderValue) {
        let any = HeaderValue::from_static("*");
        match self {
            Self::Any => (IF_MATCH, any),
            Self::Absent => (IF_NONE_MATCH, any),
            Self::At(revision) => {
                let tag = HeaderValue::try_from(format!("\"{revision}\""));
                (IF_MATCH, tag.expect("digits in quotes are a header value"))
            }
        }
    }
}

impl From<Wait> for Demand {
    fn from(wait: Wait) -> Self {
        Self {
            wait: Some(wait),
            ..Self::default()
        }
    }
}

impl fmt::Display for Laggard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.advertise.as_str() {
            "" => write!(f, "{}", self.instance)?,
            advertise => f.write_str(advertise)?,
        }
        match self.reason.as_str() {
            "" => Ok(()),
            reason => write!(f, " ({reason})"),
        }
    }
}

impl Demand {
    /// The call that asks for it.
    pub(crate) fn call(&self, method: Method, path: &str) -> Call {
        let query = self.wait.map(|wait| wait.query(path)).unwrap_or_default();
        let waiting = self.wait.map_or(Duration::ZERO, |wait| wait.timeout);
        let mut call = Call::new(method, format!("{path}{query}")).limit(ANSWER_LIMIT + waiting);
        if let Some(present) = self.present {
            let (name, value) = present.header();
            call = call.header(name, value);
        }
        let key = self.idempotency_key.as_deref().map(HeaderValue::try_from);
        if let Some(Ok(key)) = key {
            call = call.header(HeaderName::from_static("idempotency-key"), key);
        }
        call
    }
}

/// How the API says that the wait ended.
#[derive(Deserialize)]
#[serde(default)]
struct Waited {
    done: bool,
    laggards: Vec<Laggard>,
    reason: String,
    undone_by: Option<Revision>,
}

impl Default for Waited {
    fn default() -> Self {
        Self {
            done: true,
            laggards: Vec::new(),
            reason: String::new(),
            undone_by: None,
        }
    }
}

#[derive(Deserialize)]
struct Envelope {
    #[serde(default)]
    wait: Waited,
    #[serde(default)]
    durability: Option<Durability>,
}

impl Client {
    /// Sends a change, and reads what became of it.
    pub(crate) async fn change<T: DeserializeOwned>(
        &self,
        call: Call,
    ) -> Result<Changed<T>, Error> {
        let body = self.transport.send(call).await?;
        let Envelope { wait, durability } = self.transport.parse(&body)?;
        let value = self.transport.parse(&body)?;
        let outcome = match wait {
            Waited { done: true, .. } => Outcome::Done,
            Waited {
                undone_by: Some(by),
                reason,
                ..
            } => Outcome::Undone { by, reason },
            Waited {
                laggards, reason, ..
            } => Outcome::Unfinished(Unfinished { laggards, reason }),
        };
        Ok(Changed {
            value,
            outcome,
            durability,
        })
    }
}

/// What is short of what was asked for, and why.
impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reached = self.reached.unwrap_or_default();
        write!(f, "{reached} of {} replicas", self.asked)?;
        match self.reason.as_str() {
            "" => Ok(()),
            reason => write!(f, " ({reason})"),
        }
    }
}

impl fmt::Display for Unfinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.laggards.is_empty() {
            return f.write_str(&self.reason);
        }
        let names: Vec<_> = self.laggards.iter().map(ToString::to_string).collect();
        f.write_str(&names.join(", "))
    }
}
