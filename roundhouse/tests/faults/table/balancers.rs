//! The balancers, and what they keep on disk.

use std::fs::{self, OpenOptions};
use std::io::Write;

use super::{Fault, NOTHING, Part, seconds};
use crate::shared::eventually;
use crate::stage::{Clocked, Setup, Stage};

const ITS_OWN: Option<&str> = Some("its own clients', while it is away");

/// What fills the small disk.
const FILLER: &str = "filler";

const PLAIN: Fault = Fault {
    parts: &[Part::Balancers],
    ..NOTHING
};

pub(crate) const BALANCERS: &[Fault] = &[
    Fault {
        name: "a balancer killed and started again",
        expected: "the others serve; it begins with the present table",
        breaks: |stage| Box::pin(async move { stage.kill_balancer(0) }),
        heals: |stage| Box::pin(stage.restart_balancer(0)),
        failures: ITS_OWN,
        ..PLAIN
    },
    Fault {
        name: "a balancer killed, and started while Redis is down",
        expected: "it serves from its own disk until Redis is back",
        parts: &[Part::Balancers, Part::Redis],
        breaks: |stage| {
            Box::pin(async move {
                stage.redis().kill();
                stage.kill_balancer(0);
                stage.restart_balancer(0).await;
            })
        },
        heals: |stage| Box::pin(async move { stage.redis().restart() }),
        failures: ITS_OWN,
        ..PLAIN
    },
    Fault {
        name: "a balancer started with a half-written state file",
        expected: "it says so, and begins with what the registry holds",
        breaks: |stage| {
            Box::pin(async move {
                stage.kill_balancer(0);
                stage.cut_state_file();
                stage.restart_balancer(0).await;
            })
        },
        during: |stage| Box::pin(stage.first_says("damaged or incomplete")),
        failures: ITS_OWN,
        ..PLAIN
    },
    Fault {
        name: "the disk full under a balancer's state file",
        expected: "it says so and serves on; the file is written once there is room",
        setup: Setup {
            small_disk: true,
            ..NOTHING.setup
        },
        breaks: |stage| Box::pin(async move { stage.fill_disk() }),
        again: Some(|stage| Box::pin(async move { stage.fill_disk() })),
        during: |stage| Box::pin(stage.first_says("cannot be written")),
        heals: |stage| Box::pin(async move { stage.empty_disk() }),
        ..PLAIN
    },
    Fault {
        name: "a balancer's wall clock an hour forward, then an hour back",
        expected: "it serves and follows as if nothing were",
        setup: Setup {
            clock: Some(Clocked::Balancer),
            ..NOTHING.setup
        },
        holds: seconds(4, 15),
        breaks: |stage| Box::pin(async move { set_clock(stage, 3600) }),
        during: |stage| {
            Box::pin(async move {
                stage.takes_changes("forward").await;
                set_clock(stage, -3600);
                stage.takes_changes("back").await;
            })
        },
        heals: |stage| Box::pin(async move { set_clock(stage, 0) }),
        ..PLAIN
    },
];

fn set_clock(stage: &Stage, seconds: i32) {
    let clock = stage.balancers[0].clock.as_ref();
    clock.expect("it goes by one that can be set").set(seconds);
}

impl Stage {
    /// Leaves the first half of the first balancer's state file, as may be left where a machine loses power and its disk had promised
    /// too much.
    fn cut_state_file(&self) {
        let file = self.balancers[0].state_file();
        let whole = fs::read(&file).expect("a state file");
        fs::write(&file, &whole[..whole.len() / 2]).expect("a file");
    }

    /// Takes what room there is: a file that was being replaced may have given some back.
    fn fill_disk(&self) {
        let filler = self.balancers[0].state_folder().join(FILLER);
        let filler = OpenOptions::new().create(true).append(true).open(filler);
        let mut filler = filler.expect("the disk is there");
        let full = filler.write_all(&vec![0; 1 << 20]);
        full.expect_err("the disk is smaller than that");
    }

    fn empty_disk(&self) {
        let filler = self.balancers[0].state_folder().join(FILLER);
        fs::remove_file(filler).expect("it was there");
    }

    /// Waits until the first balancer has said these words.
    async fn first_says(&mut self, words: &str) {
        eventually(&format!("the balancer says: {words}"), || async {
            self.balancers[0].errors().contains(words)
        })
        .await;
    }
}
