//! How evenly probes come: how far from its interval each server's next probe is, and how many come at once.

use std::time::Duration;

use super::super::findings::{Figure, Section};
use super::super::servers::Probe;
use super::super::{Error, ms};

/// What each server's probes are apart.
const INTERVAL: Duration = Duration::from_secs(2);

/// Probes within so long count as coming at once.
const SLOT: Duration = Duration::from_millis(10);

/// The probes of some time.
#[derive(Debug, PartialEq)]
pub(super) struct Evenness {
    /// How far each gap is from the interval, in milliseconds.
    deviations_ms: Vec<f64>,
    /// How many came in each slot, over the whole time.
    slots: Vec<f64>,
}

impl Evenness {
    /// Of probes in the order in which they came, within a time from the beginning of the recording.
    pub(super) fn of(probes: &[Probe], length: Duration) -> Self {
        let slot_of = |at: Duration| (at.as_nanos() / SLOT.as_nanos()) as usize;
        let mut slots = vec![0.0; slot_of(length)];
        let servers = probes.iter().map(|probe| probe.server + 1).max();
        let mut last: Vec<Option<Duration>> = vec![None; servers.unwrap_or(0)];
        let mut deviations_ms = Vec::new();
        for probe in probes {
            if let Some(slot) = slots.get_mut(slot_of(probe.at)) {
                *slot += 1.0;
            }
            if let Some(before) = last[probe.server].replace(probe.at) {
                deviations_ms.push(ms((probe.at - before).abs_diff(INTERVAL)));
            }
        }
        Self {
            deviations_ms,
            slots,
        }
    }

    pub(super) fn add_to(&self, section: &mut Section) -> Result<(), Error> {
        let what = "how far a server's next probe is from 2 s";
        section.add_spread(what, &self.deviations_ms, [None, None])?;
        let mean = self.slots.iter().sum::<f64>() / self.slots.len().max(1) as f64;
        let most = self.slots.iter().copied().fold(0.0, f64::max);
        let what = "probes in 10 ms";
        section.add(Figure::new(format!("{what}, in the mean"), mean, ""));
        section.add(Figure::new(
            format!(
                "{what}, standard deviation (of chance alone: {:.1})",
                mean.sqrt()
            ),
            self.deviation(mean),
            "",
        ));
        section.add(Figure::new(format!("{what}, at most"), most, ""));
        Ok(())
    }

    /// The standard deviation of the slots' counts.
    fn deviation(&self, mean: f64) -> f64 {
        let squares = self.slots.iter().map(|count| (count - mean).powi(2));
        (squares.sum::<f64>() / self.slots.len().max(1) as f64).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(server: usize, millis: u64) -> Probe {
        Probe {
            server,
            at: Duration::from_millis(millis),
        }
    }

    #[test]
    fn gaps_are_of_each_server_and_either_side_of_the_interval_counts() {
        let probes = [
            probe(1, 0),
            probe(0, 100),
            probe(1, 1900),
            probe(0, 2100),
            probe(1, 4000),
        ];
        let evenness = Evenness::of(&probes, Duration::from_secs(5));
        assert_eq!(evenness.deviations_ms, [100.0, 0.0, 100.0]);
    }

    #[test]
    fn slots_in_which_nothing_came_count_too_and_one_that_is_not_over_does_not() {
        let probes = [probe(0, 1), probe(1, 9), probe(2, 25), probe(3, 41)];
        let evenness = Evenness::of(&probes, Duration::from_millis(42));
        assert_eq!(evenness.slots, [2.0, 0.0, 1.0, 0.0]);
        assert!((evenness.deviation(0.75) - 0.6875_f64.sqrt()).abs() < 1e-9);
    }

    #[test]
    fn of_no_probes_nothing_is_said() {
        let evenness = Evenness::of(&[], Duration::ZERO);
        let mut section = Section::new("", "");
        evenness.add_to(&mut section).expect_err("no gaps");
    }
}
