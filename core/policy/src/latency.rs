//! A server's latency as a peak EWMA: it jumps up with one slow answer, and decays with time rather than with the number of answers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// After so long a peak counts for 1/e of what it was.
const DECAY: f64 = 10_000.0;

/// An estimate in one word that threads share: when it was made, in milliseconds modulo 2^32, and a float of microseconds. Zero where
/// there is none.
#[derive(Debug, Default)]
pub(crate) struct Latency(AtomicU64);

impl Latency {
    /// What an answer is expected to take, in microseconds; nothing where there was none yet.
    pub(crate) fn micros(&self, now: Duration) -> Option<f64> {
        decayed(self.0.load(Ordering::Relaxed), millis(now))
    }

    /// Takes in how long an answer took.
    pub(crate) fn observe(&self, took: Duration, now: Duration) {
        self.mix_in(now, |_| took.as_secs_f64() * 1e6);
    }

    /// Takes in a failure. One that comes fast must not look like a fast answer, so it counts as one that took twice as long as is
    /// expected.
    pub(crate) fn observe_failure(&self, took: Duration, now: Duration) {
        self.mix_in(now, |expected| {
            (took.as_secs_f64() * 1e6).max(2.0 * expected)
        });
    }

    fn mix_in(&self, now: Duration, micros: impl Fn(f64) -> f64) {
        let now = millis(now);
        let mixed = |word: u64| {
            let expected = decayed(word, now).unwrap_or(0.0);
            let micros = micros(expected).max(1.0);
            let kept = keeps(word, now);
            let mixed = if micros >= expected {
                micros
            } else {
                expected + micros * (1.0 - kept)
            };
            Some(u64::from(now) << 32 | u64::from((mixed as f32).to_bits()))
        };
        // It never fails, since there is always something to write.
        let _ = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, mixed);
    }
}

/// What is left of an estimate by now.
fn decayed(word: u64, now: u32) -> Option<f64> {
    (word != 0).then(|| f64::from(f32::from_bits(word as u32)) * keeps(word, now))
}

/// The share of an estimate that is left by now. Threads' clocks differ by a tick: one that is ahead has no effect.
fn keeps(word: u64, now: u32) -> f64 {
    let age = now.wrapping_sub((word >> 32) as u32);
    let age = if age > u32::MAX / 2 { 0 } else { age };
    (-f64::from(age) / DECAY).exp()
}

fn millis(time: Duration) -> u32 {
    time.as_millis() as u32
}
