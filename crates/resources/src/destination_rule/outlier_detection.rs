//! When an endpoint is left alone for a time.

use serde::Deserialize;

use crate::Duration;

/// When an endpoint is left alone for a time. A count of zero turns that cause off.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct OutlierDetection {
    /// The old spelling of `consecutiveGatewayErrors`.
    pub consecutive_errors: Option<u32>,
    /// Whether errors of our own making, such as a connection refused, are counted apart.
    pub split_external_local_origin_errors: bool,
    /// How many of these in a row.
    pub consecutive_local_origin_failures: Option<u32>,
    /// How many 502, 503 and 504 in a row.
    pub consecutive_gateway_errors: Option<u32>,
    /// How many 5xx in a row; 5 unless it is given.
    #[serde(rename = "consecutive5xxErrors")]
    pub consecutive_5xx_errors: Option<u32>,
    /// How often it is judged; 10s unless it is given.
    pub interval: Option<Duration>,
    /// For how long the first time; 30s unless it is given.
    pub base_ejection_time: Option<Duration>,
    /// How many of a host's endpoints at most, in per cent; 10 unless it is given.
    pub max_ejection_percent: Option<u32>,
    /// With fewer than this share of endpoints healthy, all are used.
    pub min_health_percent: Option<u32>,
    /// The statuses that count as errors, in the place of 5xx.
    pub outlier_detection_http_error_codes: Vec<u32>,
}
