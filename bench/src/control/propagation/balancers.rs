//! Real balancers: from the commit to the report that says that every thread works with the change.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use model::{InstanceId, Revision};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::super::findings::{Figure, Section};
use super::super::fleet::{ANYWHERE, key_of, settled};
use super::super::ms;
use super::{MOST, PAUSE, Stage, section};
use crate::Error;

/// How long a report may take before it is given up.
const WITHIN: Duration = Duration::from_secs(30);

/// How long Redis is watched while nothing changes.
const AT_REST: Duration = Duration::from_secs(10);

/// What the cost of reports is said for.
const HUNDRED: f64 = 100.0;

const NOTE: &str = "Balancers as processes of one thread each. One has applied a change when it reports so, which it does once no thread uses an older table:
what is timed is when the announcement of its report arrives. `?wait=applied` is the whole of a PATCH through the admin API, as its
client sees it. At rest each balancer reports about once a second, hears a heartbeat and looks at the head now and then; what that costs
Redis is measured with these balancers, and told for a hundred.";

const MANY_POOLS_NOTE: &str = "The same with the servers shared out evenly among the pools: a balancer makes the table of a pool anew only where something of it has
changed.";

/// That an instance reported what somebody may wait for.
type Reported = (Instant, InstanceId);

pub(super) fn measure(stage: &Stage<'_>) -> Result<Section, Error> {
    let balancers = stage.args.balancers;
    let (title, note) = match stage.pools {
        1 => (String::new(), NOTE.to_owned()),
        pools => (format!(", {pools} pools"), MANY_POOLS_NOTE.to_owned()),
    };
    let title = format!("{balancers} balancers{title}, from the commit to the change applied");
    let mut section = section(&title, &note);
    let _running = stage.fleet.balancers(balancers, ANYWHERE, &stage.name)?;
    let instances = stage
        .runtime
        .block_on(settled(&*stage.registry, balancers))?;
    let (each, last) = stage.runtime.block_on(changes(stage, &instances))?;
    section.add_spread("each balancer", &each, MOST)?;
    section.add_spread("the last of them", &last, [None, None])?;
    let waits = waits(stage)?;
    section.add_spread("`?wait=applied`", &waits, [None, None])?;
    if stage.pools == 1 {
        add_cost_at_rest(stage, &mut section)?;
    }
    Ok(section)
}

/// How long each balancer took with each change, and the last of them.
async fn changes(
    stage: &Stage<'_>,
    instances: &[InstanceId],
) -> Result<(Vec<f64>, Vec<f64>), Error> {
    let mut reports = reports(stage).await?;
    let (mut each, mut last) = (Vec::new(), Vec::new());
    for _ in 0..stage.args.changes {
        tokio::time::sleep(PAUSE).await;
        while reports.try_recv().is_ok() {}
        let sent = Instant::now();
        let revision = stage.commit().await?;
        let took = all_reported(&mut reports, instances, sent).await?;
        check(stage, revision).await?;
        last.extend(took.iter().copied().reduce(f64::max));
        each.extend(took);
    }
    Ok((each, last))
}

/// The announcements of reports from now on, each with the time at which it came.
async fn reports(stage: &Stage<'_>) -> Result<mpsc::UnboundedReceiver<Reported>, Error> {
    let mut reports = stage.registry.reports().await?;
    let (tell, told) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok(instance) = reports.next().await {
            if tell.send((Instant::now(), instance)).is_err() {
                return;
            }
        }
    });
    Ok(told)
}

/// How long after `sent` each of them reported first.
async fn all_reported(
    reports: &mut mpsc::UnboundedReceiver<Reported>,
    instances: &[InstanceId],
    sent: Instant,
) -> Result<Vec<f64>, Error> {
    let mut took: HashMap<InstanceId, f64> = HashMap::new();
    while took.len() < instances.len() {
        let reported = timeout(WITHIN, reports.recv()).await.ok().flatten();
        let (at, instance) = reported.ok_or_else(|| {
            let missing = instances.len() - took.len();
            Error::Unfit(format!("{missing} balancers never reported a change"))
        })?;
        if instances.contains(&instance) {
            took.entry(instance).or_insert(ms(at.duration_since(sent)));
        }
    }
    Ok(took.into_values().collect())
}

/// That what was announced were reports of that revision: nothing else was there to report.
async fn check(stage: &Stage<'_>, revision: Revision) -> Result<(), Error> {
    let instances = stage.registry.instances().await?;
    let mut applied = instances.iter().filter_map(|it| it.report.applied);
    match applied.all(|applied| applied.revision >= revision) {
        true => Ok(()),
        false => Err(Error::Unfit(format!(
            "a balancer reported something else than revision {revision}"
        ))),
    }
}

/// How long changes take that wait until they are applied.
fn waits(stage: &Stage<'_>) -> Result<Vec<f64>, Error> {
    let (_process, admin) = stage.fleet.admin(ANYWHERE, &stage.name)?;
    admin.await_server(&key_of(stage.args.servers - 1, stage.pools))?;
    let mut took = Vec::new();
    for number in 0..stage.args.changes {
        std::thread::sleep(PAUSE);
        let server = key_of(number * 7 % stage.args.servers, stage.pools);
        let weight = 901 + number % 90;
        let begun = Instant::now();
        admin.weigh_and_wait(&server, weight)?;
        took.push(ms(begun.elapsed()));
    }
    Ok(took)
}

/// What Redis does for so many balancers while nothing changes.
fn add_cost_at_rest(stage: &Stage<'_>, section: &mut Section) -> Result<(), Error> {
    let mut redis = stage.fleet.connection()?;
    let before = redis.counts()?;
    std::thread::sleep(AT_REST);
    let rates = redis.counts()?.since(before);
    let hundred = HUNDRED / stage.args.balancers as f64;
    for (what, value) in [
        ("commands to Redis a second", rates.commands * hundred),
        ("bytes to Redis a second", rates.input_bytes * hundred),
        ("bytes from Redis a second", rates.output_bytes * hundred),
        ("CPU of Redis, of one core", rates.cpu_share * hundred),
    ] {
        let what = format!("{what}, at rest, for 100 balancers");
        section.add(Figure::new(what, value, ""));
    }
    Ok(())
}
