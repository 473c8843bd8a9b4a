//! Which endpoint is chosen.

use std::sync::Arc;

use ambit_l7::{
    Aggression, ConsistentHash, Cookie, Failover, HashKey, HashRing, LoadBalancing, Locality, LocalityBalancing,
    LocalitySplit, Warmup,
};
use ambit_resources::destination_rule::{self as written, LoadBalancer, LocalityLbSetting, SimpleLb};

use crate::l7::L7Problem;
use crate::l7::at::At;
use crate::l7::cx::Cx;
use crate::l7::text::{header_name, text};

pub(super) fn choice(written: &LoadBalancer, at: &At<'_>, cx: &mut Cx<'_>) -> LoadBalancing {
    if written.simple.is_some() && written.consistent_hash.is_some() {
        cx.error(&at.field("consistentHash"), L7Problem::Exclusive { other: "simple" });
    }
    if let Some(hash) = &written.consistent_hash {
        return consistent_hash(hash, &at.field("consistentHash"), cx)
            .map(LoadBalancing::ConsistentHash)
            .unwrap_or_default();
    }
    match written.simple {
        None | Some(SimpleLb::Unspecified | SimpleLb::LeastConn | SimpleLb::LeastRequest) => {
            LoadBalancing::LeastRequest
        }
        Some(SimpleLb::Random) => LoadBalancing::Random,
        Some(SimpleLb::Passthrough) => LoadBalancing::Passthrough,
        Some(SimpleLb::RoundRobin) => LoadBalancing::RoundRobin,
    }
}

fn consistent_hash(written: &written::ConsistentHash, at: &At<'_>, cx: &mut Cx<'_>) -> Option<ConsistentHash> {
    let header = written.http_header_name.as_deref();
    let header = header.map(|name| header_name(name, &at.field("httpHeaderName"), cx).map(HashKey::Header));
    let cookie = written.http_cookie.as_ref().map(|found| cookie(found, &at.field("httpCookie"), cx));
    let source = (written.use_source_ip == Some(true)).then_some(Some(HashKey::SourceIp));
    let query = written.http_query_parameter_name.as_deref().map(|name| Some(HashKey::Query(name.into())));
    let keys: Vec<_> = [header, cookie, source, query].into_iter().flatten().collect();
    let key = match keys.as_slice() {
        [key] => key.clone(),
        [] => {
            let what = "one of httpHeaderName, httpCookie, useSourceIp and httpQueryParameterName";
            cx.error(at, L7Problem::Required { what });
            None
        }
        _ => {
            cx.error(at, L7Problem::Exclusive { other: "another key: one only" });
            None
        }
    };
    let ring = ring(written, at, cx);
    Some(ConsistentHash { key: key?, ring })
}

fn cookie(written: &written::HttpCookie, at: &At<'_>, cx: &mut Cx<'_>) -> Option<HashKey> {
    let is_token = |text: &str| !text.is_empty() && http::HeaderName::from_bytes(text.as_bytes()).is_ok();
    let is_value = |text: &str| text.bytes().all(|byte| (0x20..0x7f).contains(&byte) && byte != b';');
    if !is_token(&written.name) {
        let value = written.name.clone();
        cx.error(&at.field("name"), L7Problem::Value { value, expected: "the name of a cookie" });
        return None;
    }
    if !is_value(&written.path) {
        let value = written.path.clone();
        cx.error(&at.field("path"), L7Problem::Value { value, expected: "a path" });
    }
    for (i, attribute) in written.attributes.iter().enumerate() {
        if !is_token(&attribute.name) || !is_value(&attribute.value) {
            let value = format!("{}={}", attribute.name, attribute.value);
            cx.error(
                &at.field("attributes").index(i),
                L7Problem::Value { value, expected: "an attribute of a cookie" },
            );
        }
    }
    let attributes = written.attributes.iter();
    Some(HashKey::Cookie(Cookie {
        name: written.name.as_str().into(),
        path: text(&written.path),
        ttl: written.ttl.map(|ttl| ttl.0),
        attributes: attributes.map(|of| (of.name.as_str().into(), of.value.as_str().into())).collect(),
    }))
}

fn ring(written: &written::ConsistentHash, at: &At<'_>, cx: &mut Cx<'_>) -> HashRing {
    if written.ring_hash.is_some() && written.maglev.is_some() {
        cx.error(&at.field("maglev"), L7Problem::Exclusive { other: "ringHash" });
    }
    if let Some(maglev) = &written.maglev {
        let size = maglev.table_size.unwrap_or(DEFAULT_TABLE);
        let table_size = u32::try_from(size).ok().filter(|size| is_table_size(*size));
        if table_size.is_none() {
            let problem = L7Problem::Value { value: size.to_string(), expected: "a prime number up to 5000011" };
            cx.error(&at.field("maglev").field("tableSize"), problem);
        }
        return HashRing::Maglev { table_size: table_size.unwrap_or(1) };
    }
    let given = written.ring_hash.as_ref().and_then(|ring| ring.minimum_ring_size).or(written.minimum_ring_size);
    let size = given.unwrap_or(DEFAULT_RING);
    let minimum_size = u32::try_from(size).ok().filter(|size| *size <= MAX_RING);
    if minimum_size.is_none() {
        let problem = L7Problem::Range { value: size, least: 1, most: MAX_RING.into() };
        cx.error(&at.field("ringHash").field("minimumRingSize"), problem);
    }
    HashRing::Ring { minimum_size: minimum_size.unwrap_or(1) }
}

fn is_table_size(size: u32) -> bool {
    (2..=MAX_TABLE).contains(&size) && (2..size).take_while(|n| n * n <= size).all(|n| !size.is_multiple_of(n))
}

/// The API's defaults, and the field's limits.
const DEFAULT_RING: u64 = 1024;
const MAX_RING: u32 = 8 << 20;
const DEFAULT_TABLE: u64 = 65_537;
const MAX_TABLE: u32 = 5_000_011;

/// By where endpoints are. Nobody is sent elsewhere before it is known which endpoints fail, so without outlier
/// detection only shares count, as in the field; with it, near endpoints go first unless that is turned off.
pub(super) fn locality(
    written: Option<&LoadBalancer>,
    detects_outliers: bool,
    at: &At<'_>,
    cx: &mut Cx<'_>,
) -> Option<LocalityBalancing> {
    if written.is_some_and(|written| written.zone_aware_lb_setting.is_some()) {
        let reason = "localityLbSetting prefers near endpoints";
        cx.error(&at.field("zoneAwareLbSetting"), L7Problem::Unsupported { reason });
    }
    let near_first = || detects_outliers.then(LocalityBalancing::default);
    let Some(setting) = written.and_then(|written| written.locality_lb_setting.as_ref()) else { return near_first() };
    let compiled = locality_setting(setting, &at.field("localityLbSetting"), cx);
    if setting.enabled == Some(false) {
        return None;
    }
    (detects_outliers || !compiled.distribute.is_empty()).then_some(compiled)
}

fn locality_setting(setting: &LocalityLbSetting, at: &At<'_>, cx: &mut Cx<'_>) -> LocalityBalancing {
    let fails_over = !setting.failover.is_empty() || !setting.failover_priority.is_empty();
    if fails_over && !setting.distribute.is_empty() {
        cx.error(&at.field("distribute"), L7Problem::Exclusive { other: "failover and failoverPriority" });
    }
    let distribute = setting.distribute.iter().enumerate();
    let failover = setting.failover.iter().enumerate();
    let priority = setting.failover_priority.iter();
    LocalityBalancing {
        distribute: distribute.map(|(i, of)| split(of, &at.field("distribute").index(i), cx)).collect(),
        failover: failover.filter_map(|(i, of)| fail(of, &at.field("failover").index(i), cx)).collect(),
        failover_priority: priority
            .map(|label| match label.split_once('=') {
                Some((key, value)) => (key.into(), Some(value.into())),
                None => (label.as_str().into(), None),
            })
            .collect(),
    }
}

fn split(written: &written::Distribute, at: &At<'_>, cx: &mut Cx<'_>) -> LocalitySplit {
    let sum: u64 = written.to.values().copied().map(u64::from).sum();
    if sum != 100 {
        cx.error(&at.field("to"), L7Problem::Range { value: sum, least: 100, most: 100 });
    }
    let to = written.to.iter().map(|(to, share)| (place(to, &at.field("to"), cx), *share)).collect();
    LocalitySplit { from: place(&written.from, &at.field("from"), cx), to }
}

fn fail(written: &written::Failover, at: &At<'_>, cx: &mut Cx<'_>) -> Option<Failover> {
    if written.from == written.to {
        cx.error(at, L7Problem::Value { value: written.to.clone(), expected: "another region than from" });
    }
    for (field, region) in [("from", &written.from), ("to", &written.to)] {
        if region.is_empty() || region.contains(['*', '/']) {
            cx.error(&at.field(field), L7Problem::Value { value: region.clone(), expected: "a region" });
            return None;
        }
    }
    Some(Failover { from: written.from.as_str().into(), to: written.to.as_str().into() })
}

/// `region/zone/subzone`, of which the last may be `*` and the rest left out.
fn place(written: &str, at: &At<'_>, cx: &mut Cx<'_>) -> Locality {
    let mut parts = written.split('/');
    let mut next = || parts.next().filter(|part| !part.is_empty() && *part != "*").map(Arc::<str>::from);
    let found = Locality { region: next(), zone: next(), subzone: next() };
    let early_star = written.find('*').is_some_and(|star| star + 1 != written.len());
    if written.is_empty() || parts.next().is_some() || early_star {
        let expected = "region/zone/subzone, with or without * at the end";
        cx.error(at, L7Problem::Value { value: written.to_owned(), expected });
    }
    found
}

pub(super) fn warmup(written: &LoadBalancer, at: &At<'_>, cx: &mut Cx<'_>) -> Option<Warmup> {
    let old = written.warmup_duration_secs.map(|duration| duration.0);
    if old.is_some() && written.warmup.is_some() {
        cx.error(&at.field("warmupDurationSecs"), L7Problem::Exclusive { other: "warmup" });
    }
    let (duration, minimum, aggression) = match &written.warmup {
        None => (old?, None, None),
        Some(warmup) => match warmup.duration {
            Some(duration) => (duration.0, warmup.minimum_percent, warmup.aggression),
            None => {
                cx.error(&at.field("warmup").field("duration"), L7Problem::Required { what: "how long" });
                return None;
            }
        },
    };
    let evenly = matches!(written.simple, Some(SimpleLb::Random | SimpleLb::Passthrough));
    if evenly || written.consistent_hash.is_some() {
        let other = "this choice of endpoints: only ROUND_ROBIN and LEAST_REQUEST spare new ones";
        cx.error(&at.field("warmup"), L7Problem::Exclusive { other });
    }
    let millionths = minimum.map_or(DEFAULT_MINIMUM, |percent| percent.per_million());
    Some(Warmup {
        duration,
        minimum_percent: u8::try_from(millionths.div_ceil(10_000)).unwrap_or(100),
        aggression: self::aggression(aggression, &at.field("warmup"), cx),
    })
}

/// Ten per cent, in millionths: the API's default.
const DEFAULT_MINIMUM: u32 = 100_000;

fn aggression(written: Option<ambit_resources::Finite>, at: &At<'_>, cx: &mut Cx<'_>) -> Aggression {
    let Some(value) = written.map(ambit_resources::Finite::value) else { return Aggression::default() };
    if !(1.0..=1000.0).contains(&value) {
        let problem = L7Problem::Value { value: value.to_string(), expected: "a number from 1 to 1000" };
        cx.error(&at.field("aggression"), problem);
        return Aggression::default();
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 1,000 to 1,000,000")]
    let thousandths = (value * 1000.0).round() as u32;
    Aggression(thousandths)
}
