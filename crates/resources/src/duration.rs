//! Spans of time, as the two APIs write them.

use std::time::Duration as Span;

use serde::Deserialize;

/// A span of time as Go writes it, `1.5s` or `1m30s`: what the mesh's own kinds have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("pattern" = r"^([+]?([0-9]+([.][0-9]*)?|[.][0-9]+)(h|m|s|ms|us|µs|ns))+$|^0$", "maxLength" = 64)))]
#[serde(try_from = "String")]
pub struct Duration(
    /// How long.
    pub Span,
);

/// A span of time as the Gateway API writes it (GEP-2257), `1m30s`: whole numbers, at most four of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Deserialize)]
#[serde(try_from = "String")]
pub struct GatewayDuration(
    /// How long.
    pub Span,
);

/// What is no span of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Not a number and a unit, one or several times.
    #[error("{text:?} is not a duration: a number with its unit is expected, like 1.5s, 250ms or 1m30s")]
    Form {
        /// What is there.
        text: String,
    },
    /// Not of the narrower form.
    #[error(
        "{text:?} is not a duration of the Gateway API: whole numbers of at most five digits with h, m, s or ms, at most four of them, like 1m30s"
    )]
    GatewayForm {
        /// What is there.
        text: String,
    },
    /// It would have to have happened already.
    #[error("{text:?} is negative")]
    Negative {
        /// What is there.
        text: String,
    },
    /// Longer than the field's own limit, ten thousand years.
    #[error("{text:?} is too long")]
    TooLong {
        /// What is there.
        text: String,
    },
}

impl TryFrom<String> for Duration {
    type Error = DurationError;

    fn try_from(text: String) -> Result<Self, DurationError> {
        let mut rest = text.strip_prefix('+').unwrap_or(&text);
        if rest.starts_with('-') {
            return Err(DurationError::Negative { text });
        }
        let mut nanos = 0u128;
        while let Some((term, after)) = term(rest) {
            nanos = nanos.saturating_add(term);
            rest = after;
        }
        if !rest.is_empty() || text.len() > MAX_TEXT || !text.bytes().any(|b| b.is_ascii_digit()) {
            return Err(DurationError::Form { text });
        }
        match u64::try_from(nanos / NANOS) {
            Ok(seconds) if seconds <= MAX_SECONDS => {
                Ok(Self(Span::from_secs(seconds) + Span::from_nanos_u128(nanos % NANOS)))
            }
            _ => Err(DurationError::TooLong { text }),
        }
    }
}

impl TryFrom<String> for GatewayDuration {
    type Error = DurationError;

    fn try_from(text: String) -> Result<Self, DurationError> {
        let mut rest = text.as_str();
        let mut terms = 0;
        let mut millis = 0;
        while let Some((number, after)) = whole_number(rest) {
            let Some((unit, after)) =
                GATEWAY_UNITS.iter().find_map(|(name, unit)| Some((unit, after.strip_prefix(name)?)))
            else {
                break;
            };
            millis += number * unit;
            terms += 1;
            rest = after;
        }
        if rest.is_empty() && (1..=4).contains(&terms) {
            Ok(Self(Span::from_millis(millis)))
        } else {
            Err(DurationError::GatewayForm { text })
        }
    }
}

/// The field's limit of a duration: ten thousand years.
const MAX_SECONDS: u64 = 315_576_000_000;
const NANOS: u128 = 1_000_000_000;
const MAX_TEXT: usize = 64;

/// Units, those that begin like others first.
const UNITS: [(&str, u128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", NANOS),
    ("m", 60 * NANOS),
    ("h", 3600 * NANOS),
];
const GATEWAY_UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];

/// The nanoseconds of a number with its unit, and what is after it. Only zero needs no unit.
fn term(text: &str) -> Option<(u128, &str)> {
    let (whole, after) = digits(text);
    let (fraction, after) = after.strip_prefix('.').map_or(("", after), digits);
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let unit = UNITS.iter().find_map(|(name, unit)| Some((*unit, after.strip_prefix(name)?)));
    let (unit, after) = match unit {
        Some(found) => found,
        None if text == "0" => (0, after),
        None => return None,
    };
    // What is finer than a nanosecond is nothing: 13 digits do for hours.
    let fraction = fraction.get(..13).unwrap_or(fraction);
    let scale = u32::try_from(fraction.len()).map_or(1, |len| 10u128.pow(len));
    let part = fraction.parse().unwrap_or(0u128) * unit / scale;
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().unwrap_or(u128::MAX) };
    Some((whole.saturating_mul(unit).saturating_add(part), after))
}

fn whole_number(text: &str) -> Option<(u64, &str)> {
    let (number, after) = digits(text);
    if number.len() > 5 {
        return None;
    }
    Some((number.parse().ok()?, after))
}

/// The digits a text begins with, and what is after them.
fn digits(text: &str) -> (&str, &str) {
    let end = text.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_those_of_go() {
        for (text, expected) in [
            ("1.5s", Some(1_500_000)),
            ("0s", Some(0)),
            ("0", Some(0)),
            ("+1s", Some(1_000_000)),
            (".5s", Some(500_000)),
            ("1.s", Some(1_000_000)),
            ("250ms", Some(250_000)),
            ("1m30s", Some(90_000_000)),
            ("2h45m30.5s", Some(9_930_500_000)),
            ("10us", Some(10)),
            ("10µs", Some(10)),
            ("1.00000000000000000000000001s", Some(1_000_000)),
            ("", None),
            ("5", None),
            ("00", None),
            ("s", None),
            (".s", None),
            ("1 s", None),
            ("1s ", None),
            ("1sec", None),
            ("1d", None),
            ("1s2", None),
            ("-1s", None),
            ("1e3s", None),
            ("99999999999999999999999999999999999999999999999s", None),
            ("87660000001h", None),
        ] {
            let found = Duration::try_from(text.to_owned());
            assert_eq!(found.clone().ok().map(|span| span.0.as_micros()), expected, "{text:?}: {found:?}");
        }
    }

    #[test]
    fn durations_of_the_gateway_api_are_whole_numbers() {
        for (text, expected) in [
            ("1m30s", Some(90_000)),
            ("0s", Some(0)),
            ("99999h", Some(359_996_400_000)),
            ("1h1m1s1ms", Some(3_661_001)),
            ("1h1m1s1ms1ms", None),
            ("100000s", None),
            ("1.5s", None),
            ("5", None),
            ("", None),
            ("1us", None),
            ("-1s", None),
        ] {
            let found = GatewayDuration::try_from(text.to_owned());
            assert_eq!(found.clone().ok().map(|span| span.0.as_millis()), expected, "{text:?}: {found:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, expected) in [
            ("5", r#""5" is not a duration: a number with its unit is expected, like 1.5s, 250ms or 1m30s"#),
            ("-5s", r#""-5s" is negative"#),
            ("99999999999999h", r#""99999999999999h" is too long"#),
        ] {
            assert_eq!(
                Duration::try_from(text.to_owned()).map_err(|error| error.to_string()),
                Err(expected.to_owned())
            );
        }
    }
}
