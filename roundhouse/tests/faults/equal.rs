//! Whether every balancer's table is the registry's content.
//!
//! What a balancer shows of its table is compared whole, in three places. Its report says which position all of its worker threads have
//! taken over. Its state file holds every element that it acts on, as its tables are compiled from it. And its metrics name the servers of
//! the latest table, and whether all threads have that one.

use std::collections::BTreeSet;
use std::time::Duration;

use model::{Author, Instance, Origin, Position, Term};
use registry::{Snapshotted, StateFile};
use tokio::time::{Instant, sleep};

use crate::member::Member;
use crate::shared::{DEADLINE, eventually};
use crate::stage::Stage;

/// The pause between two looks.
const LOOK_EACH: Duration = Duration::from_millis(25);

impl Stage {
    /// Waits until every balancer's table equals the registry's content.
    pub(crate) async fn await_equal_tables(&self) {
        let deadline = Instant::now() + DEADLINE;
        while let Err(difference) = self.compare().await {
            assert!(
                Instant::now() < deadline,
                "not equal in the end: {difference}"
            );
            sleep(LOOK_EACH).await;
        }
    }

    /// What is not yet as it should be.
    async fn compare(&self) -> Result<(), String> {
        let read = self
            .registry
            .snapshot()
            .await
            .map_err(|error| error.to_string())?;
        let read = read.ok_or("the registry holds no fleet")?;
        if !read.damage.is_empty() {
            return Err(format!("the registry is damaged: {:?}", read.damage));
        }
        let instances = self
            .registry
            .instances()
            .await
            .map_err(|error| error.to_string())?;
        for balancer in &self.balancers {
            let differs = |what: String| format!("balancer {}: {what}", balancer.address);
            reported(balancer, &instances, read.snapshot.position).map_err(differs)?;
            saved(balancer, &read).map_err(differs)?;
            let url = format!("{}/metrics", balancer.ops());
            let metrics = self.http.send(hyper::Method::GET, &url, "").await;
            shown(&metrics.map_err(differs)?.body, &read).map_err(differs)?;
        }
        Ok(())
    }

    /// Waits until exactly one orchestrator says that it leads, and it is the one that the registry names.
    pub(crate) async fn await_one_leader(&self) {
        eventually("one orchestrator leads", || async {
            let mut leading = Vec::new();
            for (place, orchestrator) in self.orchestrators.iter().enumerate() {
                let url = format!("{}/metrics", orchestrator.ops());
                let metrics = self.http.get(&url).await.body;
                if gauge(&metrics, "roundhouse_orchestrator_leading") == Some(1) {
                    leading.push(place);
                }
            }
            leading.len() == 1 && self.leading().await == leading.first().copied()
        })
        .await;
    }

    /// In the history since a position no leader wrote after one with a later term. Nothing is said where the history is another one.
    pub(crate) async fn terms_never_fall(&self, since: Position) {
        let log = self
            .registry
            .log_after(since)
            .await
            .expect("the registry answers");
        let mut latest = Term::default();
        for delta in log.unwrap_or_default() {
            if let Author::Leader { term, instance } = delta.author {
                assert!(
                    term >= latest,
                    "{instance} wrote in term {term} after {latest}"
                );
                latest = term;
            }
        }
    }
}

fn reported(balancer: &Member, instances: &[Instance], position: Position) -> Result<(), String> {
    let address = balancer.address.to_string();
    let own = instances.iter().filter(|it| it.report.advertise == address);
    // One that was killed is still listed under this address.
    let latest = own.min_by_key(|it| it.age).ok_or("it has not reported")?;
    let report = &latest.report;
    if report.applied != Some(position) || report.origin != Origin::Registry {
        let applied = report.applied.map(|applied| applied.to_string());
        return Err(format!(
            "applied {applied:?} from {:?}, not {position}",
            report.origin
        ));
    }
    if !report.holds.is_empty() || !report.nacks.is_empty() {
        return Err(format!(
            "holds {:?}, cannot apply {:?}",
            report.holds, report.nacks
        ));
    }
    Ok(())
}

fn saved(balancer: &Member, read: &Snapshotted) -> Result<(), String> {
    let file = balancer.state_file();
    let saved = StateFile::load(&file, &model::FleetName::standard());
    let saved = saved.map_err(|error| error.to_string())?;
    let saved = saved.ok_or("there is no state file")?.snapshot;
    if saved != read.snapshot {
        return Err(format!(
            "its state differs at {} from {}",
            saved.position, read.snapshot.position
        ));
    }
    Ok(())
}

fn shown(metrics: &str, read: &Snapshotted) -> Result<(), String> {
    let revision = gauge(metrics, "roundhouse_balancer_table_revision");
    if revision != Some(read.snapshot.position.revision.0) {
        return Err(format!("its table is of revision {revision:?}"));
    }
    let tables = gauge(metrics, "roundhouse_balancer_tables_total");
    if tables.is_none() || gauge(metrics, "roundhouse_balancer_tables_adopted_total") != tables {
        return Err("a thread has an older table".into());
    }
    let expected: BTreeSet<_> = read
        .snapshot
        .servers
        .keys()
        .map(ToString::to_string)
        .collect();
    let servers: BTreeSet<_> = servers(metrics).collect();
    if servers != expected {
        return Err(format!("its table has {servers:?}"));
    }
    Ok(())
}

/// The value of a metric without labels.
fn gauge(metrics: &str, name: &str) -> Option<u64> {
    let mut values = metrics.lines().filter_map(|line| line.strip_prefix(name));
    values.find_map(|value| value.trim().parse().ok())
}

/// The servers of the latest table, as `pool/server`.
fn servers(metrics: &str) -> impl Iterator<Item = String> {
    let family = "roundhouse_balancer_server_in_flight{";
    let labels = metrics
        .lines()
        .filter_map(move |line| line.strip_prefix(family));
    labels.filter_map(|labels| {
        let mut values = labels.split('"').skip(1).step_by(2);
        Some(format!("{}/{}", values.next()?, values.next()?))
    })
}
