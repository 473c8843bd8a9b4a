//! Shares and other fractions.

use serde::Deserialize;

/// A share of a hundred, kept as exactly as it can be drawn: in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("minimum" = 0, "maximum" = 100)))]
#[serde(try_from = "f64")]
pub struct Percentage {
    millionths: u32,
}

/// The share is not between 0 and 100.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("{found} is not a percentage: a number from 0 to 100 is expected")]
pub struct PercentageError {
    /// What is there.
    found: f64,
}

impl Percentage {
    /// All of it.
    pub const ALL: Self = Self { millionths: 1_000_000 };

    /// Of a million, how many.
    #[must_use]
    pub fn per_million(self) -> u32 {
        self.millionths
    }
}

impl TryFrom<f64> for Percentage {
    type Error = PercentageError;

    fn try_from(found: f64) -> Result<Self, PercentageError> {
        if !(0.0..=100.0).contains(&found) {
            return Err(PercentageError { found });
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 1,000,000")]
        let millionths = (found * 10_000.0).round() as u32;
        Ok(Self { millionths })
    }
}

/// A share in the wrapping of VirtualService.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Percent {
    /// The share.
    pub value: Percentage,
}

/// A number that is neither infinite nor none, so that it equals itself.
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "f64")]
pub struct Finite(f64);

impl Eq for Finite {}

/// Not a number one can reckon with.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("{found} is not a finite number")]
pub struct NotFinite {
    /// What is there.
    found: f64,
}

impl Finite {
    /// The number.
    #[must_use]
    pub fn value(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Finite {
    type Error = NotFinite;

    fn try_from(found: f64) -> Result<Self, NotFinite> {
        if found.is_finite() { Ok(Self(found)) } else { Err(NotFinite { found }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_exact_to_the_millionth() {
        for (found, expected) in
            [(0.0, Some(0)), (0.1, Some(1_000)), (0.0001, Some(1)), (33.3333, Some(333_333)), (100.0, Some(1_000_000))]
                .into_iter()
                .chain([(-0.1, None), (100.1, None), (f64::NAN, None), (f64::INFINITY, None)])
        {
            assert_eq!(Percentage::try_from(found).ok().map(Percentage::per_million), expected, "{found}");
        }
    }

    #[test]
    fn numbers_are_finite() {
        assert_eq!(Finite::try_from(1.5).map(Finite::value), Ok(1.5));
        assert!(Finite::try_from(f64::NAN).is_err());
    }
}
