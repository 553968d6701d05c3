//! The orchestrators: killed, stopped, and two that claim to lead.

use super::{Fault, History, NOTHING, Part, seconds};
use crate::stage::{Clocked, Setup, Stage};

const PLAIN: Fault = Fault {
    parts: &[Part::Orchestrators],
    ..NOTHING
};

pub(crate) const ORCHESTRATORS: &[Fault] = &[
    Fault {
        name: "the leader killed",
        expected: "another one leads within the lease; changes are taken all the while",
        holds: seconds(4, 15),
        breaks: |stage| Box::pin(async move { stage.orchestrators[stage.leader].kill() }),
        during: |stage| Box::pin(stage.another_leads()),
        heals: |stage| Box::pin(async move { stage.start_orchestrators() }),
        ..PLAIN
    },
    Fault {
        name: "all orchestrators killed",
        expected: "traffic and changes go on without a leader",
        holds: seconds(4, 30),
        kills_orchestrators: true,
        breaks: |stage| Box::pin(async move { stage.kill_orchestrators() }),
        during: |stage| Box::pin(stage.takes_changes("broken")),
        heals: |stage| Box::pin(async move { stage.start_orchestrators() }),
        ..PLAIN
    },
    Fault {
        name: "the leader stopped (SIGSTOP) and resumed: two claim to lead",
        expected: "another one leads meanwhile; the resumed one writes nothing that takes effect",
        holds: seconds(5, 10),
        breaks: |stage| Box::pin(async move { stage.signal_leader("STOP") }),
        during: |stage| Box::pin(stage.another_leads()),
        heals: |stage| Box::pin(async move { stage.signal_leader("CONT") }),
        ..PLAIN
    },
    Fault {
        name: "the leader stopped, FLUSHALL, and the leader resumed",
        expected: "the other one restores the registry and leads; the resumed one finds a new epoch",
        parts: &[Part::Orchestrators, Part::Redis],
        holds: seconds(6, 10),
        history: History::Renewed,
        breaks: |stage| {
            Box::pin(async move {
                stage.signal_leader("STOP");
                stage.command(&["FLUSHALL"]);
            })
        },
        during: |stage| Box::pin(stage.has_a_new_epoch()),
        heals: |stage| Box::pin(async move { stage.signal_leader("CONT") }),
        ..PLAIN
    },
    Fault {
        name: "all orchestrators stopped and resumed",
        expected: "traffic and changes go on; one leads afterwards",
        holds: seconds(4, 10),
        breaks: |stage| Box::pin(async move { stage.signal_orchestrators("STOP") }),
        during: |stage| Box::pin(stage.takes_changes("broken")),
        heals: |stage| Box::pin(async move { stage.signal_orchestrators("CONT") }),
        ..PLAIN
    },
    Fault {
        name: "the lease deleted by hand, again and again: two claim to lead",
        expected: "each time one term ends and another begins; none writes in a former one",
        parts: &[Part::Orchestrators, Part::Redis],
        again: Some(|stage| {
            Box::pin(async move { drop(stage.command(&["DEL", "roundhouse:{main}:lease"])) })
        }),
        ..PLAIN
    },
    Fault {
        name: "all orchestrators restarted together with Redis",
        expected: "traffic goes on; they find the fleet as it was",
        parts: &[Part::Orchestrators, Part::Redis],
        kills_orchestrators: true,
        breaks: |stage| {
            Box::pin(async move {
                stage.redis().kill();
                stage.kill_orchestrators();
            })
        },
        heals: |stage| {
            Box::pin(async move {
                stage.redis().restart();
                stage.start_orchestrators();
            })
        },
        ..PLAIN
    },
    Fault {
        name: "all orchestrators restarted together with a Redis that is back empty",
        expected: "traffic goes on; they restore the fleet from their disks under a new epoch",
        parts: &[Part::Orchestrators, Part::Redis],
        writes_in_flight: false,
        kills_orchestrators: true,
        history: History::Renewed,
        breaks: |stage| {
            Box::pin(async move {
                stage.redis().kill();
                stage.kill_orchestrators();
            })
        },
        heals: |stage| {
            Box::pin(async move {
                stage.redis().restart_empty();
                stage.start_orchestrators();
            })
        },
        ..PLAIN
    },
    Fault {
        name: "the leader's wall clock an hour forward, then an hour back",
        expected: "it goes on leading; changes are taken all the while",
        setup: Setup {
            clock: Some(Clocked::Leader),
            ..NOTHING.setup
        },
        holds: seconds(4, 15),
        breaks: |stage| Box::pin(async move { set_clock(stage, 3600) }),
        during: |stage| {
            Box::pin(async move {
                stage.takes_changes("forward").await;
                set_clock(stage, -3600);
                stage.takes_changes("back").await;
                assert_eq!(stage.leading().await, Some(stage.leader), "it leads on");
            })
        },
        heals: |stage| Box::pin(async move { set_clock(stage, 0) }),
        ..PLAIN
    },
];

fn set_clock(stage: &Stage, seconds: i32) {
    let clock = stage.orchestrators[0].clock.as_ref();
    clock.expect("it goes by one that can be set").set(seconds);
}

impl Stage {
    fn kill_orchestrators(&mut self) {
        for orchestrator in &mut self.orchestrators {
            orchestrator.kill();
        }
    }

    /// Starts those that were killed.
    fn start_orchestrators(&mut self) {
        let killed = self.orchestrators.iter_mut().filter(|it| !it.is_running());
        killed.for_each(crate::member::Member::start);
    }

    fn signal_leader(&self, signal: &str) {
        self.orchestrators[self.leader].signal(signal);
    }

    fn signal_orchestrators(&self, signal: &str) {
        self.orchestrators.iter().for_each(|it| it.signal(signal));
    }
}
