//! The metrics endpoint.

use std::sync::Arc;

use ::http::request::Parts;
use ::http::{HeaderValue, Method, StatusCode, header};
use ambit_telemetry::{Metrics, content_type};

use crate::http::{Reply, Routes, text};

/// `/metrics`, and `/stats/prometheus` for those who know it by that name.
#[must_use]
pub fn routes(metrics: Arc<Metrics>) -> Routes {
    let same = Arc::clone(&metrics);
    Routes::default()
        .add(Method::GET, "/metrics", "metrics for Prometheus", move |request| answer(&metrics, request))
        .add(Method::GET, "/stats/prometheus", "the same", move |request| answer(&same, request))
}

fn answer(metrics: &Metrics, request: &Parts) -> Reply {
    let accept = request.headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match metrics.encode() {
        Ok(metrics) => {
            let mut reply = text(StatusCode::OK, metrics);
            reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type(accept)));
            reply
        }
        Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "a metric could not be written\n"),
    }
}
