//! Holds a request to the limits of its route and its pool, and says in the answer's fields how it stands with them
//! (draft-ietf-httpapi-ratelimit-headers).

use std::time::Duration;

use model::LimitId;
use policy::{Checked, Counted, InUse, Limit, Refusal};

use super::incoming::Incoming;
use super::problem::Problem;
use super::routing::Destination;
use super::space::Space;
use super::talk::Talk;

/// What is said of a request's limits, and room for what they look at.
#[derive(Debug, Default)]
pub(super) struct LimitFields {
    /// Items of `RateLimit-Policy`.
    policies: Vec<u8>,
    /// Items of `RateLimit`.
    states: Vec<u8>,
    /// What a key is made of.
    parts: Vec<u8>,
}

impl LimitFields {
    /// Nothing is said any more.
    pub(super) fn clear(&mut self) {
        self.policies.clear();
        self.states.clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.policies.is_empty()
    }

    /// Writes whole lines.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        for (name, items) in [
            ("RateLimit-Policy: ", &self.policies),
            ("RateLimit: ", &self.states),
        ] {
            if !items.is_empty() {
                out.extend_from_slice(name.as_bytes());
                out.extend_from_slice(items);
                out.extend_from_slice(b"\r\n");
            }
        }
    }

    fn add(&mut self, limit: &Limit, checked: &Checked) {
        separate(&mut self.policies);
        self.policies.extend_from_slice(limit.policy().as_bytes());
        if limit.settings().requests == 0 {
            return;
        }
        separate(&mut self.states);
        let mut digits = itoa::Buffer::new();
        self.states.push(b'"');
        self.states
            .extend_from_slice(limit.id().as_str().as_bytes());
        self.states.extend_from_slice(b"\";r=");
        let remaining = digits.format(checked.remaining).as_bytes();
        self.states.extend_from_slice(remaining);
        self.states.extend_from_slice(b";t=");
        let reset = digits.format(whole_seconds(checked.reset)).as_bytes();
        self.states.extend_from_slice(reset);
    }
}

fn separate(items: &mut Vec<u8>) {
    if !items.is_empty() {
        items.extend_from_slice(b", ");
    }
}

/// So many seconds, and one more where some time is left.
fn whole_seconds(time: Duration) -> u32 {
    let seconds = time
        .as_secs()
        .saturating_add(u64::from(time.subsec_nanos() > 0));
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

/// Counts a request by each of its limits, in their order, those of its route first. What it holds of them is held until it is over.
/// It waits for the registry where a limit is exact, and where this balancer's share of one is spent and the fleet's is not.
pub(super) async fn hold_to_limits(
    talk: &Talk,
    space: &mut Space,
    destination: &Destination,
) -> Result<Vec<InUse>, Problem> {
    let mut held = Vec::new();
    let route = destination.route.as_deref();
    let of_route = route.map_or(&[][..], policy::Route::limits);
    for id in of_route
        .iter()
        .chain(&destination.pool.settings().value.limits)
    {
        let place = hold_to(talk, space, destination, id).await?;
        held.extend(place.filter(InUse::counts));
    }
    Ok(held)
}

async fn hold_to(
    talk: &Talk,
    space: &mut Space,
    destination: &Destination,
    id: &LimitId,
) -> Result<Option<InUse>, Problem> {
    let worker = &talk.worker;
    // One that this balancer never knew bounds nothing.
    let Some(limit) = worker.limit(id) else {
        return Ok(None);
    };
    let Some(key) = key(talk, space, destination, &limit) else {
        return Ok(None);
    };
    let now = || worker.clock.now().since_start();
    let here = (!limit.is_exact()).then(|| worker.limiting.check(&limit, key, now()));
    let checked = match here.filter(|checked| !checked.may_ask) {
        Some(checked) => checked,
        // Boxed, so that others do not hold the memory of one that waits.
        None => Box::pin(worker.limiting.check_exactly(&limit, key, now)).await,
    };
    space.limits.add(&limit, &checked);
    let refusal = checked.outcome.as_ref().err().copied();
    worker.counters.limited(id, refusal);
    let after = whole_seconds(checked.reset).max(1);
    checked.outcome.map(Some).map_err(|refusal| match refusal {
        Refusal::Rate => Problem::RateLimited { after },
        Refusal::Concurrent => Problem::ConcurrencyLimited { after },
    })
}

/// What the request counts under; nothing where the limit does not count its client.
fn key(talk: &Talk, space: &mut Space, destination: &Destination, limit: &Limit) -> Option<u128> {
    let incoming = Incoming {
        talk,
        request: &space.request,
        head: space.client.filled(),
    };
    let client = incoming.source();
    if limit.exempts(client) {
        return None;
    }
    let request = Counted {
        client,
        route: destination.route.as_deref().map(policy::Route::id),
        host: incoming
            .request
            .authority(incoming.head)
            .unwrap_or_default(),
        headers: &incoming,
    };
    Some(limit.key(&request, &mut space.limits.parts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_is_left_is_no_shorter_in_whole_seconds() {
        let rounded = |millis| whole_seconds(Duration::from_millis(millis));
        assert_eq!([0, 1, 1_000, 1_001].map(rounded), [0, 1, 1, 2]);
        assert_eq!(whole_seconds(Duration::MAX), u32::MAX);
    }
}
