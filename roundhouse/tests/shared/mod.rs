//! What the tests of real processes share: the processes, an HTTP client, and waiting for a condition.

pub(crate) mod http;
pub(crate) mod process;

use std::time::{Duration, Instant};

/// How long anything may take before a test gives up. Generous: the machines are shared.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// Waits until a condition holds.
pub(crate) async fn eventually<F: Future<Output = bool>>(
    what: &str,
    mut condition: impl FnMut() -> F,
) {
    let deadline = Instant::now() + DEADLINE;
    while !condition().await {
        assert!(Instant::now() < deadline, "it never came true that {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
