//! One line of the access log. Names and order are those of the meshes in the field.
//!
//! Values come from peers too: nothing in a value can end the line, end the value, or reach a
//! terminal as a control character.

use std::fmt::{Display, Write};
use std::time::Duration;

use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

use ambit_model::CloseReason;

use super::AccessLogFormat;
use crate::flow::{Addresses, Flow};
use crate::traffic::in_log;

/// Longest value in bytes; the rest is cut off. A SPIFFE id fits, a peer's novel does not.
const MAX_VALUE: usize = 2100;

/// What a line is made of.
#[derive(Debug)]
pub(crate) struct Line<'a> {
    pub(crate) flow: &'a Flow,
    pub(crate) addresses: &'a Addresses,
    pub(crate) from_client: u64,
    pub(crate) from_server: u64,
    pub(crate) duration: Duration,
    pub(crate) end: Result<(), &'a CloseReason>,
}

impl Line<'_> {
    /// The line with its newline.
    pub(crate) fn render(&self, format: AccessLogFormat) -> String {
        let level = if self.end.is_ok() { "info" } else { "error" };
        let mut fields = Fields { format, out: String::with_capacity(768), scratch: String::new() };
        fields.begin(level);
        self.write(&mut fields);
        fields.end()
    }

    fn write(&self, fields: &mut Fields) {
        let (source, destination) = (&self.flow.source, &self.flow.destination);
        fields.text("src.addr", Some(self.addresses.source));
        fields.text("src.workload", source.workload.as_deref().map(|workload| workload.name()));
        fields.text("src.namespace", source.workload.as_deref().map(|workload| &workload.namespace));
        fields.text("src.identity", source.identity.as_ref());
        fields.text("dst.addr", self.addresses.destination);
        fields.text("dst.hbone_addr", self.addresses.tunnel_target);
        fields.text("dst.service", self.flow.service.as_deref().map(|service| &service.key.hostname));
        fields.text("dst.workload", destination.workload.as_deref().map(|workload| workload.name()));
        fields.text("dst.namespace", destination.workload.as_deref().map(|workload| &workload.namespace));
        fields.text("dst.identity", destination.identity.as_ref());
        fields.text("direction", Some(self.flow.direction.word()));
        let (sent, received) = in_log(self.flow.direction, self.from_client, self.from_server);
        fields.number("bytes_sent", sent);
        fields.number("bytes_recv", received);
        fields.text("duration", Some(format_args!("{}ms", self.duration.as_millis())));
        fields.text("error", self.end.err());
    }
}

/// The fields of a line, as they are written.
struct Fields {
    format: AccessLogFormat,
    out: String,
    /// A value on its way, kept for its memory.
    scratch: String,
}

impl Fields {
    fn begin(&mut self, level: &str) {
        match self.format {
            AccessLogFormat::Text => {
                write_now(&mut self.out);
                for part in [level, "access", "connection complete"] {
                    self.out.push('\t');
                    self.out.push_str(part);
                }
                self.out.push('\t');
            }
            AccessLogFormat::Json => {
                self.out.push_str("{\"time\":\"");
                write_now(&mut self.out);
                self.out.push('"');
                self.text("level", Some(level));
                self.text("scope", Some("access"));
                self.text("message", Some("connection complete"));
            }
        }
    }

    /// A field whose value is text; left out if there is none, or an empty one.
    fn text(&mut self, key: &str, value: Option<impl Display>) {
        let mut text = std::mem::take(&mut self.scratch);
        text.clear();
        // Writing to a string cannot fail, and `Display` has no reason to.
        value.map(|value| write!(text, "{value}").ok());
        if !text.is_empty() {
            self.key(key);
            if self.format == AccessLogFormat::Text && is_bare(&text) {
                self.out.push_str(&text);
            } else {
                push_quoted(&mut self.out, &text);
            }
        }
        self.scratch = text;
    }

    fn number(&mut self, key: &str, value: u64) {
        self.key(key);
        // Writing to a string cannot fail.
        write!(self.out, "{value}").ok();
    }

    fn key(&mut self, key: &str) {
        match self.format {
            AccessLogFormat::Text if self.out.ends_with('\t') => self.out.extend([key, "="]),
            AccessLogFormat::Text => self.out.extend([" ", key, "="]),
            AccessLogFormat::Json => self.out.extend([",\"", key, "\":"]),
        }
    }

    fn end(mut self) -> String {
        self.out.push_str(match self.format {
            AccessLogFormat::Text => "\n",
            AccessLogFormat::Json => "}\n",
        });
        self.out
    }
}

pub(crate) fn write_now(out: &mut String) {
    // Writing to a string fails only where the formatter does, on a clock before 1970.
    if SystemTime.format_time(&mut Writer::new(out)).is_err() {
        out.push('?');
    }
}

/// Whether a value needs no quotes to stay one value.
pub(super) fn is_bare(value: &str) -> bool {
    value.len() <= MAX_VALUE && value.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'=' | b'\\'))
}

/// The value as a JSON string, which readers of logfmt understand too. Control characters are
/// escaped beyond what JSON asks for, up to those that reorder text on a screen.
pub(super) fn push_quoted(out: &mut String, value: &str) {
    out.push('"');
    let start = out.len();
    for c in value.chars() {
        if out.len() - start >= MAX_VALUE {
            out.push('…');
            break;
        }
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            c if is_unsafe(c) => {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    // Writing to a string cannot fail.
                    write!(out, "\\u{unit:04x}").ok();
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

fn is_unsafe(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests;
