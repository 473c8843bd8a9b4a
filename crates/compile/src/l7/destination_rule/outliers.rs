//! When an endpoint is left alone for a time.

use std::time::Duration;

use ambit_l7::OutlierDetection;
use ambit_resources::destination_rule as written;
use http::StatusCode;

use crate::l7::L7Problem;
use crate::l7::at::At;
use crate::l7::cx::Cx;
use crate::l7::text::status;

pub(super) fn detection(written: &written::OutlierDetection, at: &At<'_>, cx: &mut Cx<'_>) -> OutlierDetection {
    if written.consecutive_errors.is_some() && written.consecutive_gateway_errors.is_some() {
        cx.error(&at.field("consecutiveErrors"), L7Problem::Exclusive { other: "consecutiveGatewayErrors" });
    }
    if written.consecutive_local_origin_failures.is_some() && !written.split_external_local_origin_errors {
        let reason = "without splitExternalLocalOriginErrors they count as 5xx";
        cx.warning(&at.field("consecutiveLocalOriginFailures"), L7Problem::NoEffect { reason });
    }
    let time = |time: Option<ambit_resources::Duration>, default| time.map_or(default, |time| time.0);
    OutlierDetection {
        split_local_errors: written.split_external_local_origin_errors,
        consecutive_local: written.consecutive_local_origin_failures.unwrap_or(DEFAULT_ERRORS),
        // None unless it is asked for; the old spelling meant these.
        consecutive_gateway: written.consecutive_gateway_errors.or(written.consecutive_errors).unwrap_or(0),
        consecutive_5xx: written.consecutive_5xx_errors.unwrap_or(DEFAULT_ERRORS),
        error_codes: codes(&written.outlier_detection_http_error_codes, at, cx),
        interval: positive(time(written.interval, DEFAULT_INTERVAL), &at.field("interval"), cx),
        base_ejection: positive(time(written.base_ejection_time, DEFAULT_EJECTION), &at.field("baseEjectionTime"), cx),
        max_ejection_percent: percent(written.max_ejection_percent, 10, &at.field("maxEjectionPercent"), cx),
        min_health_percent: percent(written.min_health_percent, 0, &at.field("minHealthPercent"), cx),
    }
}

fn codes(written: &[u32], at: &At<'_>, cx: &mut Cx<'_>) -> Vec<StatusCode> {
    let list = at.field("outlierDetectionHttpErrorCodes");
    written.iter().enumerate().filter_map(|(i, code)| status(*code, 100, &list.index(i), cx)).collect()
}

fn positive(time: Duration, at: &At<'_>, cx: &mut Cx<'_>) -> Duration {
    if time < Duration::from_millis(1) {
        cx.error(at, L7Problem::TooShort { least: "1ms" });
    }
    time
}

fn percent(written: Option<u32>, default: u8, at: &At<'_>, cx: &mut Cx<'_>) -> u8 {
    let Some(percent) = written else { return default };
    u8::try_from(percent).ok().filter(|percent| *percent <= 100).unwrap_or_else(|| {
        cx.error(at, L7Problem::Range { value: percent.into(), least: 0, most: 100 });
        default
    })
}

/// The field's defaults.
const DEFAULT_ERRORS: u32 = 5;
const DEFAULT_INTERVAL: Duration = Duration::from_secs(10);
const DEFAULT_EJECTION: Duration = Duration::from_secs(30);
