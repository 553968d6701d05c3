//! The order in which a fleet in one process ends.

use std::time::Duration;

use runtime::{Supervisor, complain};
use tokio_util::sync::CancellationToken;

/// How long each stage may take to end.
const STAGE: Duration = Duration::from_secs(40);

/// How long all of them may take, one after another: more than they take, so that it is said which one did not end.
pub(super) const ALL: Duration = Duration::from_secs(3 * STAGE.as_secs() + 5);

/// What ends together, in the order of ending.
#[derive(Clone, Default)]
pub(super) struct Stages {
    pub(super) balancers: Supervisor,
    pub(super) servers: Supervisor,
    pub(super) control: Supervisor,
}

impl Stages {
    /// Ends them in order when `stop` fires. Where one ends by itself this ends too, which ends the process.
    pub(super) async fn run(self, stop: CancellationToken) {
        let stages = [self.balancers, self.servers, self.control];
        tokio::select! {
            () = stop.cancelled() => {}
            () = stages[0].stop_token().cancelled_owned() => {}
            () = stages[1].stop_token().cancelled_owned() => {}
            () = stages[2].stop_token().cancelled_owned() => {}
        }
        for stage in &stages {
            stage.request_stop();
            if let Err(unfinished) = stage.finished(STAGE).await {
                complain(format_args!("ended with this {unfinished}"));
            }
        }
    }
}
