//! What is in force in place of a policy that this agent cannot read, as one written for a newer agent.
//! Without it more would be allowed than its writer meant; without everything else, nothing would work.

use ambit_model::{Action, Authorization, PolicyKey, Rule, Scope};
use ambit_xds::proto::security;
use bytes::Bytes;
use prost::Message;

/// A policy that denies everything to whom it applies: to those the message says, if that much of it can be
/// read, or else to its namespace.
pub(super) fn stand_in(key: PolicyKey, body: &Bytes) -> Authorization {
    let scope = scope(&key, body).unwrap_or(Scope::Namespace);
    Authorization { key, scope, action: Action::Deny, rules: vec![Rule::default()], dry_run: false }
}

/// The whole mesh is what an empty message says, too: it must name itself to be believed.
fn scope(key: &PolicyKey, body: &Bytes) -> Option<Scope> {
    let message = security::Authorization::decode(body.clone()).ok()?;
    if *message.namespace != *key.namespace || *message.name != *key.name {
        return None;
    }
    Some(match security::Scope::try_from(message.scope).ok()? {
        security::Scope::Global => Scope::Global,
        security::Scope::Namespace => Scope::Namespace,
        security::Scope::WorkloadSelector => Scope::WorkloadSelector,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_denies_to_those_the_message_names_and_else_to_its_namespace() {
        let message = |name: &str, scope: i32, more: &[u8]| {
            let (name, namespace) = (name.to_owned(), "shop".to_owned());
            let message = security::Authorization { name, namespace, scope, ..security::Authorization::default() };
            Bytes::from([&message.encode_to_vec(), more].concat())
        };
        // Field 999 of a later version.
        let later = &[0xb8, 0x3e, 0x01];
        for (what, body, expected) in [
            ("not a message", Bytes::from_static(b"\xff"), Scope::Namespace),
            ("empty", Bytes::new(), Scope::Namespace),
            ("another's", message("other", 0, &[]), Scope::Namespace),
            ("an unknown scope", message("deny", 7, &[]), Scope::Namespace),
            ("of the mesh", message("deny", security::Scope::Global.into(), later), Scope::Global),
            ("of its namespace", message("deny", security::Scope::Namespace.into(), later), Scope::Namespace),
            ("listed", message("deny", security::Scope::WorkloadSelector.into(), later), Scope::WorkloadSelector),
        ] {
            let key = PolicyKey { namespace: "shop".into(), name: "deny".into() };
            let policy = stand_in(key, &body);
            assert_eq!((policy.scope, policy.action, policy.rules.len()), (expected, Action::Deny, 1), "{what}");
        }
    }
}
