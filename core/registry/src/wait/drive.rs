//! Drives a wait over a real registry and the clock.

use std::time::Duration;

use futures_util::FutureExt;
use model::InstanceId;
use tokio::time::{Instant, timeout_at};

use super::{Goal, Listings, Outcome, Waiter};
use crate::{Registry, RegistryError, Stream};

/// How often the instances are listed again where no report announces itself.
const RELIST_PERIOD: Duration = Duration::from_millis(250);

/// Waits until every balancer has reached the goal, until nobody is left who could, until the goal was undone, or until
/// the deadline, and says who has not.
///
/// # Errors
/// Where the registry did not answer at the deadline.
pub async fn wait_for(
    registry: &dyn Registry,
    goal: &Goal,
    deadline: Instant,
) -> Result<Outcome, RegistryError> {
    wait_together(registry, &Listings::default(), goal, deadline).await
}

/// The same, with others who wait in this process: they share what they list.
///
/// # Errors
/// Where the registry did not answer at the deadline.
pub async fn wait_together(
    registry: &dyn Registry,
    listings: &Listings,
    goal: &Goal,
    deadline: Instant,
) -> Result<Outcome, RegistryError> {
    let mut waiter = Waiter::new(goal.clone());
    let mut reports = None;
    let mut last = Err(RegistryError::Unanswered {
        operation: "a question how a change stands",
    });
    loop {
        let look = look(registry, listings, &mut waiter, &mut reports);
        let Ok(outcome) = timeout_at(deadline, look).await else {
            break;
        };
        last = outcome;
        if last.as_ref().is_ok_and(Outcome::is_final) {
            break;
        }
        if last.is_err() {
            reports = None;
        }
        let pause = timeout_at(Instant::now() + RELIST_PERIOD, next_report(&mut reports));
        if timeout_at(deadline, pause).await.is_err() {
            break;
        }
    }
    last
}

type Reports = Option<Box<dyn Stream<InstanceId>>>;

/// Subscribes before it lists, so that no report falls between the two, and reads the log after it.
async fn look(
    registry: &dyn Registry,
    listings: &Listings,
    waiter: &mut Waiter,
    reports: &mut Reports,
) -> Result<Outcome, RegistryError> {
    if reports.is_none() {
        *reports = Some(registry.reports().await?);
    }
    waiter.list(listings.list(registry).await?);
    if waiter.needs_log() {
        let log = registry.log_after(waiter.goal.position()).await?;
        waiter.learn(log.as_deref());
        if log.is_none()
            && let Some(head) = registry.head().await?
            && let Some(superseded) = waiter.superseded(head.position)
        {
            return Ok(superseded);
        }
    }
    Ok(waiter.outcome())
}

/// Ends with the next report, and takes those that are already there along. Where the stream ends, only
/// the timer is left.
async fn next_report(reports: &mut Reports) {
    if let Some(stream) = reports {
        let mut received = stream.next().await;
        while received.is_ok() {
            match stream.next().now_or_never() {
                Some(next) => received = next,
                None => return,
            }
        }
    }
    *reports = None;
    std::future::pending::<()>().await;
}
