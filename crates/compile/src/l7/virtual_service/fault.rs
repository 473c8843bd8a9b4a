//! Faults put in on purpose.

use ambit_l7::{Abort, AbortWith, Delay, Fault, Fraction};
use ambit_resources::{Percent, virtual_service};

use crate::l7::L7Problem;
use crate::l7::at::At;
use crate::l7::cx::Cx;
use crate::l7::text::status;

pub(super) fn fault(written: Option<&virtual_service::Fault>, at: &At<'_>, cx: &mut Cx<'_>) -> Fault {
    let Some(written) = written else { return Fault::default() };
    if written.delay.is_none() && written.abort.is_none() {
        cx.error(at, L7Problem::Required { what: "delay or abort" });
    }
    Fault {
        delay: written.delay.as_ref().and_then(|written| delay(written, &at.field("delay"), cx)),
        abort: written.abort.as_ref().and_then(|written| abort(written, &at.field("abort"), cx)),
    }
}

fn delay(written: &virtual_service::Delay, at: &At<'_>, cx: &mut Cx<'_>) -> Option<Delay> {
    if written.exponential_delay.is_some() {
        let reason = "only delays of a fixed length are; no mesh has ever had others";
        cx.error(&at.field("exponentialDelay"), L7Problem::Unsupported { reason });
    }
    let fraction = share(written.percentage, written.percent, &at.field("percent"), cx);
    let Some(fixed) = written.fixed_delay else {
        cx.error(&at.field("fixedDelay"), L7Problem::Required { what: "how long" });
        return None;
    };
    Some(Delay { duration: fixed.0, fraction })
}

fn abort(written: &virtual_service::Abort, at: &At<'_>, cx: &mut Cx<'_>) -> Option<Abort> {
    if written.http2_error.is_some() {
        let reason = "requests are aborted by an HTTP or gRPC status; no mesh has ever done it otherwise";
        cx.error(&at.field("http2Error"), L7Problem::Unsupported { reason });
    }
    let fraction = share(written.percentage, None, at, cx);
    let with = match (written.http_status, &written.grpc_status) {
        (Some(code), None) => AbortWith::Http(status(code, 200, &at.field("httpStatus"), cx)?),
        (None, Some(name)) => AbortWith::Grpc(grpc_status(name, &at.field("grpcStatus"), cx)?),
        (Some(_), Some(_)) => {
            cx.error(&at.field("grpcStatus"), L7Problem::Exclusive { other: "httpStatus" });
            return None;
        }
        (None, None) => {
            cx.error(at, L7Problem::Required { what: "httpStatus or grpcStatus" });
            return None;
        }
    };
    Some(Abort { with, fraction })
}

/// A share of requests, in the present spelling or the old one; all of them where neither is there.
pub(super) fn share(share: Option<Percent>, old: Option<u32>, at: &At<'_>, cx: &mut Cx<'_>) -> Fraction {
    match (share, old) {
        (Some(share), _) => Fraction::of_million(share.value.per_million()),
        (None, Some(percent @ 0..=100)) => Fraction::of_million(percent * 10_000),
        (None, Some(percent)) => {
            cx.error(at, L7Problem::Range { value: percent.into(), least: 0, most: 100 });
            Fraction::ALL
        }
        (None, None) => Fraction::ALL,
    }
}

/// gRPC's statuses, each at its number.
const GRPC_STATUSES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

fn grpc_status(name: &str, at: &At<'_>, cx: &mut Cx<'_>) -> Option<u8> {
    let by_name = (0..).zip(GRPC_STATUSES).find(|(_, known)| known.eq_ignore_ascii_case(name)).map(|(code, _)| code);
    let found = by_name.or_else(|| name.parse().ok().filter(|code| *code <= 16));
    if found.is_none() {
        let value = name.to_owned();
        cx.error(at, L7Problem::Value { value, expected: "a gRPC status, like UNAVAILABLE or 14" });
    }
    found
}
