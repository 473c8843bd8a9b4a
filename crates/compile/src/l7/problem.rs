//! What can be wrong with an object of a waypoint.

use std::sync::Arc;

use ambit_l7::{CredentialError, RegexError};
use ambit_model::GatewayKey;
use ambit_resources::ObjectId;

use super::RouteProblem;

/// What can be wrong with an object of a waypoint, or noteworthy about it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
pub enum L7Problem {
    /// A text that is no expression, or one too large.
    #[error("{expression:?} is no regular expression: {detail}")]
    Regex {
        /// The text.
        expression: String,
        /// What is wrong with it.
        detail: String,
    },
    /// Something that the API has and we have not.
    #[error("not supported: {reason}")]
    Unsupported {
        /// Why.
        reason: &'static str,
    },
    /// A field that is understood and changes nothing.
    #[error("of no effect: {reason}")]
    NoEffect {
        /// Why.
        reason: &'static str,
    },
    /// A field without which the rest means nothing.
    #[error("required: {what}")]
    Required {
        /// What is missing.
        what: &'static str,
    },
    /// A field that means nothing without another.
    #[error("{what} required with it")]
    RequiredWith {
        /// The other field.
        what: &'static str,
    },
    /// Fields that exclude each other.
    #[error("cannot be combined with {other}")]
    Exclusive {
        /// The other field.
        other: &'static str,
    },
    /// A value that means nothing.
    #[error("{value:?} means nothing here: expected {expected}")]
    Value {
        /// The value.
        value: String,
        /// What could be there.
        expected: &'static str,
    },
    /// A number out of its range.
    #[error("{value} is out of range: from {least} to {most}")]
    Range {
        /// The number.
        value: u64,
        /// The least allowed.
        least: u64,
        /// The most allowed.
        most: u64,
    },
    /// A span of time too short to be meant.
    #[error("too short: at least {least} is required")]
    TooShort {
        /// The least allowed.
        least: &'static str,
    },
    /// A text that is no list of failures.
    #[error("{detail}")]
    RetryOn {
        /// What is wrong with it.
        detail: String,
    },
    /// A text that is no name of a header.
    #[error("{value:?} is not the name of a header")]
    HeaderName {
        /// The text.
        value: String,
    },
    /// A text that can be no value of a header.
    #[error("{value:?} cannot be the value of a header")]
    HeaderValue {
        /// The text.
        value: String,
    },
    /// A value of a header that something is to be put into.
    #[error("{command} is not supported: only fixed values, with %% for one percent sign")]
    Substitution {
        /// What stands between the percent signs, with them.
        command: String,
    },
    /// A header that only the waypoint itself may touch.
    #[error("{name} cannot be changed: {reason}")]
    ProtectedHeader {
        /// The header.
        name: String,
        /// Why, or what to do instead.
        reason: &'static str,
    },
    /// Destinations of which none gets anything.
    #[error("the weights add up to 0: no destination gets anything")]
    NoWeight,
    /// Weights that no number holds.
    #[error("the weights add up to more than {}", u32::MAX)]
    TooMuchWeight,
    /// A name that is there already.
    #[error("{name:?} is there already: leave one out")]
    Twice {
        /// The name.
        name: String,
    },
    /// A part of an object that an older one has too.
    #[error("{winner} is older and says it too: that one counts")]
    OlderWins {
        /// The older one.
        winner: Arc<str>,
    },
    /// A host that is everybody's.
    #[error("\"*\" is every host of the mesh: name the hosts")]
    EveryHost,
    /// A host of a route that no service has.
    #[error("no service has the host {host:?}: requests are answered 503 until one has")]
    NoSuchHost {
        /// The host.
        host: Arc<str>,
    },
    /// A service without the port.
    #[error("the service {host} has no port {port}: requests are answered 503 until it has")]
    NoSuchPort {
        /// The host.
        host: Arc<str>,
        /// The port; 0 for a choice among several.
        port: u16,
    },
    /// A VirtualService that no service of this waypoint concerns.
    #[error(
        "not in force for {host}: a waypoint takes routes from its own namespace ({waypoint}) and from the service's"
    )]
    ForeignNamespace {
        /// The host.
        host: Arc<str>,
        /// The waypoint.
        waypoint: GatewayKey,
    },
    /// A VirtualService to delegate to that is not there.
    #[error("there is no VirtualService {namespace}/{name} to delegate to: the rule is left out")]
    NoDelegate {
        /// Its namespace.
        namespace: Arc<str>,
        /// Its name.
        name: Arc<str>,
    },
    /// A VirtualService that must not be delegated to.
    #[error("VirtualService {namespace}/{name} {reason}: the rule is left out")]
    BadDelegate {
        /// Its namespace.
        namespace: Arc<str>,
        /// Its name.
        name: Arc<str>,
        /// Why.
        reason: &'static str,
    },
    /// A rule of a delegate that asks for what its root excludes.
    #[error("spec.http[{rule}] of the delegate {delegate} asks for something else than this rule: it is left out")]
    DelegateConflict {
        /// The delegate.
        delegate: ObjectId,
        /// Its rule.
        rule: usize,
    },
    /// A target that a waypoint does not serve.
    #[error("{kind} of the group {group:?} is nothing a policy can be attached to at a waypoint")]
    TargetKind {
        /// Its group.
        group: String,
        /// Its kind.
        kind: String,
    },
    /// A target in another namespace.
    #[error("{namespace:?} is another namespace than the policy's: nothing there can be its target")]
    TargetNamespace {
        /// The namespace.
        namespace: String,
    },
    /// A class as a target, outside of the root namespace.
    #[error("a GatewayClass can be the target of policies in {root} only")]
    ClassOutsideRoot {
        /// The root namespace.
        root: Arc<str>,
    },
    /// A policy whose provider is not in the mesh configuration.
    #[error("there is no extension provider {name:?} that can authorize: what this matches is denied")]
    UnknownProvider {
        /// Its name.
        name: String,
    },
    /// A provider that can be asked about requests only.
    #[error(
        "connections to {host} at {ports:?} that are no HTTP are denied: an envoyExtAuthzHttp provider cannot be asked \
         about them"
    )]
    DeniesBytes {
        /// The service.
        host: Arc<str>,
        /// Its ports that are not said to speak HTTP.
        ports: Vec<u16>,
    },
    /// A provider whose service is not there.
    #[error(
        "no service has the host {host:?} of the extension provider: what this matches is answered as if it were down"
    )]
    NoProviderService {
        /// Its host.
        host: String,
    },
    /// A service that counts and is not there.
    #[error("no service has the host {host:?}: requests are answered as if it were down")]
    NoLimitService {
        /// Its host.
        host: Arc<str>,
    },
    /// A part of a target that is not there.
    #[error("{target} has no {name:?}: nothing of it is limited")]
    NoSuchSection {
        /// What it is looked for in.
        target: Arc<str>,
        /// The name.
        name: Arc<str>,
    },
    /// A provider that is not in the mesh configuration, or is told of something else.
    #[error("there is no extension provider {name:?} for {part}")]
    NoReporter {
        /// Its name.
        name: String,
        /// What it would be told.
        part: &'static str,
    },
    /// A text that is no expression on requests.
    #[error("no expression: {detail}")]
    Expression {
        /// What is wrong with it.
        detail: String,
    },
    /// A text that is no format of a log.
    #[error("no format of a log: {detail}")]
    LogFormat {
        /// What is wrong with it.
        detail: String,
    },
    /// A policy that was never valid.
    #[error("everything is denied to what this is attached to, until it is valid")]
    DeniesAll,
    /// Credentials that cannot be used.
    #[error("{0}: connections that need it are refused")]
    Credential(#[from] CredentialError),
    /// It is wrong for the Gateway API.
    #[error(transparent)]
    Route(#[from] RouteProblem),
    /// A text that is no template of a path.
    #[error("{detail}")]
    PathTemplate {
        /// What is wrong with it.
        detail: String,
    },
}

impl From<RegexError> for L7Problem {
    fn from(error: RegexError) -> Self {
        Self::Regex { expression: error.expression, detail: error.detail }
    }
}
