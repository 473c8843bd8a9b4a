//! Kinds of this mesh's own.

use ambit_resources::Kind;

use super::definition::{Column, Definition, Rule};

const GROUP: (&str, &[&str]) = ("ambit.io", &["v1alpha1"]);

pub(super) const DEFINITIONS: &[Definition] = &[
    Definition {
        kind: Kind::RateLimitPolicy,
        group: GROUP,
        plural: "ratelimitpolicies",
        short: &["rlp"],
        columns: &[Column { name: "Target", kind: "string", path: ".spec.targetRefs[*].name" }],
        rules: &[
            Rule {
                at: "",
                rule: "has(self.targetRefs) && self.targetRefs.size() > 0",
                message: "at least one of targetRefs is needed",
            },
            Rule {
                at: "",
                rule: "!has(self.rules) || has(self.global) || !self.rules.exists(rule, has(rule.global))",
                message: "a rule with global needs spec.global",
            },
            Rule {
                at: "rules",
                rule: "self.all(rule, has(rule.name) && self.exists_one(other, has(other.name) && other.name == rule.name))",
                message: "every rule needs a name of its own",
            },
            Rule {
                at: "rules[]",
                rule: "has(self.local) != has(self.global)",
                message: "exactly one of local and global must be set",
            },
            Rule {
                at: "rules[].local",
                rule: "has(self.requests) && has(self.per) && duration(self.per) > duration('0s')",
                message: "requests and per are needed, and per must be longer than nothing",
            },
        ],
        bounds: &[("targetRefs", 16), ("rules", 64), ("rules[].name", 63)],
    },
    Definition {
        kind: Kind::MeshConfig,
        group: GROUP,
        plural: "meshconfigs",
        short: &[],
        columns: &[],
        rules: &[
            Rule {
                at: "extensionProviders",
                rule: "self.all(one, has(one.name) && self.exists_one(other, has(other.name) && other.name == one.name))",
                message: "every provider needs a name of its own",
            },
            Rule {
                at: "extensionProviders[]",
                rule: "(has(self.envoyExtAuthzHttp) ? 1 : 0) + (has(self.envoyExtAuthzGrpc) ? 1 : 0) + \
                       (has(self.zipkin) ? 1 : 0) + (has(self.opentelemetry) ? 1 : 0) + \
                       (has(self.envoyFileAccessLog) ? 1 : 0) + (has(self.envoyOtelAls) ? 1 : 0) + \
                       (has(self.prometheus) ? 1 : 0) == 1",
                message: "a provider is exactly one of the things it can be",
            },
        ],
        bounds: &[("extensionProviders", 64), ("extensionProviders[].name", 253)],
    },
];
