//! Counting what passed.

use std::{
    iter::Sum,
    ops::{Add, AddAssign},
};

/// How many tests passed and failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u32,
    pub(crate) failed: u32,
}

impl Tally {
    pub(crate) const PASSED: Self = Self { passed: 1, failed: 0 };
    pub(crate) const FAILED: Self = Self { passed: 0, failed: 1 };

    /// One test of its own.
    pub(crate) fn one(passed: bool) -> Self {
        if passed { Self::PASSED } else { Self::FAILED }
    }

    /// What a line of a test program's output adds. An ignored test was not tried, so it counts as failed.
    pub(super) fn of_line(line: &str) -> Self {
        let Some(counts) = line.strip_prefix("test result: ") else { return Self::default() };
        let count = |what: &str| {
            let number = counts.split([';', '.']).find_map(|part| part.trim().strip_suffix(what));
            number.and_then(|number| number.trim().parse::<u32>().ok()).unwrap_or_default()
        };
        Self { passed: count(" passed"), failed: count(" failed") + count(" ignored") }
    }
}

impl Add for Tally {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { passed: self.passed + other.passed, failed: self.failed + other.failed }
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Tally {
    fn sum<I: Iterator<Item = Self>>(tallies: I) -> Self {
        tallies.fold(Self::default(), Add::add)
    }
}

#[cfg(test)]
mod tests {
    use super::Tally;

    #[test]
    fn results_of_test_programs_are_summed_and_other_lines_are_not() {
        let output = "\
running 3 tests
test a ... ok
test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
test result: FAILED. 10 passed; 2 failed; 1 ignored; 0 measured; 4 filtered out; finished in 1.50s
  test result: ok. 99 passed; 0 failed (printed by a test)
";
        let sum: Tally = output.lines().map(Tally::of_line).sum();
        assert_eq!(sum, Tally { passed: 13, failed: 3 });
    }
}
