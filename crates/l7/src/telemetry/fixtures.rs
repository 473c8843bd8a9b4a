//! A request that went wrong, for tests.

use std::time::Duration;

use ambit_model::Identity;
use http::HeaderMap;

use super::Ended;

/// Looks at it.
pub(crate) fn ended<T>(look: impl FnOnce(&Ended<'_>) -> T) -> T {
    let mut request_headers = HeaderMap::new();
    for (name, value) in [("x-a", "1"), ("x-a", "2"), ("user-agent", "curl/8")] {
        request_headers.append(name, value.parse().unwrap());
    }
    let (client, own) = (Identity::new("td", "shop", "cart"), Identity::new("td", "shop", "waypoint"));
    let none = HeaderMap::new();
    look(&Ended {
        began: "2026-01-01T00:00:00.000Z",
        duration: Duration::from_millis(7),
        upstream_time: None,
        method: "GET",
        path: "/a/c?q=1",
        protocol: "HTTP/1.1",
        authority: "reviews:80",
        request_headers: &request_headers,
        response_headers: &none,
        response_trailers: &none,
        status: Some(503),
        grpc_status: None,
        flags: "UH",
        details: "no_healthy_upstream",
        received: 5,
        sent: 19,
        upstream_host: None,
        upstream_cluster: Some("outbound|80||reviews.shop.svc.cluster.local"),
        upstream_failure: None,
        route: None,
        client: ([10, 0, 0, 1], 4711).into(),
        asked: ([10, 96, 0, 1], 80).into(),
        server_name: None,
        client_identity: Some(&client),
        own_identity: &own,
        trace_id: Some("00000000000000000000000000000007"),
    })
}
