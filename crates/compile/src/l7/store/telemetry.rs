//! What is told of the requests of one service.

use std::collections::BTreeMap;
use std::sync::Arc;

use ambit_l7::telemetry as l7;
use ambit_resources::ObjectId;

use super::L7Store;
use super::held::Meaning;
use super::issues::Reason;
use crate::l7::L7Problem;
use crate::l7::at::At;
use crate::l7::cx::Cx;
use crate::l7::telemetry::{Telemetry, merge};

impl L7Store {
    /// What objects say together, the oldest first: of each level, that one counts.
    pub(super) fn telemetry<'i>(&mut self, ids: impl Iterator<Item = &'i ObjectId>) -> Option<Arc<l7::Telemetry>> {
        let mut levels = BTreeMap::new();
        for id in ids {
            let Some(held) = self.objects.get(id) else { continue };
            let Meaning::Telemetry(telemetry) = &held.means else { continue };
            let older = self.older(id, telemetry).map(ToString::to_string);
            let mut cx = Cx::of(&held.origin, &self.options, &mut self.expressions);
            telemetry.check(&self.mesh.reporting, &mut cx);
            levels.entry(telemetry.level).or_insert(telemetry);
            if let Some(winner) = older {
                cx.warning(&At::SPEC, L7Problem::OlderWins { winner: winner.into() });
            }
            let issues = cx.findings.issues;
            self.issues.for_reason(id, Reason::Provider, issues);
        }
        let levels: Vec<_> = levels.into_values().collect();
        merge(&levels, &self.mesh.reporting)
    }

    /// An object that counts in the place of this one, for any of what it is attached to: the same whichever service it
    /// is asked about.
    fn older(&self, id: &ObjectId, telemetry: &Telemetry) -> Option<&ObjectId> {
        let is_of_its_level = |other: &&ObjectId| match self.objects.get(*other).map(|held| &held.means) {
            Some(Meaning::Telemetry(other)) => other.level == telemetry.level,
            _ => false,
        };
        let firsts = telemetry.targets.iter().filter_map(|target| {
            let attached = self.index.targets.of(target).map(|(_, id)| id);
            attached.into_iter().find(is_of_its_level)
        });
        firsts.into_iter().find(|first| *first != id)
    }
}
