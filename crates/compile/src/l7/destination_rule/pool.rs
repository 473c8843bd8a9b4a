//! How many connections and requests there may be.

use std::time::Duration;

use ambit_l7::{ConnectionPool, HttpPool, Keepalive, TcpPool, UpgradePolicy};
use ambit_resources::destination_rule::{self as written, H2UpgradePolicy};

use crate::l7::L7Problem;
use crate::l7::at::At;
use crate::l7::cx::Cx;

pub(super) fn pool(written: &written::ConnectionPool, at: &At<'_>, cx: &mut Cx<'_>) -> ConnectionPool {
    ConnectionPool {
        tcp: written.tcp.as_ref().map(|tcp| tcp_pool(tcp, &at.field("tcp"), cx)).unwrap_or_default(),
        http: written.http.as_ref().map(|http| http_pool(http, &at.field("http"), cx)).unwrap_or_default(),
    }
}

fn tcp_pool(written: &written::TcpSettings, at: &At<'_>, cx: &mut Cx<'_>) -> TcpPool {
    let connect_timeout = at_least(written.connect_timeout, MILLISECOND, &at.field("connectTimeout"), cx);
    let max_duration = at_least(written.max_connection_duration, MILLISECOND, &at.field("maxConnectionDuration"), cx);
    TcpPool {
        max_connections: limit(written.max_connections),
        connect_timeout,
        max_duration,
        idle_timeout: given(written.idle_timeout),
        keepalive: written.tcp_keepalive.as_ref().map(|keepalive| {
            let at = at.field("tcpKeepalive");
            Keepalive {
                probes: limit(keepalive.probes),
                time: at_least(keepalive.time, SECOND, &at.field("time"), cx),
                interval: at_least(keepalive.interval, SECOND, &at.field("interval"), cx),
            }
        }),
    }
}

fn http_pool(written: &written::HttpSettings, at: &At<'_>, cx: &mut Cx<'_>) -> HttpPool {
    let upgrade = match written.h2_upgrade_policy {
        H2UpgradePolicy::Default => UpgradePolicy::Default,
        H2UpgradePolicy::DoNotUpgrade => UpgradePolicy::DoNotUpgrade,
        H2UpgradePolicy::Upgrade => UpgradePolicy::Upgrade,
    };
    if written.use_client_protocol && upgrade == UpgradePolicy::Upgrade {
        cx.error(&at.field("useClientProtocol"), L7Problem::Exclusive { other: "h2UpgradePolicy UPGRADE" });
    }
    if let Some(streams) = written.max_concurrent_streams.filter(|streams| *streams > MAX_STREAMS) {
        let problem = L7Problem::Range { value: streams.into(), least: 1, most: MAX_STREAMS.into() };
        cx.error(&at.field("maxConcurrentStreams"), problem);
    }
    HttpPool {
        max_pending: limit(written.http1_max_pending_requests),
        max_requests: limit(written.http2_max_requests),
        max_requests_per_connection: limit(written.max_requests_per_connection),
        max_retries: limit(written.max_retries),
        idle_timeout: given(written.idle_timeout),
        upgrade,
        use_client_protocol: written.use_client_protocol,
        max_concurrent_streams: limit(written.max_concurrent_streams),
        http2_keepalive: keepalive(written.http2_keep_alive.as_ref(), &at.field("http2KeepAlive"), cx),
    }
}

fn keepalive(written: Option<&written::Http2KeepAlive>, at: &At<'_>, cx: &mut Cx<'_>) -> Option<(Duration, Duration)> {
    let written = written?;
    let interval = at_least(written.interval, MILLISECOND, &at.field("interval"), cx);
    let timeout = at_least(written.timeout, MILLISECOND, &at.field("timeout"), cx);
    if interval.is_none() || timeout.is_none() {
        cx.error(at, L7Problem::Required { what: "interval and timeout" });
    }
    interval.zip(timeout)
}

/// A limit; 0 is none, as in the field.
fn limit(limit: Option<u32>) -> Option<u32> {
    limit.filter(|limit| *limit > 0)
}

/// A time; 0 is none.
fn given(time: Option<ambit_resources::Duration>) -> Option<Duration> {
    time.map(|time| time.0).filter(|time| !time.is_zero())
}

/// A time that must not be shorter than makes sense.
fn at_least(
    time: Option<ambit_resources::Duration>,
    (least, shown): (Duration, &'static str),
    at: &At<'_>,
    cx: &mut Cx<'_>,
) -> Option<Duration> {
    let time = time?.0;
    if time < least {
        cx.error(at, L7Problem::TooShort { least: shown });
    }
    Some(time)
}

const MILLISECOND: (Duration, &str) = (Duration::from_millis(1), "1ms");
/// The kernel counts keep-alive in seconds.
const SECOND: (Duration, &str) = (Duration::from_secs(1), "1s");
/// RFC 9113, section 5.1.1.
const MAX_STREAMS: u32 = (1 << 31) - 1;
