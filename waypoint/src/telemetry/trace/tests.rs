use ambit_l7::telemetry::{Collector, CollectorProtocol};
use rand::SeedableRng as _;
use rand::rngs::SmallRng;

use super::*;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";

fn tracing(contexts: Contexts, sampling: u32) -> Tracing {
    let protocol = CollectorProtocol::Zipkin("/".into());
    let timeout = std::time::Duration::from_secs(1);
    Tracing {
        collector: Collector { host: "c".into(), port: 1, protocol, timeout, headers: Vec::new() }.into(),
        contexts,
        sampling,
        by_request_id: true,
        report: true,
        propagate: true,
        tags: Vec::new(),
        istio_tags: false,
        max_url_length: 256,
        short_ids: false,
    }
}

fn headers(all: &[(&'static str, &str)]) -> HeaderMap {
    all.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
}

fn begin(tracing: &Tracing, headers: &mut HeaderMap) -> Trace {
    Trace::begin(tracing, headers, &mut SmallRng::seed_from_u64(1))
}

#[test]
fn a_context_that_came_goes_on_with_its_decision() {
    let w3c = |flags: &str| vec![("traceparent", format!("00-{TRACE}-{SPAN}-{flags}"))];
    let single = |said: &str| vec![("b3", format!("{TRACE}-{SPAN}-{said}"))];
    let multi = |sampled: &str| {
        let ids = [("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN), ("x-b3-sampled", sampled)];
        ids.map(|(name, value)| (name, value.to_owned())).to_vec()
    };
    for (contexts, came, is_sampled, name, expected) in [
        (Contexts::W3c, w3c("01"), true, "traceparent", format!("00-{TRACE}-CLIENT-01")),
        (Contexts::W3c, w3c("00"), false, "traceparent", format!("00-{TRACE}-CLIENT-00")),
        (Contexts::B3, single("1"), true, "b3", format!("{TRACE}-CLIENT-1-SERVER")),
        (Contexts::B3, single("d"), true, "b3", format!("{TRACE}-CLIENT-d-SERVER")),
        (Contexts::B3, multi("0"), false, "x-b3-sampled", "0".to_owned()),
        (Contexts::B3, multi("1"), true, "x-b3-spanid", "CLIENT".to_owned()),
        (Contexts::B3, multi("1"), true, "x-b3-parentspanid", "SERVER".to_owned()),
        (Contexts::Both, w3c("01"), true, "x-b3-traceid", TRACE.to_owned()),
        (Contexts::Both, multi("1"), true, "traceparent", format!("00-{TRACE}-CLIENT-01")),
    ] {
        let came: Vec<_> = came.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let mut headers = headers(&came);
        let trace = begin(&tracing(contexts, 0), &mut headers);
        assert_eq!((trace.is_sampled(), trace.id().as_str()), (is_sampled, TRACE), "{came:?}");
        assert_eq!(trace.parent.map(|parent| format!("{parent:016x}")).as_deref(), Some(SPAN));
        let of = |id: NonZeroU64| format!("{id:016x}");
        let expected = expected.replace("CLIENT", &of(trace.client)).replace("SERVER", &of(trace.server));
        assert_eq!(headers.get(name).and_then(|value| value.to_str().ok()), Some(expected.as_str()), "{came:?}");
    }
}

#[test]
fn a_decision_is_made_by_the_requests_id_and_written_into_it() {
    for (id, sampling, expected) in [
        // 0x270 is 624 of 10,000.
        ("00000270-0000-4000-8000-000000000000", 62_500, true),
        ("00000270-0000-4000-8000-000000000000", 62_400, false),
        ("00000270-0000-9000-8000-000000000000", 0, true),
        ("00000270-0000-1000-8000-000000000000", 1_000_000, true),
        ("no-uuid", 1_000_000, true),
        ("no-uuid", 0, false),
    ] {
        let mut headers = headers(&[("x-request-id", id)]);
        let trace = begin(&tracing(Contexts::W3c, sampling), &mut headers);
        assert_eq!(trace.is_sampled(), expected, "{id} {sampling}");
        let said = headers["x-request-id"].to_str().unwrap().chars().nth(REASON);
        assert_eq!(said == Some('9'), expected && id.len() == 36, "{id}");
    }
}

#[test]
fn state_goes_on_with_the_context_it_belongs_to_alone() {
    let parent = format!("00-{TRACE}-{SPAN}-01");
    for (came, stays) in
        [(vec![("traceparent", parent.as_str()), ("tracestate", "a=b")], true), (vec![("tracestate", "a=b")], false)]
    {
        let mut headers = headers(&came);
        begin(&tracing(Contexts::W3c, 0), &mut headers);
        assert_eq!(headers.contains_key("tracestate"), stays, "{came:?}");
    }
    let mut untouched = headers(&[("traceparent", &parent)]);
    begin(&Tracing { propagate: false, ..tracing(Contexts::W3c, 0) }, &mut untouched);
    assert_eq!(untouched["traceparent"], parent);
}
