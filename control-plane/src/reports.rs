//! What node agents say about the pods of their node: captured, failed, let go.

use std::sync::Arc;

use ambit_model::WorkloadUid;
use ambit_xds::proto::node::node_reports_server::NodeReports;
use ambit_xds::proto::node::pod_report::State;
use ambit_xds::proto::node::{PodReport, ReportSummary};
use ambit_xds::{Authenticator, caller};
use tokio::sync::mpsc;
use tonic::{Request, Response, Status, Streaming};

use crate::agents::Agents;
use crate::annotator::{Standing, Wanted};
use crate::pod_events::Trouble;
use crate::pods::{Pods, Running};
use crate::world::Message;

/// Longest reason that is taken over, in bytes: an event's note may have 1024.
const MAX_REASON: usize = 900;

/// The service.
pub(crate) struct Reports<A> {
    authenticator: Arc<A>,
    agents: Agents,
    outlet: Outlet,
}

/// Where reports go.
#[derive(Clone)]
pub(crate) struct Outlet {
    /// At once to everybody, through discovery.
    pub(crate) world: mpsc::Sender<Message>,
    /// Into the pod's annotation.
    pub(crate) annotator: mpsc::Sender<Wanted>,
    /// Into the pod's events, for its users.
    pub(crate) troubles: mpsc::Sender<Trouble>,
}

/// What a report comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Judged {
    uid: WorkloadUid,
    pod: Running,
    enrolled: bool,
    /// Why it is not, where it should be.
    trouble: Option<String>,
}

impl<A: Authenticator> Reports<A> {
    /// A service that believes `agents`.
    pub(crate) fn new(authenticator: Arc<A>, agents: Agents, outlet: Outlet) -> Self {
        Self { authenticator, agents, outlet }
    }

    async fn pass(&self, judged: Judged) -> Result<(), Status> {
        let Judged { uid, pod, enrolled, trouble } = judged;
        let stopping = || Status::unavailable("stopping");
        let report = Message::Report { uid: uid.clone(), pod_uid: Arc::clone(&pod.pod_uid), enrolled };
        self.outlet.world.send(report).await.map_err(|_| stopping())?;
        if let Some(reason) = trouble {
            // Events are a courtesy: where they pile up, they are left out.
            let _left_out = self.outlet.troubles.try_send(Trouble { pod: pod.clone(), reason });
        }
        let wanted = Wanted { uid, pod, standing: Standing::of(enrolled) };
        self.outlet.annotator.send(wanted).await.map_err(|_| stopping())
    }
}

#[tonic::async_trait]
impl<A: Authenticator> NodeReports for Reports<A> {
    async fn report(&self, request: Request<Streaming<PodReport>>) -> Result<Response<ReportSummary>, Status> {
        let caller = caller(&*self.authenticator, request.metadata()).await?;
        let node = self.agents.node(&caller).map_err(|reason| Status::permission_denied(reason.to_string()))?;
        let mut reports = request.into_inner();
        while let Some(report) = reports.message().await? {
            if let Some(judged) = judge(&self.agents.pods, &node, report) {
                self.pass(judged).await?;
            }
        }
        Ok(Response::new(ReportSummary {}))
    }
}

/// What a report from `node` comes to; nothing if it is about a pod that is not (or no longer) there.
fn judge(pods: &Pods, node: &str, report: PodReport) -> Option<Judged> {
    let uid = WorkloadUid::new(report.uid.as_str());
    let pod = pods.running(&uid).filter(|pod| *pod.node == *node && *pod.pod_uid == *report.pod_uid);
    let Some(pod) = pod else {
        tracing::debug!(node, uid = report.uid, "a report about a pod that is not there");
        return None;
    };
    let (enrolled, trouble) = match State::try_from(report.state) {
        Ok(State::Enrolled) => (true, None),
        Ok(State::Released) => (false, None),
        Ok(State::Failed) => (false, Some(bounded(report.reason))),
        Ok(State::Unknown) | Err(_) => return None,
    };
    // An agent that connects again says everything again.
    if pod.is_annotated() != enrolled || trouble.is_some() {
        tracing::info!(pod = %uid, node, enrolled, reason = trouble.as_deref(), "reported");
    }
    Some(Judged { uid, pod, enrolled, trouble })
}

fn bounded(mut reason: String) -> String {
    reason.truncate(reason.floor_char_boundary(MAX_REASON));
    reason
}

#[cfg(test)]
mod tests;
