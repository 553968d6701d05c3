//! The token buckets of limits: many in one call of a script.

use async_trait::async_trait;

use super::Redis;
use crate::{Metering, RegistryError, Take, Taken};

#[async_trait]
impl Metering for Redis {
    async fn take(&self, takes: &[Take]) -> Result<Vec<Taken>, RegistryError> {
        if takes.is_empty() {
            return Ok(Vec::new());
        }
        let mut script = self.scripts.take.prepare_invoke();
        for take in takes {
            script.key(self.keys.bucket(&take.bucket));
            script.arg(take.interval.as_secs_f64() * 1e6);
            script.arg(take.capacity).arg(take.spent).arg(take.wanted);
        }
        let read = |words: Vec<String>| read(&words, takes.len());
        let operation = "taking tokens of limits";
        self.link.ask_and_read(operation, &script, read).await
    }
}

fn read(words: &[String], takes: usize) -> Result<Vec<Taken>, String> {
    let taken = words.chunks(2).map(|pair| {
        let [granted, level] = pair else {
            return None;
        };
        let granted = granted.parse().ok()?;
        let level = level.parse().ok()?;
        Some(Taken { granted, level })
    });
    let taken: Option<Vec<_>> = taken.collect();
    let whole = taken.filter(|taken| taken.len() == takes);
    whole.ok_or_else(|| format!("{} words for {takes} buckets", words.len()))
}
