//! The second step: rules whose destinations are looked up, for one service.

use std::collections::BTreeSet;
use std::sync::Arc;

use ambit_l7::{Backend, HttpAction, HttpMatch, HttpRule, L4Match, TcpRule, TlsMatch, TlsRule, Weighted};
use ambit_model::Service;
use ambit_resources::virtual_service::HttpRoute;
use ambit_resources::{ObjectId, Origin};

use super::http::HttpDraft;
use super::l4::L4Draft;
use super::{Part, VirtualService, delegate, http};
use crate::l7::L7Problem;
use crate::l7::at::At;
use crate::l7::cx::Cx;
use crate::l7::destination::Destination;
use crate::l7::directory::Directory;
use crate::l7::hosts::is_exported;

/// What an object routes of one service.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    pub(crate) http: Vec<Arc<HttpRule>>,
    /// What each of these was made of, where it is for all ports.
    drafts: Vec<Option<Arc<HttpDraft>>>,
    pub(crate) tls: Vec<Arc<TlsRule>>,
    pub(crate) tcp: Vec<Arc<TcpRule>>,
    /// The host names that were looked up: if one of them changes, this does.
    pub(crate) looked_up: BTreeSet<Arc<str>>,
}

/// VirtualServices by their names, and where they are written.
pub(crate) type Delegates<'a> = dyn Fn(&ObjectId) -> Option<(Arc<VirtualService>, Arc<Origin>)> + 'a;

/// What a rule is looked up with.
pub(crate) struct LookUp<'a> {
    /// Whose the rules are.
    pub(crate) service: &'a Service,
    pub(crate) directory: &'a Directory,
    /// What was found out before.
    pub(crate) before: Option<&'a Rules>,
    /// VirtualServices to delegate to.
    pub(crate) delegates: &'a Delegates<'a>,
    /// The namespaces that see those which do not say so.
    pub(crate) exports: &'a [String],
}

impl VirtualService {
    /// What it routes of one of the services it is about.
    pub(crate) fn rules(&self, with: &LookUp<'_>, cx: &mut Cx<'_>) -> Rules {
        let mut rules = Rules::default();
        let spec = At::SPEC;
        let (http, tls, tcp) = (spec.field("http"), spec.field("tls"), spec.field("tcp"));
        for part in &self.http {
            match part {
                Part::Rule { at, draft, .. } => rules.add_http(draft, with, &http.index(*at), cx),
                Part::Delegate { to, at, route } => {
                    let at = http.index(*at);
                    for draft in delegated(to, route, &at, with, cx) {
                        rules.add_http(&Arc::new(draft), with, &at, cx);
                    }
                }
            }
        }
        for (at, draft) in &self.tls {
            rules.add_tls(draft, with, &tls.index(*at), cx);
        }
        for (at, draft) in &self.tcp {
            rules.add_tcp(draft, with, &tcp.index(*at), cx);
        }
        rules
    }

    /// Why a VirtualService of a namespace must not delegate to this one.
    fn no_delegate(&self, own: &str, root: &str, default: &[String]) -> Option<&'static str> {
        if !self.hosts.is_empty() {
            return Some("has hosts of its own");
        }
        (!is_exported(&self.export_to, default, own, root)).then_some("is not exported to this namespace")
    }
}

/// The rules of a VirtualService that a rule delegates to, narrowed by that rule.
fn delegated(to: &ObjectId, root: &HttpRoute, at: &At<'_>, with: &LookUp<'_>, cx: &mut Cx<'_>) -> Vec<HttpDraft> {
    let (namespace, name) = (Arc::clone(&to.namespace), Arc::clone(&to.name));
    let at_delegate = at.field("delegate");
    let Some((delegate, origin)) = (with.delegates)(to) else {
        cx.warning(&at_delegate, L7Problem::NoDelegate { namespace, name });
        return Vec::new();
    };
    if let Some(reason) = delegate.no_delegate(&to.namespace, cx.namespace(), with.exports) {
        cx.warning(&at_delegate, L7Problem::BadDelegate { namespace, name, reason });
        return Vec::new();
    }
    let list = At::SPEC;
    let list = list.field("http");
    let mut drafts = Vec::with_capacity(delegate.delegated.len());
    for (i, written) in delegate.delegated.iter().enumerate() {
        match delegate::merge(root, written) {
            // What is wrong with it was said of its own object.
            Some(merged) => drafts.extend(http::rule(&merged, &list.index(i), &mut cx.of_other(&origin))),
            None => cx.warning(&at_delegate, L7Problem::DelegateConflict { delegate: to.clone(), rule: i }),
        }
    }
    drafts
}

impl Rules {
    /// What is as it was before becomes the same allocation.
    pub(crate) fn share(&mut self, before: &Self) {
        fn share<T: PartialEq>(now: &mut [Arc<T>], before: &[Arc<T>]) {
            for (now, before) in now.iter_mut().zip(before).filter(|(now, before)| now == before) {
                *now = Arc::clone(before);
            }
        }
        share(&mut self.http, &before.http);
        share(&mut self.tls, &before.tls);
        share(&mut self.tcp, &before.tcp);
    }

    fn add_http(&mut self, draft: &Arc<HttpDraft>, with: &LookUp<'_>, at: &At<'_>, cx: &mut Cx<'_>) {
        let HttpDraft { destinations, mirrors, .. } = &**draft;
        let mut problems = Vec::new();
        for asked in self.ports(destinations.iter().chain(mirrors), with) {
            let backends: Vec<_> =
                destinations.iter().chain(mirrors).map(|to| found(to, &asked, with, &mut problems)).collect();
            self.drafts.push(matches!(asked, Narrow::No(_)).then(|| Arc::clone(draft)));
            if let Some(before) = self.as_before(&backends, with) {
                self.http.push(Arc::clone(before));
                continue;
            }
            let mut rule = draft.rule();
            if let Narrow::To(port) = asked
                && !narrow(&mut rule.matches, port, HttpMatch::default, |found| &mut found.port)
            {
                self.drafts.pop();
                continue;
            }
            let mut backends = backends.into_iter();
            if let HttpAction::Forward(forward) = &mut rule.action {
                forward.backends.iter_mut().zip(&mut backends).for_each(|(of, found)| of.backend = found);
            }
            rule.mirrors.iter_mut().zip(backends).for_each(|(of, found)| of.backend = found);
            let rule = Arc::new(rule);
            if matches!(asked, Narrow::No(_)) {
                draft.share(&rule);
            }
            self.http.push(rule);
        }
        say(problems, at, cx);
    }

    /// The rule that came of the draft pushed last, if it was in the same place before and leads to the same.
    fn as_before<'a>(&self, backends: &[Backend], with: &LookUp<'a>) -> Option<&'a Arc<HttpRule>> {
        let (at, before) = (self.http.len(), with.before?);
        let same = Arc::ptr_eq(before.drafts.get(at)?.as_ref()?, self.drafts.last()?.as_ref()?);
        let rule = before.http.get(at).filter(|_| same)?;
        let forward = match &rule.action {
            HttpAction::Forward(forward) => forward.backends.as_slice(),
            HttpAction::Redirect(_) | HttpAction::Respond(_) => &[],
        };
        let led = forward.iter().map(|of| &of.backend).chain(rule.mirrors.iter().map(|of| &of.backend));
        led.eq(backends).then_some(rule)
    }

    fn add_tls(&mut self, draft: &L4Draft<TlsRule>, with: &LookUp<'_>, at: &At<'_>, cx: &mut Cx<'_>) {
        let mut problems = Vec::new();
        for asked in self.ports(draft.destinations.iter(), with) {
            let mut rule = draft.rule.clone();
            if let Narrow::To(port) = asked
                && !narrow(&mut rule.matches, port, TlsMatch::default, |found| &mut found.connection.port)
            {
                continue;
            }
            set(&mut rule.backends, &draft.destinations, |to| found(to, &asked, with, &mut problems));
            self.tls.push(Arc::new(rule));
        }
        say(problems, at, cx);
    }

    fn add_tcp(&mut self, draft: &L4Draft<TcpRule>, with: &LookUp<'_>, at: &At<'_>, cx: &mut Cx<'_>) {
        let mut problems = Vec::new();
        for asked in self.ports(draft.destinations.iter(), with) {
            let mut rule = draft.rule.clone();
            if let Narrow::To(port) = asked
                && !narrow(&mut rule.matches, port, L4Match::default, |found| &mut found.port)
            {
                continue;
            }
            set(&mut rule.backends, &draft.destinations, |to| found(to, &asked, with, &mut problems));
            self.tcp.push(Arc::new(rule));
        }
        say(problems, at, cx);
    }

    /// For which ports a rule is looked up: one by one, where a destination is the port that the client asked for.
    fn ports<'a>(
        &mut self,
        destinations: impl Iterator<Item = &'a Destination> + Clone,
        with: &LookUp<'_>,
    ) -> Vec<Narrow> {
        for name in destinations.clone().flat_map(|to| to.names.iter()) {
            if !self.looked_up.contains(name) {
                self.looked_up.insert(Arc::clone(name));
            }
        }
        let ports = with.service.ports.iter().map(|port| port.port);
        match with.service.ports.as_slice() {
            [] => vec![Narrow::No(None)],
            [only] => vec![Narrow::No(Some(only.port))],
            _ if destinations.clone().any(|to| to.follows_port(with.directory)) => ports.map(Narrow::To).collect(),
            _ => vec![Narrow::No(None)],
        }
    }
}

/// Which port of its service a rule is looked up for.
enum Narrow {
    /// For all of them; the only one, where there is one.
    No(Option<u16>),
    /// For this one alone.
    To(u16),
}

/// Narrows matches to a port; says whether anything is left.
fn narrow<M>(
    matches: &mut Vec<M>,
    port: u16,
    everything: impl Fn() -> M,
    port_of: impl Fn(&mut M) -> &mut Option<u16>,
) -> bool {
    if matches.is_empty() {
        matches.push(everything());
    }
    matches.retain_mut(|found| *port_of(found).get_or_insert(port) == port);
    !matches.is_empty()
}

fn set(backends: &mut [Weighted], destinations: &[Destination], mut find: impl FnMut(&Destination) -> Backend) {
    for (backend, to) in backends.iter_mut().zip(destinations) {
        backend.backend = find(to);
    }
}

fn found(to: &Destination, asked: &Narrow, with: &LookUp<'_>, problems: &mut Vec<L7Problem>) -> Backend {
    let asked = match asked {
        Narrow::No(only) => *only,
        Narrow::To(port) => Some(*port),
    };
    let (backend, problem) = to.look_up(asked, with.directory);
    problems.extend(problem);
    backend
}

fn say(mut problems: Vec<L7Problem>, at: &At<'_>, cx: &mut Cx<'_>) {
    while let Some(problem) = problems.pop() {
        if !problems.contains(&problem) {
            cx.warning(at, problem);
        }
    }
}
