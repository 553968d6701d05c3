//! The ways between the processes and Redis: slow, cut, or closed.

use std::time::Duration;

use hyper::{Method, StatusCode};

use super::{Fault, NOTHING, Part, seconds};
use crate::proxy::Mode;
use crate::shared::eventually;
use crate::stage::Stage;

const PLAIN: Fault = Fault {
    parts: &[Part::Ways],
    ..NOTHING
};

pub(crate) const WAYS: &[Fault] = &[
    Fault {
        name: "Redis slow by 200 ms for all",
        expected: "changes take longer, and are taken",
        holds: seconds(4, 15),
        breaks: |stage| {
            Box::pin(async move { stage.set_ways(Mode::Delay(Duration::from_millis(200))) })
        },
        during: |stage| Box::pin(stage.takes_changes("broken")),
        heals: |stage| Box::pin(async move { stage.set_ways(Mode::Pass) }),
        ..PLAIN
    },
    Fault {
        name: "Redis cut off from one balancer",
        expected: "it goes on by its last table; who waits for a change is told that it lags",
        holds: seconds(4, 15),
        breaks: |stage| Box::pin(async move { set_way(stage, Mode::Cut) }),
        during: |stage| Box::pin(stage.names_who_lags()),
        heals: |stage| Box::pin(async move { set_way(stage, Mode::Pass) }),
        ..PLAIN
    },
    Fault {
        name: "Redis cut off from the leader",
        expected: "another one leads within the lease; what the cut one sent arrives late and does nothing",
        parts: &[Part::Ways, Part::Orchestrators],
        holds: seconds(4, 15),
        breaks: |stage| Box::pin(async move { set_leaders_way(stage, Mode::Cut) }),
        during: |stage| Box::pin(stage.another_leads()),
        heals: |stage| Box::pin(async move { set_leaders_way(stage, Mode::Pass) }),
        ..PLAIN
    },
    Fault {
        name: "Redis cut off from all",
        expected: "traffic goes on by the last table",
        holds: seconds(4, 30),
        breaks: |stage| Box::pin(async move { stage.set_ways(Mode::Cut) }),
        heals: |stage| Box::pin(async move { stage.set_ways(Mode::Pass) }),
        ..PLAIN
    },
    Fault {
        name: "connections to Redis ended at once, for all",
        expected: "traffic goes on by the last table",
        holds: seconds(3, 15),
        breaks: |stage| Box::pin(async move { stage.set_ways(Mode::Refuse) }),
        heals: |stage| Box::pin(async move { stage.set_ways(Mode::Pass) }),
        ..PLAIN
    },
];

fn set_way(stage: &mut Stage, mode: Mode) {
    stage.balancers[0]
        .way
        .as_ref()
        .expect("it has one")
        .set(mode);
}

fn set_leaders_way(stage: &mut Stage, mode: Mode) {
    let leader = &stage.orchestrators[stage.leader];
    leader.way.as_ref().expect("it has one").set(mode);
}

impl Stage {
    async fn names_who_lags(&mut self) {
        let query = "?wait=applied&timeout=1s";
        let answer = self
            .change("s3", Method::PATCH, r#"{"zone":"there"}"#, query)
            .await;
        let answer = answer.expect("the admin API answers");
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
        let waited = &answer.json()["wait"];
        let laggards = waited["laggards"].as_array().expect("a list");
        let names = laggards
            .iter()
            .map(|laggard| laggard["advertise"].as_str().expect("an address"));
        let cut = self.balancers[0].address.to_string();
        assert_eq!(names.collect::<Vec<_>>(), [cut], "{waited}");
    }

    pub(super) async fn another_leads(&mut self) {
        eventually("another orchestrator leads", || async {
            self.leading()
                .await
                .is_some_and(|leader| leader != self.leader)
        })
        .await;
    }
}
