//! How lines of access logs look.

use ambit_l7::telemetry::{Format, LogFormat};
use ambit_resources::mesh_config::{AccessLogEncoding, LogFormat as Written};

use crate::l7::L7Problem;
use crate::l7::at::At;
use crate::l7::cx::Cx;

/// A format; nothing for a text that is none, which is said.
pub(super) fn format(text: &str, at: &At<'_>, cx: &mut Cx<'_>) -> Option<Format> {
    match Format::parse(text) {
        Ok(format) => Some(format),
        Err(error) => {
            cx.error(at, L7Problem::LogFormat { detail: error.to_string() });
            None
        }
    }
}

/// A text, or an object of fields.
pub(super) fn log_format(written: Option<&Written>, omit_empty: bool, at: &At<'_>, cx: &mut Cx<'_>) -> LogFormat {
    let at = at.field("logFormat");
    let Some(written) = written else { return LogFormat::DefaultText };
    let text = written.text.as_deref().filter(|text| !text.is_empty());
    let text = text.and_then(|text| format(text, &at.field("text"), cx));
    if written.labels.is_empty() {
        return text.map_or(LogFormat::DefaultText, LogFormat::Text);
    }
    let labels = at.field("labels");
    let fields = written.labels.iter();
    let fields =
        fields.filter_map(|(name, value)| Some((name.as_str().into(), format(value, &labels.field(name), cx)?)));
    LogFormat::Fields { fields: fields.collect(), omit_empty, body: text }
}

/// As the mesh configuration writes it: a text, or JSON whose values are formats.
pub(super) fn mesh_format(text: &str, encoding: AccessLogEncoding, at: &At<'_>, cx: &mut Cx<'_>) -> LogFormat {
    match (text, encoding) {
        ("", AccessLogEncoding::Text) => LogFormat::DefaultText,
        ("", AccessLogEncoding::Json) => LogFormat::DefaultJson,
        (text, AccessLogEncoding::Text) => {
            // The field's formats end with a newline; a line here always does.
            format(text.trim_end_matches('\n'), at, cx).map_or(LogFormat::DefaultText, LogFormat::Text)
        }
        (text, AccessLogEncoding::Json) => {
            let fields: Option<std::collections::BTreeMap<String, String>> = serde_json::from_str(text).ok();
            if fields.is_none() {
                let expected = "an object of JSON whose values are texts";
                cx.error(at, L7Problem::Value { value: text.to_owned(), expected });
            }
            let fields = fields.iter().flatten();
            let fields = fields.filter_map(|(name, value)| Some((name.as_str().into(), format(value, at, cx)?)));
            LogFormat::Fields { fields: fields.collect(), omit_empty: false, body: None }
        }
    }
}
