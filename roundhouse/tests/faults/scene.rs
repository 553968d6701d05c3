//! One scene: a stage under load, something that breaks, holds and heals, and what must be true of all of it in the end.

use std::time::Duration;

use hyper::{Method, StatusCode};
use tokio::time::{Instant, sleep, sleep_until};

use crate::load::{Exchange, Load};
use crate::member::Member;
use crate::operator::{Ledger, Operator};
use crate::stage::{Outage, Setup, Stage};
use crate::table::{Fault, History};

/// How long the load runs undisturbed, before and after.
const CALM: Duration = Duration::from_secs(1);

/// How often something that is done again and again is done.
const AGAIN_EACH: Duration = Duration::from_millis(400);

/// How long the scenes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Short,
    Long,
}

impl Form {
    fn hold(self, fault: &Fault) -> Duration {
        match self {
            Self::Short => fault.holds.0,
            Self::Long => fault.holds.1,
        }
    }

    /// Requests a second.
    fn rate(self) -> u32 {
        match self {
            Self::Short => 50,
            Self::Long => 100,
        }
    }
}

/// What was seen.
#[derive(Debug)]
pub(crate) struct Facts {
    /// From the break to the healing.
    pub(crate) held: Duration,
    pub(crate) requests: usize,
    pub(crate) failed: usize,
    /// The longest that a request took that did not fail.
    pub(crate) longest: Duration,
    /// Changes by the operator while it held, and how many of them were taken.
    pub(crate) changes: u32,
    pub(crate) acknowledged: u32,
    /// From the healing until a change was taken and applied by all, and every balancer's table was the registry's content.
    pub(crate) converged: Duration,
}

/// Plays one fault, or several at once. Panics where something is not as it must be.
pub(crate) fn play(faults: &[&Fault], form: Form) -> Facts {
    // What blocks blocks this thread, and the load goes on in the others.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(scene(faults, form))
}

/// What the stage of these faults is.
pub(crate) fn setup_of(faults: &[&Fault]) -> Setup {
    let setups = faults.iter().map(|fault| fault.setup);
    setups.fold(Setup::default(), Setup::and)
}

async fn scene(faults: &[&Fault], form: Form) -> Facts {
    let mut stage = Stage::start(setup_of(faults)).await;
    let urls = stage.balancers.iter().map(Member::url);
    let load = Load::start(urls.collect(), form.rate());
    let admin = stage.admin.url();
    let mut operator = None;
    if faults.iter().all(|fault| fault.writes_in_flight) {
        operator = Some(Operator::start(admin.clone()));
    }
    sleep(CALM).await;
    stage.note().await;
    let broken = Instant::now();
    for fault in faults {
        (fault.breaks)(&mut stage).await;
    }
    let operator = operator.unwrap_or_else(|| Operator::start(admin));
    hold(&mut stage, faults, broken, form).await;
    operator.stop();
    for fault in faults.iter().rev() {
        (fault.heals)(&mut stage).await;
    }
    let healed = Instant::now();
    stage.takes_changes("healed").await;
    stage.await_equal_tables().await;
    let converged = healed.elapsed();
    let ledger = operator.ended().await;
    settle(&stage, faults, &ledger).await;
    sleep(CALM).await;
    let exchanges = load.end().await;
    judge(&exchanges, faults, &stage.outages);
    Facts {
        held: healed - broken,
        requests: exchanges.len(),
        failed: exchanges.iter().filter(|it| it.failed()).count(),
        longest: longest(&exchanges),
        changes: ledger.acknowledged + ledger.refused,
        acknowledged: ledger.acknowledged,
        converged,
    }
}

/// Lets the faults hold, and does again what is to be done again. What must come true meanwhile is looked at where one holds alone: two at
/// once may each be what hinders the other's.
async fn hold(stage: &mut Stage, faults: &[&Fault], broken: Instant, form: Form) {
    if let [fault] = faults {
        (fault.during)(stage).await;
    }
    let holds = faults.iter().map(|fault| form.hold(fault)).max();
    let until = broken + holds.unwrap_or_default();
    while Instant::now() < until {
        for again in faults.iter().filter_map(|fault| fault.again) {
            again(stage).await;
        }
        sleep_until(until.min(Instant::now() + AGAIN_EACH)).await;
    }
}

/// What must be true once it is over.
async fn settle(stage: &Stage, faults: &[&Fault], ledger: &Ledger) {
    stage.await_one_leader().await;
    let body = r#"{"state":"active"}"#;
    let query = "?wait=applied&timeout=20s";
    let answer = stage.change("s2", Method::PATCH, body, query).await;
    let answer = answer.expect("the admin API answers");
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    stage.await_equal_tables().await;
    let read = stage.registry.snapshot().await.expect("an answer");
    let read = read.expect("a fleet");
    ledger.check(&read.snapshot, "s2");
    let renewed = faults.iter().any(|it| it.history == History::Renewed);
    let epoch = read.head.position.epoch;
    assert_eq!(
        epoch != stage.before.epoch,
        renewed,
        "whether the epoch is another one"
    );
    stage.terms_never_fall(stage.before).await;
}

/// No request failed, but for those that the faults may cost.
fn judge(exchanges: &[Exchange], faults: &[&Fault], outages: &[Outage]) {
    let may_fail = faults.iter().any(|fault| fault.failures.is_some());
    let excused =
        |exchange: &Exchange| may_fail && outages.iter().any(|outage| outage.explains(exchange));
    let failed = exchanges.iter().filter(|exchange| exchange.failed());
    let unexplained: Vec<_> = failed.filter(|exchange| !excused(exchange)).collect();
    assert!(
        unexplained.is_empty(),
        "{} of {} requests failed: {:?}",
        unexplained.len(),
        exchanges.len(),
        &unexplained[..unexplained.len().min(3)]
    );
    let both = [true, false].map(|kept| exchanges.iter().any(|it| it.kept == kept));
    assert_eq!(both, [true, true], "kept and new connections were used");
}

impl Outage {
    /// Whether a request failed since this balancer was away at some moment of it.
    fn explains(&self, exchange: &Exchange) -> bool {
        let before_its_end = self.until.is_none_or(|until| exchange.sent <= until);
        exchange.balancer == self.balancer && exchange.ended >= self.from && before_its_end
    }
}

fn longest(exchanges: &[Exchange]) -> Duration {
    let answered = exchanges.iter().filter(|exchange| !exchange.failed());
    let latencies = answered.map(Exchange::latency);
    latencies.max().unwrap_or_default()
}
