//! Failures as the CNI specification has them: a code, and words that end up in the pod's events.

use ambit_cni::NetworkConfigError;

/// Why a call fails.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The runtime speaks a version that is not known.
    #[error("version {0} of the CNI is not supported")]
    Version(String),
    /// A variable that is missing or wrong.
    #[error("the environment variable {0} is missing or wrong")]
    Environment(&'static str),
    /// No configuration came.
    #[error("there is no network configuration on the standard input, or too much of it")]
    Input,
    /// What came is none.
    #[error("{0}: {cause}", cause = cause(.0))]
    Config(#[from] NetworkConfigError),
    /// It is the first plugin of its network.
    #[error("there is no prevResult: it must stand behind the plugin that makes the pod's network")]
    First,
    /// The agent says no.
    #[error("{pod} is refused by the mesh: {reason}")]
    Refused {
        /// The pod.
        pod: String,
        /// Why.
        reason: String,
        /// Whether it may go well later.
        retry: bool,
    },
    /// The agent says nothing.
    #[error("{pod} may not start without the mesh's node agent: {reason}")]
    NoWord {
        /// The pod.
        pod: String,
        /// Why there is no word, and why it is needed.
        reason: String,
    },
}

impl Failure {
    /// The specification's code; those from 100 on are the plugin's own.
    fn code(&self) -> u32 {
        match self {
            Self::Version(_) => 1,
            Self::Environment(_) => 4,
            Self::Input => 5,
            Self::Config(_) => 6,
            Self::First => 7,
            // "Try again later", as kubelets do in any case.
            Self::NoWord { .. } | Self::Refused { retry: true, .. } => 11,
            Self::Refused { retry: false, .. } => 100,
        }
    }

    /// The form that goes to the standard output.
    pub(crate) fn to_json(&self, version: &str) -> String {
        serde_json::json!({ "cniVersion": version, "code": self.code(), "msg": self.to_string() }).to_string()
    }
}

/// The causes of an error, from the next on.
fn cause(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// An error and its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    match cause(error) {
        cause if cause.is_empty() => error.to_string(),
        cause => format!("{error}: {cause}"),
    }
}
