//! Tells the control plane how enrolment stands: a pod's peers may use the tunnel from then on.
//!
//! Everything is said again on every new stream: what the control plane heard before may have been
//! another replica's.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ambit_model::WorkloadUid;
use ambit_uplink::ControlPlane;
use ambit_xds::proto::node::PodReport;
use ambit_xds::proto::node::node_reports_client::NodeReportsClient;
use ambit_xds::proto::node::pod_report::State as Reported;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;

use crate::enrolment::{Standing, Standings, State};

/// Pause after a first failure; it doubles with every further one.
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
/// Longest pause. What is not reported keeps pods out of the mesh, so it is short.
const LAST_BACKOFF: Duration = Duration::from_secs(2);
/// Reports on their way.
const REPORTS: usize = 64;

/// Reports for as long as it runs.
pub(crate) async fn report(channel: ControlPlane, mut standings: watch::Receiver<Standings>) {
    let mut backoff = FIRST_BACKOFF;
    loop {
        // Nothing is known before the first pass, and an empty word would be none.
        if standings.wait_for(|standings| !standings.is_empty()).await.is_err() {
            return;
        }
        let begun = Instant::now();
        let status = stream(&channel, &mut standings).await;
        tracing::debug!(%status, "the stream of reports ended");
        backoff = if begun.elapsed() > LAST_BACKOFF { FIRST_BACKOFF } else { (backoff * 2).min(LAST_BACKOFF) };
        tokio::time::sleep(backoff).await;
    }
}

/// One stream, to its end.
async fn stream(channel: &ControlPlane, standings: &mut watch::Receiver<Standings>) -> tonic::Status {
    let mut said = Said::default();
    let (reports, sent) = mpsc::channel(REPORTS);
    let mut client = NodeReportsClient::new(channel.clone());
    let call = async {
        match client.report(ReceiverStream::new(sent)).await {
            Ok(_) => tonic::Status::ok("ended by the control plane"),
            Err(status) => status,
        }
    };
    let say = async {
        loop {
            let now = standings.borrow_and_update().clone();
            for report in said.news(&now) {
                if reports.send(report).await.is_err() {
                    return; // the call says why
                }
            }
            if standings.changed().await.is_err() {
                return;
            }
        }
    };
    tokio::pin!(call);
    tokio::select! {
        status = &mut call => status,
        () = say => call.await,
    }
}

/// What was said on a stream.
#[derive(Debug, Default)]
struct Said(BTreeMap<WorkloadUid, Standing>);

impl Said {
    /// What is to be said now. Of a pod that is gone nothing: everybody knows.
    fn news(&mut self, now: &Standings) -> Vec<PodReport> {
        let news = now.iter().filter(|(uid, standing)| self.0.get(*uid) != Some(standing)).map(message).collect();
        self.0.clone_from(now);
        news
    }
}

fn message((uid, standing): (&WorkloadUid, &Standing)) -> PodReport {
    let (state, reason) = match &standing.state {
        State::Enrolled { .. } => (Reported::Enrolled, String::new()),
        State::Failed(reason) => (Reported::Failed, reason.clone()),
        State::Released => (Reported::Released, String::new()),
    };
    PodReport { uid: uid.to_string(), pod_uid: standing.pod_uid.to_string(), state: state.into(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_is_said_once() {
        let uid = |name| WorkloadUid::pod("Kubernetes", "shop", name);
        let standing = |pod_uid: &str, state| Standing { pod_uid: pod_uid.into(), state };
        let mut now = Standings::from([
            (uid("web"), standing("u1", State::Enrolled { netns: 7 })),
            (uid("plain"), standing("u2", State::Released)),
        ]);
        let mut said = Said::default();
        let states = |said: &mut Said, now: &Standings| {
            said.news(now).iter().map(|report| (report.pod_uid.clone(), report.state())).collect::<Vec<_>>()
        };
        let all = [("u2".to_owned(), Reported::Released), ("u1".to_owned(), Reported::Enrolled)];
        assert_eq!(states(&mut said, &now), all);
        assert_eq!(states(&mut said, &now), []);
        now.insert(uid("web"), standing("u3", State::Failed("no namespace".to_owned())));
        let report = said.news(&now).pop().unwrap();
        assert_eq!((report.state(), report.reason.as_str()), (Reported::Failed, "no namespace"));
        now.remove(&uid("web"));
        assert_eq!(states(&mut said, &now), []);
        now.insert(uid("web"), standing("u3", State::Enrolled { netns: 8 }));
        assert_eq!(states(&mut said, &now), [("u3".to_owned(), Reported::Enrolled)]);
        assert_eq!(states(&mut Said::default(), &now).len(), 2, "another stream has heard nothing");
    }
}
