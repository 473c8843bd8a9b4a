//! What a pod of this node is in this node's own snapshot: usually what the control plane says of its
//! workload. It cannot say the addresses of a pod that is just starting; the CNI plugin can.

use std::net::IpAddr;
use std::sync::Arc;

use ambit_model::{NodePod, Workload};

/// The workload to go by, of what is known: what discovery says of it (`said`), the pod as scheduled to
/// this node, and the addresses of the namespace that was made for it. As soon as discovery knows the
/// addresses, its word counts.
pub(crate) fn workload(
    said: Option<Arc<Workload>>,
    pod: Option<&NodePod>,
    addresses: Option<&[IpAddr]>,
) -> Option<Arc<Workload>> {
    let (Some(pod), Some(addresses)) = (pod.filter(|pod| pod.enrol), addresses) else { return said };
    let knows = |said: &Arc<Workload>| {
        !said.addresses.is_empty() && said.addresses.iter().all(|address| addresses.contains(address))
    };
    if said.as_ref().is_some_and(knows) {
        return said;
    }
    let own = Workload { addresses: addresses.iter().copied().collect(), ..Workload::clone(&pod.workload) };
    Some(Arc::new(own))
}

#[cfg(test)]
mod tests {
    use ambit_model::Identity;

    use super::*;
    use crate::cluster::fixtures::{node_pod, workload as with};

    #[test]
    fn discovery_has_the_last_word_once_it_knows_the_addresses() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let (new, new6, old) = (ip("10.0.0.2"), ip("fd00::2"), ip("10.0.0.1"));
        let pod = node_pod(with("web", &[]), "uid", true);
        let left_alone = node_pod(with("web", &[]), "uid", false);
        let own = with("web", &[new, new6]);
        let said = |addresses: &[IpAddr]| {
            let mut said = with("web", addresses);
            Arc::make_mut(&mut said.application).identity = Identity::new("cluster.local", "shop", "said");
            Some(Arc::new(said))
        };
        let made = Some(&[new, new6][..]);
        for (what, said, pod, made, expected) in [
            ("nothing", None, None, None, None),
            ("another's pod", said(&[old]), None, None, said(&[old])),
            ("no CNI", said(&[old]), Some(&pod), None, said(&[old])),
            ("just made", None, Some(&pod), made, Some(Arc::new(own.clone()))),
            ("said without addresses", said(&[]), Some(&pod), made, Some(Arc::new(own.clone()))),
            ("said of its predecessor", said(&[old]), Some(&pod), made, Some(Arc::new(own.clone()))),
            ("said", said(&[new, new6]), Some(&pod), made, said(&[new, new6])),
            ("said of one family", said(&[new]), Some(&pod), made, said(&[new])),
            ("not meshed", said(&[]), Some(&left_alone), made, said(&[])),
            ("not meshed and not said", None, Some(&left_alone), made, None),
        ] {
            assert_eq!(workload(said, pod, made), expected, "{what}");
        }
    }
}
