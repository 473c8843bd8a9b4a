//! What logs are told of a request: a line, or a record of OTLP.

use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

use ambit_l7::telemetry::{AccessLogging, Ended, LogFormat, LogSink, Value};
use ambit_telemetry::AccessLogFormat;

use crate::worker::Worker;

/// What logs have of a request or a connection beside what it was.
pub(super) struct Told<'a> {
    /// Its line as the waypoint's own log has it.
    pub(super) line: &'a dyn Fn(AccessLogFormat) -> String,
    pub(super) began: SystemTime,
    /// The trace, and the waypoint's span in it.
    pub(super) trace: Option<(u128, u64)>,
}

/// Tells all logs that want to know.
pub(super) fn log(worker: &Rc<Worker>, logs: &[AccessLogging], ended: &Ended<'_>, told: &Told<'_>) {
    for AccessLogging { sink, filter } in logs {
        if filter.as_ref().is_some_and(|filter| !filter.holds(ended)) {
            continue;
        }
        match &**sink {
            LogSink::File { path, format } => worker.log_files.write(worker, path, &line(format, ended, told)),
            LogSink::Otlp { collector, name, format } => {
                worker.exports.log(worker, collector, Record::new(name, format, ended, told));
            }
        }
    }
}

/// A line, with its newline.
fn line(format: &LogFormat, ended: &Ended<'_>, told: &Told<'_>) -> String {
    match format {
        LogFormat::DefaultText => (told.line)(AccessLogFormat::Text),
        LogFormat::DefaultJson => (told.line)(AccessLogFormat::Json),
        LogFormat::Text(format) => {
            // What a client sends must not begin a line of its own.
            let mut line = format.text(ended).trim_end().replace(['\n', '\r'], " ");
            line.push('\n');
            line
        }
        LogFormat::Fields { fields, omit_empty, .. } => {
            let mut object = serde_json::Map::new();
            for (name, format) in fields {
                let value = match format.value(ended) {
                    Some(Value::Text(text)) => serde_json::Value::from(text.into_owned()),
                    Some(Value::Number(number)) => number.into(),
                    Some(Value::Bool(is)) => is.into(),
                    None if *omit_empty => continue,
                    None => serde_json::Value::Null,
                };
                object.insert(name.to_string(), value);
            }
            format!("{}\n", serde_json::Value::Object(object))
        }
    }
}

/// A record of OTLP.
#[derive(Debug, Clone)]
pub(super) struct Record {
    /// What the log is called.
    pub(super) log: Arc<str>,
    pub(super) at: SystemTime,
    pub(super) body: String,
    pub(super) attributes: Vec<(Arc<str>, String)>,
    /// The trace, and the waypoint's span in it.
    pub(super) trace: Option<(u128, u64)>,
}

impl Record {
    fn new(log: &Arc<str>, format: &LogFormat, ended: &Ended<'_>, told: &Told<'_>) -> Self {
        let mut attributes = Vec::new();
        let body = match format {
            LogFormat::Fields { fields, body, .. } => {
                let each = fields.iter();
                attributes.extend(each.map(|(name, format)| (Arc::clone(name), format.text(ended))));
                body.as_ref().map(|body| body.text(ended)).unwrap_or_default()
            }
            LogFormat::DefaultText | LogFormat::DefaultJson | LogFormat::Text(_) => {
                line(format, ended, told).trim_end().to_owned()
            }
        };
        Self { log: Arc::clone(log), at: told.began, body, attributes, trace: told.trace }
    }

    /// Roughly how many bytes it is.
    pub(super) fn size(&self) -> usize {
        128 + self.body.len() + self.attributes.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>()
    }
}
