//! What is changed in metrics.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Ended, Expression};

/// A metric of requests or connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the words of the API, one by one")]
pub enum ReportedMetric {
    RequestCount,
    RequestDuration,
    RequestSize,
    ResponseSize,
    GrpcRequestMessages,
    GrpcResponseMessages,
    TcpOpenedConnections,
    TcpClosedConnections,
    TcpSentBytes,
    TcpReceivedBytes,
}

impl ReportedMetric {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::RequestCount,
        Self::RequestDuration,
        Self::RequestSize,
        Self::ResponseSize,
        Self::GrpcRequestMessages,
        Self::GrpcResponseMessages,
        Self::TcpOpenedConnections,
        Self::TcpClosedConnections,
        Self::TcpSentBytes,
        Self::TcpReceivedBytes,
    ];
}

/// What is changed, by metric. A metric that is not here is as it always is.
pub type MetricChanges = BTreeMap<ReportedMetric, MetricChange>;

/// What is changed in a metric.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MetricChange {
    /// Whether it is not reported.
    pub disabled: bool,
    /// What becomes of its labels.
    pub labels: BTreeMap<Arc<str>, LabelValue>,
}

/// What becomes of a label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LabelValue {
    /// It is not there.
    Removed,
    /// It says this.
    Is(Arc<Expression>),
}

/// The longest value of a label, in characters: it may be a client's word, and is repeated in every line of a series.
const MAX_VALUE: usize = 256;

impl LabelValue {
    /// What the label says, where it is there. What comes to nothing is unknown.
    #[must_use]
    pub fn of(&self, ended: &Ended<'_>) -> Option<String> {
        match self {
            Self::Removed => None,
            Self::Is(expression) => {
                let text = expression.text(ended).unwrap_or_else(|| "unknown".to_owned());
                Some(text.chars().take(MAX_VALUE).collect())
            }
        }
    }
}
