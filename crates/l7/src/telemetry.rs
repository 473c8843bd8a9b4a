//! Telemetry: what is told of requests and connections, and to whom.

mod attribute;
mod b3;
mod expression;
#[cfg(test)]
mod fixtures;
mod format;
mod metrics;

pub use attribute::{Attribute, Ended, Value};
pub use b3::{B3, Decision};
pub use expression::{ATTRIBUTES, Expression, ExpressionError};
pub use format::{Format, FormatError};
pub use metrics::{LabelValue, MetricChange, MetricChanges, ReportedMetric};

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue};

/// What is told of the requests and connections of a service. Where a part is none nobody said anything of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Telemetry {
    /// Who has a line of each; none: the waypoint's own log.
    pub logs: Option<Vec<AccessLogging>>,
    /// Who has spans of requests.
    pub tracing: Option<Tracing>,
    /// What is changed in metrics.
    pub metrics: MetricChanges,
}

/// Who has a line of each request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessLogging {
    /// Who.
    pub sink: Arc<LogSink>,
    /// Of which; none: of all.
    pub filter: Option<Arc<Expression>>,
}

/// A log of requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogSink {
    /// A file: `/dev/stdout` is the waypoint's own output.
    File {
        /// Its path.
        path: Arc<str>,
        /// How a line looks.
        format: LogFormat,
    },
    /// A collector.
    Otlp {
        /// Which.
        collector: Arc<Collector>,
        /// What the log is called there.
        name: Arc<str>,
        /// How a record looks.
        format: LogFormat,
    },
}

/// How a line looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogFormat {
    /// As the meshes in the field have it.
    DefaultText,
    /// The same as an object.
    DefaultJson,
    /// A text.
    Text(Format),
    /// An object.
    Fields {
        /// Its fields.
        fields: Vec<(Arc<str>, Format)>,
        /// Whether what has no value is left out.
        omit_empty: bool,
        /// In front of them, where there is one: the body of a record of OTLP.
        body: Option<Format>,
    },
}

/// Who takes spans, or records of requests.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Collector {
    /// Its host: of a service of the mesh, or any other.
    pub host: Arc<str>,
    /// Its port.
    pub port: u16,
    /// How it is spoken to.
    pub protocol: CollectorProtocol,
    /// How long it may take.
    pub timeout: Duration,
    /// What it is sent with everything.
    pub headers: Vec<(HeaderName, CollectorHeader)>,
}

/// How a collector is spoken to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CollectorProtocol {
    /// OTLP over gRPC.
    OtlpGrpc,
    /// OTLP over HTTP, to this path.
    OtlpHttp(Arc<str>),
    /// Zipkin's JSON, to this path.
    Zipkin(Arc<str>),
}

/// The value of a header.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CollectorHeader {
    /// This.
    Value(HeaderValue),
    /// What this variable of the waypoint's environment holds.
    Environment(Arc<str>),
}

/// Who has spans of requests, and of which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tracing {
    /// Who; none: nobody, and there are no contexts.
    pub collector: Arc<Collector>,
    /// Which contexts are read and written.
    pub contexts: Contexts,
    /// Of a million requests that come without a decision, how many are traced.
    pub sampling: u32,
    /// Whether the request's id takes part in that decision, and says so to whoever comes next.
    pub by_request_id: bool,
    /// Whether spans are sent.
    pub report: bool,
    /// Whether the backend sees the context.
    pub propagate: bool,
    /// What else a span says.
    pub tags: Vec<(Arc<str>, TagValue)>,
    /// Whether a span has the field's own tags (`istio.*`).
    pub istio_tags: bool,
    /// The longest that the tag of the address may be.
    pub max_url_length: usize,
    /// Whether ids of traces that begin here have 64 bits.
    pub short_ids: bool,
}

/// Which contexts are read and written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contexts {
    /// W3C's.
    W3c,
    /// B3.
    B3,
    /// Both; what B3 says goes before.
    Both,
}

/// What a tag says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TagValue {
    /// Always this.
    Literal(Arc<str>),
    /// What a variable of the waypoint's environment holds, or else this.
    Environment(Arc<str>, Arc<str>),
    /// What a header of the request says, or else this.
    Header(HeaderName, Arc<str>),
    /// As an access log would have it.
    Format(Format),
}
