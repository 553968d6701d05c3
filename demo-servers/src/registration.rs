//! A server's own place in the fleet: taken, renewed, and given back when it ends.
//!
//! The admin API may be away, for long: that is said once, and tried again until it is back. A server that
//! somebody removed stays removed: only a registration that has run out is made anew.

use std::time::Duration;

use client::{Client, Error, NewRegistration, Outcome, Renewal, Wait};
use model::ServerKey;
use rand::RngExt;
use runtime::Backoff;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::advertise::Advertised;

/// How long a registration lasts without a renewal.
const LIFETIME: Duration = Duration::from_secs(10);

/// The pauses between tries while the admin API does not take it.
const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_LONGEST: Duration = Duration::from_secs(5);

/// How long the fleet may take to let go of the server when it ends.
const DRAIN_LIMIT: Duration = Duration::from_secs(25);

/// How long an admin API that is away is tried when the server ends.
const AWAY_LIMIT: Duration = Duration::from_secs(5);

/// What it takes to be registered.
#[derive(Debug)]
pub(crate) struct Registrar {
    pub(crate) client: Client,
    pub(crate) key: ServerKey,
    pub(crate) advertised: Advertised,
}

/// How the last try ended. What is said is said when it changes.
#[derive(Debug, PartialEq, Eq)]
enum Standing {
    Untried,
    Registered {
        address: String,
    },
    /// Somebody removed it.
    Removed,
    Away,
    Refused {
        reason: String,
    },
}

/// Keeps the server registered until `stop`; then has it drained and removed, and says that it may close.
pub(crate) async fn keep(
    registrar: Registrar,
    registered: watch::Sender<bool>,
    stop: CancellationToken,
    closing: CancellationToken,
) {
    let mut backoff = Backoff::new(RETRY_FIRST, RETRY_LONGEST);
    let mut standing = Standing::Untried;
    let mut valid_until = None;
    while !stop.is_cancelled() {
        let asked = Instant::now();
        let renewal = renewal(&standing, valid_until, asked);
        let now = registrar.renew(renewal).await;
        let pause = match &now {
            Standing::Registered { .. } => {
                valid_until = Some(asked + LIFETIME);
                registered.send_replace(true);
                backoff.reset();
                renewal_pause()
            }
            Standing::Removed => renewal_pause(),
            _ => backoff.next_pause(&mut rand::rng()),
        };
        if now != standing {
            registrar.say(&now);
            standing = now;
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop.cancelled() => {}
        }
    }
    registrar.leave().await;
    closing.cancel();
}

/// A registration that has run out is made anew, unless the last that was heard is that it was removed.
fn renewal(standing: &Standing, valid_until: Option<Instant>, now: Instant) -> Renewal {
    if *standing == Standing::Removed || valid_until.is_some_and(|until| now < until) {
        return Renewal::Further;
    }
    Renewal::First
}

/// A third of the lifetime, spread so that servers that started together do not renew together.
fn renewal_pause() -> Duration {
    (LIFETIME / 3).mul_f64(rand::rng().random_range(0.8..1.0))
}

impl Registrar {
    async fn renew(&self, renewal: Renewal) -> Standing {
        let address = match self.advertised.resolve(self.client.url()).await {
            Ok(address) => address,
            Err(error) => {
                tracing::debug!(%error, "the way to the admin API is not known");
                return Standing::Away;
            }
        };
        let registration = NewRegistration {
            address: address.clone(),
            lifetime: LIFETIME,
        };
        let answer = self
            .client
            .register(&self.key, &registration, renewal)
            .await;
        match answer {
            Ok(_) => Standing::Registered { address },
            Err(error) => standing_after(&error),
        }
    }

    fn say(&self, standing: &Standing) {
        let (server, admin) = (&self.key, self.client.url());
        match standing {
            Standing::Untried => {}
            Standing::Registered { address } => tracing::info!(%server, address, "registered"),
            Standing::Removed => {
                tracing::warn!(%server, "somebody removed it; it stays out until it is added or started again");
            }
            Standing::Away => {
                tracing::warn!(%server, %admin, "the admin API is away; trying again");
            }
            Standing::Refused { reason } => {
                tracing::warn!(%server, reason, "not registered; trying again");
            }
        }
    }

    /// Gives the registration back, and waits until no balancer has a request left for this server.
    async fn leave(&self) {
        let give_up = Instant::now() + AWAY_LIMIT;
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_FIRST * 5);
        let server = &self.key;
        loop {
            let error = match self
                .client
                .deregister(server, Wait::drained(DRAIN_LIMIT))
                .await
            {
                Ok(Outcome::Done) => return tracing::info!(%server, "drained and removed"),
                Ok(Outcome::Undone { reason, .. }) => {
                    return tracing::warn!(%server, reason, "not removed");
                }
                Ok(Outcome::Unfinished(unfinished)) => {
                    return tracing::warn!(%server, %unfinished, "removed, but not known to be drained");
                }
                Err(error) if error.is_not_found() => {
                    return tracing::info!(%server, "was not registered any more");
                }
                Err(error) => error,
            };
            if !error.is_passing() || Instant::now() >= give_up {
                return tracing::warn!(%server, %error, "could not be removed");
            }
            let pause = backoff.next_pause(&mut rand::rng());
            tokio::time::sleep(pause).await;
        }
    }
}

fn standing_after(error: &Error) -> Standing {
    if error.is_precondition_failed() {
        return Standing::Removed;
    }
    if error.is_unreachable() {
        tracing::debug!(%error, "not registered");
        return Standing::Away;
    }
    let reason = error.to_string();
    Standing::Refused { reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_registration_that_ran_out_is_made_anew() {
        let now = Instant::now();
        let (valid, over) = (Some(now + Duration::from_secs(1)), Some(now));
        let registered = Standing::Registered {
            address: "10.0.0.5:80".into(),
        };
        assert_eq!(renewal(&Standing::Untried, None, now), Renewal::First);
        assert_eq!(renewal(&registered, valid, now), Renewal::Further);
        assert_eq!(renewal(&Standing::Away, valid, now), Renewal::Further);
        assert_eq!(renewal(&Standing::Away, over, now), Renewal::First);
        assert_eq!(renewal(&Standing::Removed, over, now), Renewal::Further);
    }
}
