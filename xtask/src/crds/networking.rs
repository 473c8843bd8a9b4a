//! Kinds of networking.istio.io.

use ambit_resources::Kind;

use super::definition::{Column, Definition, Rule};

const GROUP: (&str, &[&str]) = ("networking.istio.io", &["v1", "v1beta1", "v1alpha3"]);

pub(super) const DEFINITIONS: &[Definition] = &[
    Definition {
        kind: Kind::ServiceEntry,
        group: GROUP,
        plural: "serviceentries",
        short: &["se"],
        columns: &[
            Column { name: "Hosts", kind: "string", path: ".spec.hosts" },
            Column { name: "Location", kind: "string", path: ".spec.location" },
            Column { name: "Resolution", kind: "string", path: ".spec.resolution" },
        ],
        rules: &[
            Rule { at: "", rule: "has(self.hosts) && self.hosts.size() > 0", message: "at least one host is needed" },
            Rule {
                at: "",
                rule: "!(has(self.workloadSelector) && has(self.endpoints) && self.endpoints.size() > 0)",
                message: "only one of workloadSelector and endpoints can be set",
            },
            Rule {
                at: "hosts",
                rule: "self.all(host, host.matches('^([*][.])?[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?\
                       ([.][a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?)*$'))",
                message: "a host must be a DNS name, with or without *. before it",
            },
            Rule {
                at: "ports",
                rule: "self.all(port, self.exists_one(other, other.number == port.number))",
                message: "a port number can be used once only",
            },
        ],
        bounds: &[("hosts", 256), ("hosts[]", 253), ("ports", 64), ("endpoints", 1024)],
    },
    Definition {
        kind: Kind::WorkloadEntry,
        group: GROUP,
        plural: "workloadentries",
        short: &["we"],
        columns: &[Column { name: "Address", kind: "string", path: ".spec.address" }],
        rules: &[Rule { at: "", rule: "has(self.address) || has(self.network)", message: "an address is needed" }],
        bounds: &[],
    },
    Definition {
        kind: Kind::VirtualService,
        group: GROUP,
        plural: "virtualservices",
        short: &["vs"],
        columns: &[
            Column { name: "Gateways", kind: "string", path: ".spec.gateways" },
            Column { name: "Hosts", kind: "string", path: ".spec.hosts" },
        ],
        rules: &[
            Rule {
                at: "http[]",
                rule: "(has(self.route) && self.route.size() > 0 ? 1 : 0) + (has(self.redirect) ? 1 : 0) + \
                       (has(self.directResponse) ? 1 : 0) + (has(self.delegate) ? 1 : 0) <= 1",
                message: "only one of route, redirect, directResponse and delegate can be set",
            },
            Rule {
                at: "http[]",
                rule: "!(has(self.mirror) && has(self.mirrors) && self.mirrors.size() > 0)",
                message: "only one of mirror and mirrors can be set",
            },
            Rule {
                at: "http[].redirect",
                rule: "!(has(self.port) && has(self.derivePort))",
                message: "only one of port and derivePort can be set",
            },
            Rule {
                at: "http[].directResponse",
                rule: "has(self.status) && self.status >= 200 && self.status < 600",
                message: "a status from 200 to 599 is needed",
            },
            Rule {
                at: "http[].directResponse.body",
                rule: "!(has(self.string) && has(self.bytes))",
                message: "only one of string and bytes can be set",
            },
            Rule {
                at: "http[].rewrite",
                rule: "!(has(self.uri) && has(self.uriRegexRewrite))",
                message: "only one of uri and uriRegexRewrite can be set",
            },
            Rule {
                at: "http[].fault.abort",
                rule: "(has(self.httpStatus) ? 1 : 0) + (has(self.grpcStatus) ? 1 : 0) + \
                       (has(self.http2Error) ? 1 : 0) <= 1",
                message: "only one of httpStatus, grpcStatus and http2Error can be set",
            },
            Rule {
                at: "http[].fault.delay",
                rule: "!(has(self.fixedDelay) && has(self.exponentialDelay))",
                message: "only one of fixedDelay and exponentialDelay can be set",
            },
        ],
        bounds: &[("hosts", 1024), ("hosts[]", 253), ("http", 16384), ("tls", 16384), ("tcp", 16384)],
    },
    Definition {
        kind: Kind::DestinationRule,
        group: GROUP,
        plural: "destinationrules",
        short: &["dr"],
        columns: &[Column { name: "Host", kind: "string", path: ".spec.host" }],
        rules: &[
            Rule { at: "", rule: "has(self.host) && self.host != ''", message: "a host is needed" },
            Rule {
                at: "subsets",
                rule: "self.all(one, has(one.name) && self.exists_one(other, has(other.name) && other.name == one.name))",
                message: "every subset needs a name of its own",
            },
            one_balancer("trafficPolicy.loadBalancer"),
            one_balancer("trafficPolicy.portLevelSettings[].loadBalancer"),
            one_balancer("subsets[].trafficPolicy.loadBalancer"),
            one_hash("trafficPolicy.loadBalancer.consistentHash"),
            one_hash("trafficPolicy.portLevelSettings[].loadBalancer.consistentHash"),
            one_hash("subsets[].trafficPolicy.loadBalancer.consistentHash"),
        ],
        bounds: &[
            ("host", 253),
            ("subsets", 256),
            ("subsets[].name", 253),
            ("trafficPolicy.portLevelSettings", 4096),
            ("subsets[].trafficPolicy.portLevelSettings", 4096),
        ],
    },
];

const fn one_balancer(at: &'static str) -> Rule {
    Rule {
        at,
        rule: "!(has(self.simple) && has(self.consistentHash))",
        message: "only one of simple and consistentHash can be set",
    }
}

const fn one_hash(at: &'static str) -> Rule {
    Rule {
        at,
        rule: "(has(self.httpHeaderName) ? 1 : 0) + (has(self.httpCookie) ? 1 : 0) + \
               (has(self.useSourceIp) ? 1 : 0) + (has(self.httpQueryParameterName) ? 1 : 0) <= 1 && \
               !(has(self.ringHash) && has(self.maglev))",
        message: "only one of httpHeaderName, httpCookie, useSourceIp and httpQueryParameterName can be set, and one of \
                  ringHash and maglev",
    }
}
