//! Expressions on requests and formats of access logs, as users write them: whatever is accepted comes to something,
//! and to the same twice.

#![no_main]

use std::time::Duration;

use ambit_l7::telemetry::{Ended, Expression, Format};
use ambit_model::Identity;
use http::HeaderMap;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let identity = Identity::new("td", "shop", "cart");
    let headers = HeaderMap::new();
    let ended = Ended {
        began: "2026-01-01T00:00:00.000Z",
        duration: Duration::from_millis(7),
        upstream_time: None,
        method: "GET",
        path: "/a?b=c",
        protocol: "HTTP/1.1",
        authority: "web",
        request_headers: &headers,
        response_headers: &headers,
        response_trailers: &headers,
        status: Some(200),
        grpc_status: None,
        flags: "-",
        details: "via_upstream",
        received: 1,
        sent: 2,
        upstream_host: None,
        upstream_cluster: None,
        upstream_failure: None,
        route: None,
        client: ([10, 0, 0, 1], 1).into(),
        asked: ([10, 96, 0, 1], 80).into(),
        server_name: None,
        client_identity: Some(&identity),
        own_identity: &identity,
        trace_id: None,
    };
    if let Ok(expression) = Expression::parse(text) {
        let said = expression.text(&ended);
        assert!(!expression.holds(&ended) || said.as_deref() == Some("true"));
        assert_eq!(said, expression.text(&ended));
    }
    if let Ok(format) = Format::parse(text) {
        assert_eq!(format.text(&ended), format.text(&ended));
    }
});
