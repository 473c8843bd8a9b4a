//! Which requests have spans, and what these say.

use std::sync::Arc;

use ambit_l7::telemetry::TagValue;
use ambit_resources::telemetry::{CustomTag, Tracing as Written};

use super::format::format;
use super::{is_for_servers, names};
use crate::l7::L7Problem;
use crate::l7::at::At;
use crate::l7::cx::Cx;
use crate::l7::text::header_name;

/// A part about traces. What is none is as the wider object has it.
#[derive(Debug)]
pub(super) struct Tracing {
    pub(super) providers: Vec<String>,
    pub(super) sampling: Option<u32>,
    pub(super) by_request_id: Option<bool>,
    pub(super) report: Option<bool>,
    pub(super) propagate: Option<bool>,
    pub(super) istio_tags: Option<bool>,
    /// All of them take the place of the wider object's.
    pub(super) tags: Option<Vec<(Arc<str>, TagValue)>>,
}

impl Tracing {
    pub(super) fn prepare(written: &Written, at: &At<'_>, cx: &mut Cx<'_>) -> Option<Self> {
        if written.providers.len() > 1 {
            let reason = "spans go to the first provider only";
            cx.warning(&at.field("providers").index(1), L7Problem::NoEffect { reason });
        }
        let list = at.field("customTags");
        let tags = written.custom_tags.iter();
        let tags: Vec<_> =
            tags.filter_map(|(name, of)| Some((name.as_str().into(), tag(of, &list.field(name), cx)?))).collect();
        let part = Self {
            providers: names(&written.providers),
            sampling: written.random_sampling_percentage.map(|share| share.per_million()),
            by_request_id: written.use_request_id_for_trace_sampling,
            report: written.disable_span_reporting.map(|disabled| !disabled),
            propagate: written.disable_context_propagation.map(|disabled| !disabled),
            istio_tags: written.enable_istio_tags,
            tags: (!tags.is_empty()).then_some(tags),
        };
        is_for_servers(written.selector.as_ref(), at, cx).then_some(part)
    }
}

fn tag(written: &CustomTag, at: &At<'_>, cx: &mut Cx<'_>) -> Option<TagValue> {
    let CustomTag { literal, environment, header, formatter } = written;
    match (literal, environment, header, formatter) {
        (Some(literal), None, None, None) => Some(TagValue::Literal(literal.value.as_str().into())),
        (None, Some(of), None, None) => {
            Some(TagValue::Environment(of.name.as_str().into(), of.default_value.as_str().into()))
        }
        (None, None, Some(of), None) => {
            let at = at.field("header");
            Some(TagValue::Header(header_name(&of.name, &at.field("name"), cx)?, of.default_value.as_str().into()))
        }
        (None, None, None, Some(of)) => {
            let at = at.field("formatter");
            format(&of.value, &at.field("value"), cx).map(TagValue::Format)
        }
        _ => {
            cx.error(at, L7Problem::Required { what: "one of literal, environment, header and formatter" });
            None
        }
    }
}
