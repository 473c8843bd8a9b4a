//! What the control plane says of the mesh, as steps from one snapshot to the next, and of users' objects, as the
//! compiler takes them. No I/O.

use std::collections::HashMap;
use std::sync::Arc;

use ambit_compile::Input;
use ambit_model::{Application, Interner, Labels, ServiceKey, Workload, WorkloadUid};
use ambit_resources::{Issue, ObjectId, Problem, Refusal, parse_object};
use ambit_state::{Snapshot, Update as Step};
use ambit_xds::{Address, AddressName, DecodeError, Decoder, TypeUrl};
use bytes::Bytes;

/// What has been said and not been published yet, and what must be known for what comes.
#[derive(Default)]
pub(super) struct Mesh {
    decoder: Decoder,
    labels: HashMap<WorkloadUid, Arc<Labels>>,
    all_labels: Interner<Labels>,
    applications: Interner<Application>,
    /// The users' objects, by their resources' names.
    objects: HashMap<Arc<str>, ObjectId>,
    steps: Vec<Step>,
    /// Workloads whose labels may be others.
    relabelled: Vec<WorkloadUid>,
    inputs: Vec<Input>,
    /// In DER.
    roots: Option<Vec<Bytes>>,
}

/// What is next.
pub(super) struct Pending {
    /// The mesh.
    pub(super) snapshot: Snapshot,
    /// What happened to users' objects.
    pub(super) inputs: Vec<Input>,
    /// The services that are not as they were.
    pub(super) services: Vec<ServiceKey>,
}

/// Why a resource is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    /// It is not what its type says.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A user's object that is no JSON.
    #[error("not a JSON document")]
    Json(#[from] serde_json::Error),
    /// A user's object this waypoint cannot read, as one of a newer control plane.
    #[error("{}", first(.0))]
    Object(Vec<Issue<Problem>>),
}

/// One of several says enough.
fn first(issues: &[Issue<Problem>]) -> String {
    issues.first().map_or_else(|| "an object of no known kind".to_owned(), ToString::to_string)
}

impl Mesh {
    /// Takes a resource. What cannot be read changes nothing, but that a policy no version of which ever could
    /// denies everything.
    pub(super) fn put(&mut self, of: TypeUrl, name: &Arc<str>, body: Bytes) -> Result<(), Refused> {
        match of {
            TypeUrl::Address => match self.decoder.address(name, body)? {
                Address::Workload(workload) => {
                    let workload = self.labelled(workload);
                    self.steps.push(Step::Workload(Arc::new(workload)));
                }
                Address::Service(service) => self.steps.push(Step::Service(Arc::new(service))),
            },
            TypeUrl::Labels => {
                let labels = self.decoder.labels(name, body)?;
                let uid = WorkloadUid::new(&**name);
                self.labels.insert(uid.clone(), self.all_labels.share(labels));
                self.relabelled.push(uid);
            }
            TypeUrl::TrustBundle => self.roots = Some(self.decoder.trust_bundle(name, body)?),
            TypeUrl::Object => self.put_object(name, body)?,
            TypeUrl::Authorization | TypeUrl::Pod | TypeUrl::MeshedNamespace => {} // the agents'
        }
        Ok(())
    }

    fn put_object(&mut self, name: &Arc<str>, body: Bytes) -> Result<(), Refused> {
        let object = self.decoder.object(name, body)?;
        match parse_object(serde_json::from_slice(&object.json)?, &Arc::from("the control plane")) {
            Ok((Some(parsed), issues)) => {
                self.objects.insert(Arc::clone(name), parsed.origin.id.clone());
                self.inputs.push(Input::Put(Box::new(parsed), issues));
                Ok(())
            }
            Ok((None, issues)) => Err(Refused::Object(issues)),
            Err(Refusal { id, targets, issues }) => {
                if let Some(id) = id {
                    self.objects.insert(Arc::clone(name), id.clone());
                    self.inputs.push(Input::Refused(id, targets, issues.clone()));
                }
                Err(Refused::Object(issues))
            }
        }
    }

    /// The labels of a workload, once they were said.
    pub(super) fn labels(&self, of: &WorkloadUid) -> Option<&Labels> {
        self.labels.get(of).map(|labels| &**labels)
    }

    /// Takes a resource out.
    pub(super) fn remove(&mut self, of: TypeUrl, name: &str) -> Result<(), DecodeError> {
        match of {
            TypeUrl::Address => self.steps.push(match AddressName::parse(name)? {
                AddressName::Workload(uid) => Step::RemoveWorkload(uid),
                AddressName::Service(key) => Step::RemoveService(key),
            }),
            TypeUrl::Labels => {
                let uid = WorkloadUid::new(name);
                self.labels.remove(&uid);
                self.relabelled.push(uid);
            }
            TypeUrl::Object => self.inputs.extend(self.objects.remove(name).map(Input::Remove)),
            // Without roots nobody could be believed: the last ones stay.
            TypeUrl::TrustBundle => {}
            TypeUrl::Authorization | TypeUrl::Pod | TypeUrl::MeshedNamespace => {}
        }
        Ok(())
    }

    /// The roots, if they came since this was last asked.
    pub(super) fn take_roots(&mut self) -> Option<Vec<Bytes>> {
        self.roots.take()
    }

    /// Whether nothing has been said since the last time.
    pub(super) fn is_settled(&self) -> bool {
        self.steps.is_empty() && self.relabelled.is_empty() && self.inputs.is_empty()
    }

    /// What comes after this snapshot.
    pub(super) fn settle(&mut self, before: &Snapshot) -> Pending {
        let steps = std::mem::take(&mut self.steps);
        let services = steps.iter().filter_map(service).collect();
        let (snapshot, _) = before.apply(steps);
        let relabelled = std::mem::take(&mut self.relabelled);
        let others = relabelled.iter().filter_map(|uid| self.relabel(snapshot.workload(uid)?));
        let (snapshot, _) = snapshot.apply(others.collect::<Vec<_>>());
        Pending { snapshot, inputs: std::mem::take(&mut self.inputs), services }
    }

    /// The step that gives a workload the labels it has, if it has others.
    fn relabel(&mut self, workload: &Arc<Workload>) -> Option<Step> {
        let labels = self.labels.get(&workload.uid);
        let differs = labels.map_or(!workload.labels.is_empty(), |labels| *workload.labels != **labels);
        differs.then(|| Step::Workload(Arc::new(self.labelled(Workload::clone(workload)))))
    }

    /// A workload with its labels.
    fn labelled(&mut self, mut workload: Workload) -> Workload {
        let labels = self.labels.get(&workload.uid).cloned().unwrap_or_default();
        workload.application =
            self.applications.share(Application { labels, ..Application::clone(&workload.application) });
        workload
    }
}

/// The service a step is about.
fn service(step: &Step) -> Option<ServiceKey> {
    match step {
        Step::Service(service) => Some(service.key.clone()),
        Step::RemoveService(key) => Some(key.clone()),
        Step::Workload(_) | Step::RemoveWorkload(_) | Step::Policy(_) | Step::RemovePolicy(_) | Step::Found(..) => None,
    }
}
