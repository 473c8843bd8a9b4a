//! What node agents say about the pods of their node: captured, failed, let go.

use std::sync::Arc;

use ambit_model::WorkloadUid;
use ambit_xds::proto::node::node_reports_server::NodeReports;
use ambit_xds::proto::node::pod_report::State;
use ambit_xds::proto::node::{PodReport, ReportSummary};
use ambit_xds::{Authenticator, Caller, caller};
use tokio::sync::mpsc;
use tonic::{Request, Response, Status, Streaming};

use crate::annotator::{Standing, Wanted};
use crate::certificates::NodeIdentities;
use crate::config::ServiceAccountName;
use crate::pod_events::Trouble;
use crate::pods::{Pods, Running};
use crate::world::Message;

/// Longest reason that is taken over, in bytes: an event's note may have 1024.
const MAX_REASON: usize = 900;

/// The service.
pub(crate) struct Reports<A> {
    authenticator: Arc<A>,
    accounts: Vec<ServiceAccountName>,
    pods: Arc<Pods>,
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
    /// A service that believes agents running as one of `accounts`.
    pub(crate) fn new(
        authenticator: Arc<A>,
        accounts: Vec<ServiceAccountName>,
        pods: Arc<Pods>,
        outlet: Outlet,
    ) -> Self {
        Self { authenticator, accounts, pods, outlet }
    }

    /// The node whose agent the caller is.
    fn node(&self, caller: &Caller) -> Result<Arc<str>, Status> {
        let is_caller = |account: &ServiceAccountName| {
            account.namespace == caller.namespace && account.name == caller.service_account
        };
        if !self.accounts.iter().any(is_caller) {
            return Err(Status::permission_denied("only node agents report"));
        }
        let denied = |why: &str| Status::permission_denied(why);
        let pod = caller.pod.as_ref().ok_or_else(|| denied("the token is bound to no pod"))?;
        let node = self.pods.node_of_pod(&caller.namespace, &pod.name, &pod.uid);
        let node = node.ok_or_else(|| denied("the caller's pod does not exist"))?;
        // Clusters before Kubernetes 1.30 put no node into tokens.
        if caller.node.as_deref().is_some_and(|claimed| *claimed != *node) {
            return Err(denied("the token is of another node than its pod"));
        }
        Ok(node)
    }

    async fn pass(&self, judged: Judged) -> Result<(), Status> {
        let Judged { uid, pod, enrolled, trouble } = judged;
        let stopping = || Status::unavailable("stopping");
        let report = Message::Report { uid: uid.clone(), enrolled };
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
        let node = self.node(&caller)?;
        let mut reports = request.into_inner();
        while let Some(report) = reports.message().await? {
            if let Some(judged) = judge(&self.pods, &node, report) {
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
