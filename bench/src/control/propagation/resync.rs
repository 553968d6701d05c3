//! Reading all of the fleet anew: once, and a hundred times at once, with a bystander who wants something else of Redis.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::super::findings::{Figure, Section};
use super::super::fleet::{Fleet, revision};
use super::super::ms;
use super::followers::Followers;
use super::{Stage, section};
use crate::Error;

/// How often one resync is timed.
const TIMES: usize = 15;

/// How often so many at once are.
const STORMS: usize = 3;

/// How often the bystander asks.
const ASK_EACH: Duration = Duration::from_millis(1);

/// How long it is listened to in quiet.
const QUIET: Duration = Duration::from_secs(3);

/// Between two changes, where some are made meanwhile.
const CHANGE_EACH: Duration = Duration::from_millis(10);

/// What a resync may take.
const RESYNC_MOST_MS: f64 = 200.0;

/// The longest that is told from longer ones, in microseconds.
const LONGEST_US: u64 = 60_000_000;

const NOTE: &str = "A resync is a new follower's: it subscribes, reads everything and shows it. So many at once are so many new followers, as tasks of one
process. The bystander sends a PING each millisecond on a connection of its own; one that is due while another is unanswered counts as
waiting since then. Everything shares the machine's cores, so that much of its waiting is for a core.";

pub(super) fn measure(stage: &Stage<'_>) -> Result<Section, Error> {
    let mut section = section("Resync", NOTE);
    let (reads, resyncs) = stage.runtime.block_on(alone(stage))?;
    section.add_spread("reading the snapshot alone", &reads, [None, None])?;
    section.add_spread("a resync", &resyncs, [Some(RESYNC_MOST_MS); 2])?;
    let quiet = Bystander::start(stage.fleet)?;
    std::thread::sleep(QUIET);
    quiet.end()?.add_to(&mut section, "in quiet");
    for (changing, what) in [(false, ""), (true, ", with 100 changes a second")] {
        let bystander = Bystander::start(stage.fleet)?;
        let mut took = Vec::new();
        for _ in 0..STORMS {
            took.push(stage.runtime.block_on(storm(stage, changing))?);
        }
        let seen = bystander.end()?;
        let slowest = took.into_iter().fold(0.0, f64::max);
        let all = format!("{} resyncs at once{what}", stage.args.followers);
        let figure = Figure::new(format!("{all}, until the last"), slowest, "ms");
        section.add(figure);
        seen.add_to(&mut section, &format!("during {all}"));
    }
    for command in ["hscan", "hgetall"] {
        if let Some(took) = stage.fleet.connection()?.call_us(command)? {
            let what = format!("one {} within Redis, in the mean", command.to_uppercase());
            section.add(Figure::new(what, took / 1e3, "ms"));
        }
    }
    Ok(section)
}

/// How long the snapshot alone, and a resync, take.
async fn alone(stage: &Stage<'_>) -> Result<(Vec<f64>, Vec<f64>), Error> {
    let (mut reads, mut resyncs) = (Vec::new(), Vec::new());
    for _ in 0..TIMES {
        let begun = Instant::now();
        stage.registry.snapshot().await?;
        reads.push(ms(begun.elapsed()));
        resyncs.push(resync(stage, 1).await?);
    }
    Ok((reads, resyncs))
}

/// How long it takes until so many new followers show the present state.
async fn resync(stage: &Stage<'_>, followers: usize) -> Result<f64, Error> {
    let present = revision(&*stage.registry).await?;
    let begun = Instant::now();
    let mut followers = Followers::start(stage.fleet, followers)?;
    let last = followers.all_at(present).await?.into_iter().max();
    let last = last.ok_or_else(|| Error::Unfit("nobody followed".into()))?;
    Ok(ms(last.duration_since(begun)))
}

async fn storm(stage: &Stage<'_>, changing: bool) -> Result<f64, Error> {
    let resync = resync(stage, stage.args.followers);
    if !changing {
        return resync.await;
    }
    tokio::select! {
        took = resync => took,
        failed = change_always(stage) => failed,
    }
}

/// Returns where a change fails.
async fn change_always(stage: &Stage<'_>) -> Result<f64, Error> {
    let mut period = tokio::time::interval(CHANGE_EACH);
    loop {
        period.tick().await;
        stage.commit().await?;
    }
}

/// Asks Redis for next to nothing, all the time.
struct Bystander {
    over: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Result<Histogram<u64>, Error>>,
}

/// How long it waited, in microseconds.
struct Waits(Histogram<u64>);

impl Bystander {
    fn start(fleet: &Fleet) -> Result<Self, Error> {
        let mut connection = fleet.connection()?;
        let over = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            let waits = Histogram::new_with_max(LONGEST_US, 3);
            let mut waits = waits.expect("three digits up to a minute are possible");
            while !ends.load(Ordering::Relaxed) {
                let took = connection.ping()?;
                record(&mut waits, took);
                std::thread::sleep(ASK_EACH.saturating_sub(took));
            }
            Ok(waits)
        });
        Ok(Self { over, thread })
    }

    fn end(self) -> Result<Waits, Error> {
        self.over.store(true, Ordering::Relaxed);
        let waits = self.thread.join();
        let waits = waits.map_err(|_| Error::Unfit("the bystander gave up".into()))?;
        Ok(Waits(waits?))
    }
}

/// Takes in one wait, and those that it made of what would have been asked meanwhile.
fn record(waits: &mut Histogram<u64>, took: Duration) {
    let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    let took = micros(took).clamp(1, LONGEST_US);
    waits
        .record_correct(took, micros(ASK_EACH))
        .expect("it is within the bounds");
}

impl Waits {
    fn add_to(&self, section: &mut Section, when: &str) {
        let at = |quantile| self.0.value_at_quantile(quantile) as f64 / 1e3;
        for (name, value) in [("p50", at(0.5)), ("p99", at(0.99)), ("at most", at(1.0))] {
            let what = format!("a bystander's PING {when}, {name}");
            section.add(Figure::new(what, value, "ms"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_long_is_charged_for_all_that_would_have_been_asked_meanwhile() {
        let mut waits = Histogram::new_with_max(LONGEST_US, 3).expect("possible");
        record(&mut waits, Duration::from_micros(100));
        record(&mut waits, Duration::from_millis(10));
        // One of 100 us, and those of 10, 9, ... 1 ms.
        assert_eq!(waits.len(), 11);
        assert!(waits.value_at_quantile(0.5) >= 4_900);
        record(&mut waits, Duration::from_secs(600));
        assert!(waits.max() >= LONGEST_US - LONGEST_US / 1000);
    }
}
