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
use crate::l7::telemetry::merge;

impl L7Store {
    /// What objects say together, the oldest first: of each level, that one counts.
    pub(super) fn telemetry<'i>(&mut self, ids: impl Iterator<Item = &'i ObjectId>) -> Option<Arc<l7::Telemetry>> {
        let mut levels = BTreeMap::new();
        for id in ids {
            let Some(held) = self.objects.get(id) else { continue };
            let Meaning::Telemetry(telemetry) = &held.means else { continue };
            let mut cx = Cx::of(&held.origin, &self.options, &mut self.expressions);
            telemetry.check(&self.mesh.reporting, &mut cx);
            let (winner, _) = levels.entry(telemetry.level).or_insert((id, telemetry));
            if *winner != id {
                cx.warning(&At::SPEC, L7Problem::OlderWins { winner: winner.to_string().into() });
            }
            let issues = cx.findings.issues;
            self.issues.for_reason(id, Reason::Provider, issues);
        }
        let levels: Vec<_> = levels.values().map(|(_, telemetry)| *telemetry).collect();
        merge(&levels, &self.mesh.reporting)
    }
}
