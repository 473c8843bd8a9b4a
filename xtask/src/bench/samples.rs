//! All that was measured, by measure and contender.

use std::collections::BTreeMap;

use anyhow::Result;

use super::measure::Measure;
use super::stage::{Contender, Kind};

/// The values of all rounds.
#[derive(Debug, Default)]
pub(super) struct Samples {
    values: BTreeMap<(&'static str, Kind), Vec<f64>>,
    failures: BTreeMap<Kind, u64>,
}

impl Samples {
    pub(super) fn add(&mut self, measure: &Measure, kind: Kind, value: f64) {
        self.values.entry((measure.name, kind)).or_default().push(value);
    }

    /// Adds what `look` finds in the process of a contender where it finds most; nothing for one
    /// without processes.
    pub(super) fn add_largest(
        &mut self,
        measure: &Measure,
        contender: &Contender,
        look: fn(u32) -> Result<f64>,
    ) -> Result<()> {
        if !contender.proxies.is_empty() {
            self.add(measure, contender.kind, contender.largest(look)?);
        }
        Ok(())
    }

    /// Counts requests that got no answer, or not the right one.
    pub(super) fn add_failures(&mut self, kind: Kind, count: u64) {
        *self.failures.entry(kind).or_default() += count;
    }

    /// Requests that failed, by contender.
    pub(super) fn failures(&self, kind: Kind) -> u64 {
        self.failures.get(&kind).copied().unwrap_or_default()
    }

    /// The values of all rounds, in order.
    pub(super) fn of(&self, measure: &Measure, kind: Kind) -> &[f64] {
        self.values.get(&(measure.name, kind)).map_or(&[], Vec::as_slice)
    }

    /// The median of all rounds, if it was measured at all.
    pub(super) fn median(&self, measure: &Measure, kind: Kind) -> Option<f64> {
        median(self.of(measure, kind))
    }
}

/// The value in the middle, or between the two there.
pub(super) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    let lower = *sorted.get(sorted.len().saturating_sub(1) / 2)?;
    Some(f64::midpoint(lower, upper))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::measure::THROUGHPUT_1;

    #[test]
    fn the_median_is_of_the_sorted_values() {
        for (values, expected) in [
            (vec![], None),
            (vec![3.0], Some(3.0)),
            (vec![9.0, 1.0, 5.0], Some(5.0)),
            (vec![4.0, 1.0, 2.0, 100.0], Some(3.0)),
        ] {
            let mut samples = Samples::default();
            values.iter().for_each(|value| samples.add(&THROUGHPUT_1, Kind::Mesh, *value));
            assert_eq!(samples.median(&THROUGHPUT_1, Kind::Mesh), expected, "{values:?}");
            assert_eq!(samples.median(&THROUGHPUT_1, Kind::NoMesh), None);
        }
    }
}
