//! How many of the registry's replicas have a change, asked before it is acknowledged, and what the answer says of it.

use std::time::Duration;

use registry::{Committed, Durability, RegistryError, Replication};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::app::App;
use crate::fleet::duration_text;

/// A commit that the registry has, and who can say how many of its replicas have it, where that is asked.
pub(crate) struct Recorded<'a> {
    pub(crate) committed: Committed,
    pub(crate) replication: Option<Box<dyn Replication + 'a>>,
}

/// A commit that can be acknowledged.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) committed: Committed,
    /// Nothing where replicas are not asked.
    pub(crate) durability: Option<Replicated>,
}

/// What became of a change on its way to the replicas.
#[derive(Debug)]
pub(crate) struct Replicated {
    asked: u16,
    within: Duration,
    took: Duration,
    /// How many have it.
    reached: Result<u64, RegistryError>,
}

impl Replicated {
    /// Whether as many as are asked for are known to have it.
    pub(crate) fn is_done(&self) -> bool {
        self.reached
            .as_ref()
            .is_ok_and(|reached| *reached >= u64::from(self.asked))
    }

    pub(crate) fn json(&self) -> Value {
        let mut json = json!({
            "asked": self.asked,
            "reached": self.reached.as_ref().ok(),
            "done": self.is_done(),
            "took": duration_text(self.took),
        });
        if !self.is_done() {
            json["reason"] = json!(self.reason());
        }
        json
    }

    fn reason(&self) -> String {
        match &self.reached {
            Ok(_) => format!(
                "no more replicas said within {} that they have it",
                duration_text(self.within)
            ),
            Err(error) => error.to_string(),
        }
    }
}

impl App {
    /// Waits for the replicas, if that is asked. Whatever they say, what was committed stays so.
    pub(crate) async fn kept(&self, recorded: Recorded<'_>) -> Kept {
        let Recorded {
            committed,
            replication,
        } = recorded;
        let durability = match (self.durability, replication) {
            (Durability::Wait { replicas, timeout }, Some(replication)) => {
                Some(self.replicated(replication, replicas, timeout).await)
            }
            _ => None,
        };
        Kept {
            committed,
            durability,
        }
    }

    async fn replicated(
        &self,
        replication: Box<dyn Replication + '_>,
        asked: u16,
        within: Duration,
    ) -> Replicated {
        let started = Instant::now();
        let replicated = Replicated {
            asked,
            within,
            reached: replication.reached(asked, within).await,
            took: started.elapsed(),
        };
        if !replicated.is_done() {
            self.metrics.fell_short();
            let reason = replicated.reason();
            tracing::warn!(
                asked,
                reason,
                "a change is not known to be on as many replicas as are asked for"
            );
        }
        replicated
    }
}
