//! Credentials: who refers to them, and what is to be said of those that cannot be used.

use std::sync::Arc;

use ambit_l7::CredentialKey;
use ambit_resources::ObjectId;

use super::L7Store;
use super::held::Meaning;
use super::issues::Reason;
use crate::l7::L7Problem;
use crate::l7::credentials::{Held, Named, key};
use crate::l7::cx::Cx;

impl L7Store {
    /// A Secret or ConfigMap comes, changes or goes.
    pub(super) fn change_credential(&mut self, id: &ObjectId, held: Option<Held>) {
        let Some(key) = key(id) else { return };
        let given = Arc::make_mut(&mut self.config.credentials);
        match held {
            Some(held) => drop(given.0.insert(key.clone(), held)),
            None => drop(given.0.remove(&key)),
        }
        let naming: Vec<_> = self.index.credentials.of(&key).cloned().collect();
        naming.iter().for_each(|id| self.say_of_credentials(id));
    }

    /// An object that names credentials comes, or goes.
    pub(super) fn change_named(&mut self, id: &ObjectId, comes: bool) {
        let keys: Vec<CredentialKey> = self.named(id).iter().flat_map(|(_, named)| named.keys()).collect();
        keys.iter().for_each(|key| self.index.credentials.change(key, id, comes));
        if comes {
            self.say_of_credentials(id);
        }
    }

    fn say_of_credentials(&mut self, id: &ObjectId) {
        let given = &self.config.credentials;
        let wrong: Vec<_> = self
            .named(id)
            .iter()
            .flat_map(|(at, named)| given.problems(named).into_iter().map(move |error| (at.clone(), error)))
            .collect();
        let Some(held) = self.objects.get(id) else { return };
        let mut cx = Cx::of(&held.origin, &self.options, &mut self.expressions);
        for (at, error) in wrong {
            cx.findings.warning(at, L7Problem::from(error).into());
        }
        let issues = cx.findings.issues;
        self.issues.for_reason(id, Reason::Credentials, issues);
    }

    fn named(&self, id: &ObjectId) -> &[Named] {
        match self.objects.get(id).map(|held| &held.means) {
            Some(Meaning::DestinationRule(rule)) => &rule.credentials,
            Some(Meaning::BackendTls(policy)) => &policy.credentials,
            _ => &[],
        }
    }
}
