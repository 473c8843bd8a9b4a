//! Everything the compiler has to say.

use std::net::IpAddr;
use std::sync::Arc;

use ambit_model::GatewayKey;
use ambit_resources::ObjectId;

use crate::L7Problem;

/// One thing to be said, and where.
pub type Issue = ambit_resources::Issue<Problem>;

/// What can be wrong with an object, or noteworthy about it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Problem {
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] ambit_resources::Problem),
    /// It is wrong for a waypoint.
    #[error(transparent)]
    L7(#[from] L7Problem),
    /// Said after the errors of an object that had a valid version before.
    #[error("the last valid version stays in force")]
    LastVersionKept,
    /// Said after the errors of an object that never had a valid version.
    #[error("not in force: there is no earlier version to keep")]
    NotInForce,
    /// The object is in another place too, which wins.
    #[error("also in {file}:{line}, which wins: first file by name, first document in it")]
    Duplicate {
        /// The file that wins.
        file: Arc<str>,
        /// The line there.
        line: u32,
    },
    /// A text that is no IP address.
    #[error("{value:?} is not an IP address")]
    Address {
        /// The text.
        value: String,
    },
    /// Another workload has the address.
    #[error("{address} is already the address of {holder}: left out here")]
    AddressTaken {
        /// The address.
        address: IpAddr,
        /// Who has it.
        holder: ObjectId,
    },
    /// A text that is no DNS name.
    #[error("{value:?} is not a DNS name, nor one with *. before it")]
    Host {
        /// The text.
        value: String,
    },
    /// A pod nobody can reach.
    #[error("no address (status.podIPs): no workload")]
    NoAddress,
    /// A text that is no name of a service account.
    #[error("{value:?} is not the name of a service account")]
    ServiceAccountName {
        /// The text.
        value: String,
    },
    /// A label or annotation with a value that means nothing.
    #[error("{value:?} means nothing here: expected {expected}; {consequence}")]
    Setting {
        /// The value.
        value: String,
        /// What could be there.
        expected: &'static str,
        /// What is done instead.
        consequence: &'static str,
    },
    /// A pod that asks to be enrolled and cannot be.
    #[error("never enrolled: {reason}")]
    NeverEnrolled {
        /// Why.
        reason: &'static str,
    },
    /// A path that depends on the reader's working directory.
    #[error("{value:?} is not an absolute path")]
    RelativePath {
        /// The path.
        value: String,
    },
    /// A port that is none.
    #[error("{value:?} is not a port: expected a number from 1 to 65535")]
    Port {
        /// The text.
        value: String,
    },
    /// A text that is no address block.
    #[error("{value:?} is neither an IP address nor an address block such as 10.0.0.0/8")]
    Cidr {
        /// The text.
        value: String,
    },
    /// An empty text among the values.
    #[error("empty value")]
    EmptyValue,
    /// A pattern that could only ever match its own letters, star included.
    #[error("{value:?}: a '*' may stand alone, at the end or at the beginning, and once")]
    Pattern {
        /// The pattern.
        value: String,
    },
    /// A text that names no service account.
    #[error("{value:?} is neither <service account> nor <namespace>/<service account>")]
    ServiceAccount {
        /// The text.
        value: String,
    },
    /// A source or operation that says nothing.
    #[error("says nothing: at least one of its fields is required")]
    Empty,
    /// A condition that says nothing.
    #[error("values or notValues are required")]
    NoValues,
    /// A condition on an attribute that does not exist.
    #[error("unknown attribute {key:?}")]
    UnknownAttribute {
        /// The attribute.
        key: String,
    },
    /// Fields that exclude each other.
    #[error("cannot be combined with {other}")]
    Exclusive {
        /// The other field.
        other: &'static str,
    },
    /// A field that another makes necessary.
    #[error("required with {other}")]
    RequiredWith {
        /// The other field.
        other: &'static str,
    },
    /// A label selector that selects nothing.
    #[error("{value:?} can be no label: it selects nothing")]
    Label {
        /// The key or the value.
        value: String,
    },
    /// In an ALLOW rule, something that is not visible in a TCP connection.
    #[error("cannot be judged without a waypoint: the whole rule allows nothing")]
    AllowRuleDropped,
    /// In a DENY rule, something that is not visible in a TCP connection.
    #[error("cannot be judged without a waypoint: the rule denies as if it were not there")]
    DenyRuleWidened,
    /// A DENY rule of which nothing is left.
    #[error("nothing in this rule can be judged without a waypoint: it denies everything")]
    DeniesEverything,
    /// A DENY policy without rules.
    #[error("a DENY policy without rules denies nothing")]
    DeniesNothing,
    /// CUSTOM.
    #[error("external authorizers cannot be asked without a waypoint: what this matches is denied")]
    CustomDenies,
    /// AUDIT.
    #[error("AUDIT has no effect without a waypoint")]
    AuditIgnored,
    /// A policy for a waypoint.
    #[error("for waypoints and gateways: not enforced by the node agents")]
    ForWaypoint,
    /// A host name that another object has.
    #[error("{host} is already a host of {holder}: left out here")]
    HostTaken {
        /// The host.
        host: Arc<str>,
        /// Whose it is.
        holder: ObjectId,
    },
    /// Something that the API has and we have not.
    #[error("{what} is not supported: {consequence}")]
    Unsupported {
        /// What.
        what: &'static str,
        /// What comes of it.
        consequence: &'static str,
    },
    /// A service without virtual addresses that is no DNS matter of Kubernetes.
    #[error(
        "no addresses: nothing leads clients here, and connections to its hosts are not recognised as the service's; \
         give it addresses of its own, as of 240.240.0.0/16, and have the names of its hosts mean them"
    )]
    NoServiceAddress,
    /// An address at which everybody is alone.
    #[error("{address} is nobody else's: whoever connected to it would reach itself")]
    NobodyElses {
        /// The address.
        address: IpAddr,
    },
    /// A host that is to be looked up, and is none.
    #[error("{value:?} cannot be looked up: it needs endpoints, or another resolution")]
    LookedUp {
        /// The host.
        value: String,
    },
    /// A host that is to be looked up, by a name that means another one on each machine.
    #[error("{value:?} is one word, which each machine would complete its own way: the whole name is needed")]
    OneWord {
        /// The host.
        value: String,
    },
    /// A waypoint that is not there.
    #[error("there is no Gateway {waypoint}: what is to be behind it is refused until there is")]
    WaypointMissing {
        /// What was asked for.
        waypoint: GatewayKey,
    },
    /// A Gateway of another class.
    #[error("Gateway {waypoint} is of class {class:?} and no waypoint: what is to be behind it is refused")]
    NotAWaypoint {
        /// What was asked for.
        waypoint: GatewayKey,
        /// Its class.
        class: Arc<str>,
    },
    /// A waypoint that is not for the namespace.
    #[error("Gateway {waypoint} does not allow this namespace (allowedRoutes): what is to be behind it is refused")]
    WaypointNotAllowed {
        /// What was asked for.
        waypoint: GatewayKey,
    },
    /// A waypoint that is for other things than this one.
    #[error("Gateway {waypoint} is not for {what} (istio.io/waypoint-for): this one is not behind it")]
    WaypointForOthers {
        /// What was asked for.
        waypoint: GatewayKey,
        /// What this one is.
        what: &'static str,
    },
    /// A canary that cannot take connections in the place of its waypoint.
    #[error("canary {waypoint} {why}: it gets no connections")]
    Canary {
        /// What was asked for.
        waypoint: GatewayKey,
        /// What is amiss.
        why: &'static str,
    },
    /// A PeerAuthentication that an older one keeps out of force.
    #[error("{winner} is older and wins{}", if *.selected { " for the workloads both select" } else { "" })]
    Superseded {
        /// The older one.
        winner: ObjectId,
        /// Whether it is a matter of single workloads.
        selected: bool,
    },
}
