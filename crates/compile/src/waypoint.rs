//! Waypoints, and who is to be behind which, as the objects themselves say.

use std::sync::Arc;

use ambit_model::{GatewayKey, HBONE_PORT, Interner, WaypointFailure};
use ambit_resources::gateway_api::{FromNamespaces, LabelOperator, LabelRequirement, LabelSelector, Listener};
use ambit_resources::{self as resources, FieldPath, Metadata};

use crate::Problem;
use crate::findings::Findings;
use crate::labels::Labels;

/// What is behind which waypoint.
pub(crate) const USE: &str = "istio.io/use-waypoint";
const USE_NAMESPACE: &str = "istio.io/use-waypoint-namespace";
/// What a waypoint is for.
const FOR: &str = "istio.io/waypoint-for";
/// What becomes of connections while the waypoint is not there.
const FAILURE: &str = "ambit.io/waypoint-failure-mode";
/// The waypoint that takes some connections in its place.
pub(crate) const CANARY: &str = "istio.io/use-waypoint-canary";
const CANARY_NAMESPACE: &str = "istio.io/use-waypoint-canary-namespace";
/// How many of a hundred; an annotation.
const CANARY_WEIGHT: &str = "istio.io/use-waypoint-canary-weight";
/// The label by which Kubernetes gives each namespace its name.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// The class of waypoints.
pub(crate) const CLASS: &str = "istio-waypoint";
/// Whose classes are of waypoints, whatever they are called.
const CONTROLLER: &str = "istio.io/mesh-controller";
const HBONE: &str = "HBONE";

/// What an object asks for; nothing where it leaves that to its namespace.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Ask {
    pub(crate) waypoint: Option<Choice>,
    pub(crate) failure: Option<WaypointFailure>,
    pub(crate) canary: Option<AskedCanary>,
}

/// The waypoint that is to take some connections in the place of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AskedCanary {
    pub(crate) waypoint: GatewayKey,
    /// How many of a hundred.
    pub(crate) percent: u8,
}

/// The waypoint to be behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Choice {
    None,
    Waypoint(GatewayKey),
}

impl Ask {
    /// What labels and annotations ask for, of an object in a namespace, or of the namespace itself.
    pub(crate) fn of(namespace: &Arc<str>, metadata: &Metadata, texts: &mut Interner<str>) -> Self {
        let waypoint = Choice::of(namespace, |key| metadata.labels.get(key).map(|value| texts.share(value.as_str())));
        Self { waypoint, failure: failure(metadata), canary: AskedCanary::of(namespace, metadata, texts) }
    }

    /// The waypoints it asks for.
    pub(crate) fn waypoints(&self) -> impl Iterator<Item = &GatewayKey> {
        let waypoint = self.waypoint.as_ref().and_then(Choice::waypoint);
        waypoint.into_iter().chain(self.canary.as_ref().map(|canary| &canary.waypoint))
    }
}

impl AskedCanary {
    /// Beside the waypoint of the object, or where the object would have one.
    fn of(namespace: &Arc<str>, metadata: &Metadata, texts: &mut Interner<str>) -> Option<Self> {
        let mut label = |key| metadata.labels.get(key).filter(|it| !it.is_empty()).map(|it| texts.share(it.as_str()));
        let name = label(CANARY).filter(|name| **name != *"none")?;
        let namespace = label(CANARY_NAMESPACE).unwrap_or_else(|| Arc::clone(namespace));
        Some(Self { waypoint: GatewayKey { namespace, name }, percent: percent(metadata).unwrap_or_default() })
    }
}

/// None where that is no percentage. Who names no weight names it later.
fn percent(metadata: &Metadata) -> Option<u8> {
    let Some(weight) = metadata.annotations.get(CANARY_WEIGHT) else { return Some(0) };
    weight.parse().ok().filter(|percent| *percent <= 100)
}

impl Choice {
    pub(crate) fn of(namespace: &Arc<str>, mut label: impl FnMut(&str) -> Option<Arc<str>>) -> Option<Self> {
        let name = label(USE).filter(|name| !name.is_empty())?;
        if *name == *"none" {
            return Some(Self::None);
        }
        let namespace = label(USE_NAMESPACE).filter(|it| !it.is_empty()).unwrap_or_else(|| Arc::clone(namespace));
        Some(Self::Waypoint(GatewayKey { namespace, name }))
    }

    pub(crate) fn waypoint(&self) -> Option<&GatewayKey> {
        match self {
            Self::None => None,
            Self::Waypoint(key) => Some(key),
        }
    }
}

/// What an annotation says of the time without the waypoint. What means nothing cannot mean less safety.
pub(crate) fn failure(metadata: &Metadata) -> Option<WaypointFailure> {
    let said = metadata.annotations.get(FAILURE)?;
    Some(if said == "open" { WaypointFailure::Open } else { WaypointFailure::Closed })
}

/// What is to be said about the annotations of what may be behind a waypoint.
pub(crate) fn check_metadata(metadata: &Metadata, findings: &mut Findings<'_>) {
    if let Some(value) = metadata.annotations.get(FAILURE)
        && !matches!(value.as_str(), "open" | "closed")
    {
        let at = FieldPath::of("metadata.annotations").field(FAILURE);
        let consequence = "connections are refused while the waypoint is not there";
        findings.warning(at, Problem::Setting { value: value.clone(), expected: "open or closed", consequence });
    }
    if metadata.labels.contains_key(CANARY) && percent(metadata).is_none() {
        let at = FieldPath::of("metadata.annotations").field(CANARY_WEIGHT);
        let value = metadata.annotations.get(CANARY_WEIGHT).cloned().unwrap_or_default();
        let (expected, consequence) = ("a whole number from 0 to 100", "the canary gets no connections");
        findings.warning(at, Problem::Setting { value, expected, consequence });
    }
}

/// The same of a workload.
pub(crate) fn check_workload(metadata: &Metadata, findings: &mut Findings<'_>) {
    check_metadata(metadata, findings);
    if metadata.labels.contains_key(CANARY) {
        let what = "a canary of a workload's own waypoint";
        let consequence = "connections to its own address go through the waypoint alone";
        let at = FieldPath::of("metadata.labels").field(CANARY);
        findings.warning(at, Problem::Unsupported { what, consequence });
    }
}

/// A Gateway, which is a waypoint if its class says so.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Gateway {
    pub(crate) class: Arc<str>,
    pub(crate) serves: Serves,
    pub(crate) admits: Admits,
    /// The port of its tunnels.
    pub(crate) port: u16,
}

/// What a waypoint is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Serves {
    pub(crate) services: bool,
    pub(crate) workloads: bool,
}

/// Of which namespaces something may be behind a waypoint.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Admits {
    None,
    Same,
    All,
    Those(NamespaceSelector),
}

/// Namespaces by their labels.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NamespaceSelector {
    labels: Labels,
    requirements: Box<[LabelRequirement]>,
}

/// What a Gateway means by itself.
pub(crate) fn prepare(gateway: &resources::Gateway, texts: &mut Interner<str>) -> Gateway {
    let said = gateway.metadata.labels.get(FOR).map(String::as_str);
    let listener = gateway.spec.listeners.iter().find(|listener| listener.protocol == HBONE);
    Gateway {
        class: texts.share(gateway.spec.gateway_class_name.as_str()),
        serves: Serves {
            services: !matches!(said, Some("workload" | "none")),
            workloads: matches!(said, Some("workload" | "all")),
        },
        admits: admits(listener, texts),
        port: listener.map(|listener| listener.port).filter(|port| *port != 0).unwrap_or(HBONE_PORT),
    }
}

pub(crate) fn admits(listener: Option<&Listener>, texts: &mut Interner<str>) -> Admits {
    let policy = listener.and_then(|listener| listener.allowed_routes.as_ref()).map(|allowed| &allowed.namespaces);
    match policy.and_then(|policy| policy.from) {
        None | Some(FromNamespaces::Same) => Admits::Same,
        Some(FromNamespaces::All) => Admits::All,
        Some(FromNamespaces::None) => Admits::None,
        Some(FromNamespaces::Selector) => match policy.and_then(|policy| policy.selector.as_ref()) {
            None => Admits::None,
            Some(LabelSelector { match_labels, match_expressions }) => Admits::Those(NamespaceSelector {
                labels: Labels::of(match_labels, texts),
                requirements: match_expressions.as_slice().into(),
            }),
        },
    }
}

/// What is to be said about a Gateway.
pub(crate) fn check(gateway: &resources::Gateway, findings: &mut Findings<'_>) {
    if let Some(value) = gateway.metadata.labels.get(FOR)
        && !matches!(value.as_str(), "service" | "workload" | "all" | "none")
    {
        let at = FieldPath::of("metadata.labels").field(FOR);
        let (expected, consequence) = ("service, workload, all or none", "it is for services");
        findings.warning(at, Problem::Setting { value: value.clone(), expected, consequence });
    }
}

/// Whether a class is of waypoints.
pub(crate) fn is_waypoint_class(class: &resources::GatewayClass) -> bool {
    class.spec.controller_name == CONTROLLER
}

/// What a namespace tells of itself to those that choose by labels: with its name, which in Kubernetes is one.
pub(crate) fn namespace_labels(name: &str, metadata: &Metadata, texts: &mut Interner<str>) -> Labels {
    let mut labels = metadata.labels.clone();
    labels.entry(NAMESPACE_NAME.to_owned()).or_insert_with(|| name.to_owned());
    Labels::of(&labels, texts)
}

impl NamespaceSelector {
    pub(crate) fn selects(&self, namespace: &Labels) -> bool {
        let holds = |LabelRequirement { key, operator, values }: &LabelRequirement| {
            let value = namespace.value(key);
            let is_one = || value.is_some_and(|value| values.iter().any(|it| **it == **value));
            match operator {
                LabelOperator::In => is_one(),
                LabelOperator::NotIn => !is_one(),
                LabelOperator::Exists => value.is_some(),
                LabelOperator::DoesNotExist => value.is_none(),
            }
        };
        namespace.satisfy(&self.labels) && self.requirements.iter().all(holds)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn labels(text: &str) -> BTreeMap<String, String> {
        text.split_whitespace().filter_map(|it| it.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
    }

    #[test]
    fn what_labels_ask_for() {
        for (given, expected) in [
            ("", None),
            ("istio.io/use-waypoint=", None),
            ("istio.io/use-waypoint-namespace=edge", None),
            ("istio.io/use-waypoint=none", Some(None)),
            ("istio.io/use-waypoint=none istio.io/use-waypoint-namespace=edge", Some(None)),
            ("istio.io/use-waypoint=wp", Some(Some("shop/wp"))),
            ("istio.io/use-waypoint=wp istio.io/use-waypoint-namespace=", Some(Some("shop/wp"))),
            ("istio.io/use-waypoint=wp istio.io/use-waypoint-namespace=edge", Some(Some("edge/wp"))),
        ] {
            let metadata = Metadata { labels: labels(given), ..Metadata::default() };
            let ask = Ask::of(&"shop".into(), &metadata, &mut Interner::default());
            let found = ask.waypoint.as_ref().map(|choice| choice.waypoint().map(ToString::to_string));
            assert_eq!(found, expected.map(|it| it.map(str::to_owned)), "{given}");
        }
    }

    #[test]
    fn namespaces_by_their_labels() {
        let requirement = |key: &str, operator, values: &[&str]| LabelRequirement {
            key: key.to_owned(),
            operator,
            values: values.iter().map(|it| (*it).to_owned()).collect(),
        };
        use LabelOperator::{DoesNotExist, Exists, In, NotIn};
        for (wanted, requirements, expected) in [
            ("", vec![], true),
            ("team=a", vec![], true),
            ("team=b", vec![], false),
            ("kubernetes.io/metadata.name=shop", vec![], true),
            ("", vec![requirement("team", In, &["a", "b"])], true),
            ("", vec![requirement("team", In, &["b"])], false),
            ("", vec![requirement("team", NotIn, &["b"])], true),
            ("", vec![requirement("other", NotIn, &["b"])], true),
            ("", vec![requirement("team", Exists, &[]), requirement("other", DoesNotExist, &[])], true),
            ("", vec![requirement("team", Exists, &[]), requirement("team", DoesNotExist, &[])], false),
        ] {
            let mut texts = Interner::default();
            let metadata = Metadata { labels: labels("team=a"), ..Metadata::default() };
            let namespace = namespace_labels("shop", &metadata, &mut texts);
            let shown = format!("{wanted} {requirements:?}");
            let labels = Labels::of(&labels(wanted), &mut texts);
            let selector = NamespaceSelector { labels, requirements: requirements.into() };
            assert_eq!(selector.selects(&namespace), expected, "{shown}");
        }
    }
}
