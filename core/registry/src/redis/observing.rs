//! What the leader and those who wait look at: reports, registrations and their channels.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use async_trait::async_trait;
use model::{Instance, InstanceId, Position, Registration, Report, ServerKey, Suspicion};
use redis::Pipeline;
use serde::de::DeserializeOwned;

use super::Redis;
use super::reading::{Entries, apart, delta, log_id};
use super::subscription::Subscription;
use super::wire::{self, Stamped};
use crate::store::lag;
use crate::{Listing, Observing, RegistryError, Remembered, Stream};

/// A hash as bytes: other hands may have written what is not text.
type Fields = Vec<(Vec<u8>, Vec<u8>)>;

#[async_trait]
impl Observing for Redis {
    async fn instances(&self) -> Result<Vec<Instance>, RegistryError> {
        let hash = &self.keys.instances;
        let commands = reading_of(hash);
        let answer = self.link.ask("reading the instances", &commands).await?;
        let (time, fields) = answer;
        let now = wire::time(time);
        let (_, reports) = apart_from_mark(fields, now);
        Ok(instances(self.read(hash, reports), now))
    }

    async fn listing(&self) -> Result<Listing, RegistryError> {
        let hash = &self.keys.instances;
        let mut commands = reading_of(hash);
        commands
            .cmd("HMGET")
            .arg(&self.keys.head)
            .arg(&wire::POSITION);
        commands.cmd("INFO").arg("server");
        commands.cmd("INFO").arg("replication");
        let answer = self.link.ask("listing the instances", &commands).await?;
        let (time, fields, position, server, replication): (_, _, [_; 3], String, String) = answer;
        let now = wire::time(time);
        let (remembered, reports) = apart_from_mark(fields, now);
        Ok(Listing {
            life: wire::life(&server, &replication),
            remembered,
            position: wire::position(position),
            instances: instances(self.read(hash, reports), now),
        })
    }

    async fn lag(&self, applied: Position) -> Result<Option<Duration>, RegistryError> {
        let mut commands = Pipeline::new();
        commands.atomic().cmd("TIME");
        // The position's own entry, where it is there, and the one after it.
        commands.xrange_count(&self.keys.log, log_id(applied.revision), "+", 2);
        let answer = self.link.ask("reading the lag", &commands).await?;
        let (time, entries): (_, Entries) = answer;
        let deltas = entries.iter().map(|(_, fields)| delta(fields));
        // What is wrong with an entry is said by those who follow.
        let deltas: Result<Vec<_>, _> = deltas.collect();
        Ok(deltas.map_or(None, |deltas| lag(applied, &deltas, wire::moment(time))))
    }

    async fn registrations(&self) -> Result<Vec<Registration>, RegistryError> {
        let hash = &self.keys.registrations;
        let commands = reading_of(hash);
        let operation = "reading the registrations";
        let (time, fields) = self.link.ask(operation, &commands).await?;
        let (renewals, now) = (self.read(hash, fields), wire::time(time));
        let registration = |(key, renewed): (ServerKey, Stamped<u64>)| Registration {
            key,
            age: renewed.age(now),
            lifetime: Duration::from_millis(renewed.value),
        };
        Ok(renewals.into_iter().map(registration).collect())
    }

    async fn reports(&self) -> Result<Box<dyn Stream<InstanceId>>, RegistryError> {
        Subscription::boxed(&self.link, self.keys.reports.clone(), instance_id).await
    }

    async fn suspicions(&self) -> Result<Box<dyn Stream<Suspicion>>, RegistryError> {
        Subscription::boxed(&self.link, self.keys.suspicions.clone(), wire::json).await
    }
}

impl Redis {
    /// What the script `stamp` wrote into a hash, without what is nonsense.
    fn read<K, T>(&self, hash: &str, fields: Fields) -> BTreeMap<K, Stamped<T>>
    where
        K: Ord + FromStr,
        T: DeserializeOwned,
    {
        let element = |(field, value): (Vec<u8>, Vec<u8>)| {
            let field = String::from_utf8_lossy(&field).into_owned();
            let Ok(key) = field.parse() else {
                let reason = match field.as_str() {
                    MARK => "no commit writes such a mark of since when it remembers",
                    _ => "that is no name that it can hold",
                };
                return Err((field, reason.into()));
            };
            let value = wire::json(&value).map_err(|reason| (field, reason))?;
            Ok((key, value))
        };
        let (elements, nonsense) = apart(fields.into_iter().map(element));
        self.link.troubles().found(hash, &nonsense, |_| true);
        elements.into_iter().collect()
    }
}

/// Reads the time and the hash as of one moment.
fn reading_of(hash: &str) -> Pipeline {
    let mut commands = Pipeline::new();
    commands.atomic().cmd("TIME");
    commands.hgetall(hash);
    commands
}

/// What commits write among the reports: since when they are remembered.
const MARK: &str = "since";

/// Since when the instances are remembered, and their reports. A mark that cannot be read is left for nonsense.
fn apart_from_mark(mut fields: Fields, now: Duration) -> (Remembered, Fields) {
    let mark = fields
        .iter()
        .position(|(field, _)| field == MARK.as_bytes());
    let read = mark.and_then(|at| Some((at, wire::remembered(&fields[at].1, now)?)));
    let remembered = read.map(|(at, remembered)| {
        fields.swap_remove(at);
        remembered
    });
    (remembered.unwrap_or_default(), fields)
}

fn instances(reports: BTreeMap<InstanceId, Stamped<Report>>, now: Duration) -> Vec<Instance> {
    let instance = |report: Stamped<Report>| Instance {
        age: report.age(now),
        report: report.value,
    };
    reports.into_values().map(instance).collect()
}

fn instance_id(payload: &[u8]) -> Result<InstanceId, String> {
    let text = str::from_utf8(payload).map_err(|error| error.to_string())?;
    text.parse().map_err(|error| format!("{text:?}: {error}"))
}
