//! The process's own log: to stderr, at a level that can be changed while it runs.

use std::fmt;
use std::io::IsTerminal;
use std::str::FromStr;

use tracing_subscriber::filter::ParseError;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt as output, reload};

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Why the log cannot be set up, or its level not be changed.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The filter is not one.
    #[error("{filter:?} is not a log filter such as `info` or `info,ambit_hbone=debug`")]
    Filter {
        /// What was given.
        filter: String,
        /// What is wrong with it.
        #[source]
        source: ParseError,
    },
    /// The filter is empty, which would silence everything; nobody means that.
    #[error("the log filter is empty: to silence the log, say `off`")]
    EmptyFilter,
    /// There is a log already.
    #[error("the process already has a log")]
    Init(#[from] TryInitError),
    /// The log is no more.
    #[error("the log is gone")]
    Reload(#[from] reload::Error),
}

/// Shows and changes the log level of the running process.
#[derive(Clone)]
pub struct LevelControl(reload::Handle<EnvFilter, Registry>);

/// Sets up the log of this process. `filter` is in the notation of `RUST_LOG`.
///
/// # Errors
/// If the filter is not one, or the process has a log already.
pub fn init(format: LogFormat, filter: &str) -> Result<LevelControl, LoggingError> {
    let (filter, handle) = reload::Layer::new(parse(filter)?);
    let lines = output::layer().with_writer(std::io::stderr);
    let lines = match format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry().with(filter).with(lines).try_init()?;
    Ok(LevelControl(handle))
}

impl LevelControl {
    /// The filter in force.
    ///
    /// # Errors
    /// If the log is gone.
    pub fn show(&self) -> Result<String, LoggingError> {
        Ok(self.0.with_current(EnvFilter::to_string)?)
    }

    /// Puts another filter in force.
    ///
    /// # Errors
    /// If the filter is not one, or the log is gone.
    pub fn set(&self, filter: &str) -> Result<(), LoggingError> {
        Ok(self.0.reload(parse(filter)?)?)
    }
}

impl fmt::Debug for LevelControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LevelControl").finish_non_exhaustive()
    }
}

fn parse(filter: &str) -> Result<EnvFilter, LoggingError> {
    if filter.trim().is_empty() {
        return Err(LoggingError::EmptyFilter);
    }
    EnvFilter::from_str(filter).map_err(|source| LoggingError::Filter { filter: filter.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn level_changes_while_running_and_a_bad_one_changes_nothing() {
        let control = init(LogFormat::Text, "warn").unwrap();
        assert_eq!(control.show().unwrap(), "warn");
        control.set("info,ambit_hbone=debug").unwrap();
        assert_eq!(control.show().unwrap(), "ambit_hbone=debug,info");
        assert!(matches!(control.set(" "), Err(LoggingError::EmptyFilter)));
        for bad in ["ambit=loud", "a=b=c"] {
            assert!(matches!(control.set(bad), Err(LoggingError::Filter { .. })), "{bad:?} was accepted");
        }
        assert_eq!(control.show().unwrap(), "ambit_hbone=debug,info");
        assert!(matches!(init(LogFormat::Json, "info"), Err(LoggingError::Init(_))));
    }
}
