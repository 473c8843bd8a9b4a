//! One line of the access log for a request. Text and JSON are those of the meshes in the field.

use std::borrow::Cow;
use std::fmt::Write;
use std::time::Duration;

use super::AccessLogFormat;
use super::line::{is_bare, push_quoted};
use crate::request_record::RequestFacts;

/// What a line is made of.
#[derive(Debug)]
pub(crate) struct RequestLine<'a> {
    pub(crate) facts: &'a RequestFacts,
    pub(crate) began: &'a str,
    pub(crate) duration: Duration,
    pub(crate) received: u64,
    pub(crate) sent: u64,
}

/// A field: its key in JSON, its value, and how text writes it.
type Field<'a> = (&'static str, Option<Cow<'a, str>>, Form);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// In quotes.
    Text,
    /// Bare, unless it could be taken for more than one value.
    Word,
    /// A number, in JSON too.
    Number,
}

impl RequestLine<'_> {
    /// The line with its newline.
    pub(crate) fn render(&self, format: AccessLogFormat) -> String {
        match format {
            AccessLogFormat::Text => self.text(),
            AccessLogFormat::Json => self.json(),
        }
    }

    fn text(&self) -> String {
        let facts = self.facts;
        let mut out = String::with_capacity(512);
        out.extend(["[", self.began, "] "]);
        push_quoted(&mut out, &format!("{} {} {}", facts.method, facts.path, facts.protocol));
        for (_, value, form) in self.fields() {
            let value = value.filter(|value| !value.is_empty()).unwrap_or(Cow::Borrowed("-"));
            out.push(' ');
            if form == Form::Text || !is_bare(&value) {
                push_quoted(&mut out, &value);
            } else {
                out.push_str(&value);
            }
        }
        out.push('\n');
        out
    }

    fn json(&self) -> String {
        let facts = self.facts;
        let mut out = String::with_capacity(1024);
        out.push('{');
        let first = [
            ("start_time", Some(Cow::Borrowed(self.began)), Form::Text),
            ("method", Some(Cow::Borrowed(facts.method.as_str())), Form::Text),
            ("path", Some(Cow::Borrowed(facts.path.as_str())), Form::Text),
            ("protocol", Some(Cow::Borrowed(facts.protocol)), Form::Text),
        ];
        for (key, value, form) in first.into_iter().chain(self.fields()) {
            if out.len() > 1 {
                out.push(',');
            }
            // Writing to a string cannot fail.
            write!(out, "\"{key}\":").ok();
            match value.filter(|value| !value.is_empty()) {
                None => out.push_str("null"),
                Some(value) if form == Form::Number => out.push_str(&value),
                Some(value) => push_quoted(&mut out, &value),
            }
        }
        out.push_str("}\n");
        out
    }

    /// Those after the request's own, in the order in which text has them.
    fn fields(&self) -> [Field<'_>; 20] {
        let facts = self.facts;
        let number = |number: u64| Some(Cow::Owned(number.to_string()));
        let millis = |time: Duration| Some(Cow::Owned(time.as_millis().to_string()));
        let maybe = |text: &'_ Option<String>| text.clone().map(Cow::Owned);
        [
            ("response_code", number(facts.status.into()), Form::Number),
            ("response_flags", Some(Cow::Owned(facts.flags.to_string())), Form::Word),
            ("response_code_details", Some(Cow::Borrowed(&*facts.details)), Form::Word),
            ("connection_termination_details", None, Form::Word),
            ("upstream_transport_failure_reason", maybe(&facts.upstream_failure), Form::Text),
            ("bytes_received", number(self.received), Form::Number),
            ("bytes_sent", number(self.sent), Form::Number),
            ("duration", millis(self.duration), Form::Number),
            ("upstream_service_time", facts.upstream_time.and_then(millis), Form::Number),
            ("x_forwarded_for", maybe(&facts.forwarded_for), Form::Text),
            ("user_agent", maybe(&facts.user_agent), Form::Text),
            ("request_id", maybe(&facts.request_id), Form::Text),
            ("authority", Some(Cow::Borrowed(&facts.authority)), Form::Text),
            ("upstream_host", maybe(&facts.upstream_host), Form::Text),
            ("upstream_cluster", maybe(&facts.upstream_cluster), Form::Word),
            ("upstream_local_address", None, Form::Word),
            ("downstream_local_address", Some(Cow::Borrowed(&facts.asked)), Form::Word),
            ("downstream_remote_address", Some(Cow::Borrowed(&facts.client)), Form::Word),
            ("requested_server_name", maybe(&facts.server_name), Form::Word),
            ("route_name", facts.route.as_deref().map(Cow::Borrowed), Form::Word),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ResponseFlag;

    fn facts() -> RequestFacts {
        RequestFacts {
            method: "GET".to_owned(),
            path: "/a\"b\n".to_owned(),
            protocol: "HTTP/1.1",
            authority: "reviews:80".to_owned(),
            status: 503,
            flags: ResponseFlag::NoHealthyUpstream.into(),
            details: "no_healthy_upstream".into(),
            client: "10.0.0.1:4711".to_owned(),
            asked: "10.96.0.1:80".to_owned(),
            ..RequestFacts::default()
        }
    }

    #[test]
    fn text_and_json_are_as_in_the_field() {
        let facts = facts();
        let line = RequestLine {
            facts: &facts,
            began: "2026-01-01T00:00:00.000Z",
            duration: Duration::from_millis(7),
            received: 5,
            sent: 19,
        };
        assert_eq!(
            line.render(AccessLogFormat::Text),
            "[2026-01-01T00:00:00.000Z] \"GET /a\\\"b\\n HTTP/1.1\" 503 UH no_healthy_upstream - \"-\" 5 19 7 - \"-\" \
             \"-\" \"-\" \"reviews:80\" \"-\" - - 10.96.0.1:80 10.0.0.1:4711 - -\n"
        );
        let json: serde_json::Value = serde_json::from_str(&line.render(AccessLogFormat::Json)).unwrap();
        assert_eq!((&json["response_code"], &json["path"]), (&503.into(), &"/a\"b\n".into()));
        assert_eq!(json["request_id"], serde_json::Value::Null);
    }
}
