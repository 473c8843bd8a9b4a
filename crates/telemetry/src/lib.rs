//! What the data path says about itself: traffic metrics under the names users' dashboards already
//! query, one access-log line a connection, and the process's own log.
//!
//! A worker holds a [`Recorder`]. A connection holds a [`ConnectionRecord`], which is opened at
//! accept, told more by each step, and closed exactly once, by its owner or by being dropped.

mod access_log;
mod connection_counters;
mod error_chain;
mod flow;
mod labels;
mod logging;
mod metrics;
mod process;
mod record;
mod request_record;
mod requests;
mod response_flag;
mod traffic;

pub use access_log::{AccessLog, AccessLogError, AccessLogFormat, now};
pub use connection_counters::ConnectionMetric;
pub use error_chain::error_chain;
pub use flow::{Addresses, Bytes, Direction, Flow, Party, SecurityPolicy};
pub use labels::LabelChanges;
pub use logging::{LevelControl, LogFormat, LoggingError, init};
pub use metrics::{AgentMetrics, Metrics, content_type};
pub use record::{ConnectionRecord, Recorder};
pub use request_record::{EndedRequest, Observer, RequestFacts, RequestRecord};
pub use requests::{RequestMetric, Requests};
pub use response_flag::{ResponseFlag, ResponseFlags};
pub use traffic::Traffic;
