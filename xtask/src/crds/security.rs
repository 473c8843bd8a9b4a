//! Kinds of security.istio.io.

use ambit_resources::Kind;

use super::definition::{Column, Definition, ONE_ATTACHMENT, Rule};

const GROUP: (&str, &[&str]) = ("security.istio.io", &["v1", "v1beta1"]);

pub(super) const DEFINITIONS: &[Definition] = &[
    Definition {
        kind: Kind::AuthorizationPolicy,
        group: GROUP,
        plural: "authorizationpolicies",
        short: &["ap"],
        columns: &[Column { name: "Action", kind: "string", path: ".spec.action" }],
        rules: &[
            ONE_ATTACHMENT,
            Rule {
                at: "",
                rule: "!(has(self.action) && self.action == 'CUSTOM') || (has(self.provider) && has(self.provider.name))",
                message: "action CUSTOM needs provider.name",
            },
        ],
        bounds: &[("targetRefs", 16), ("rules", 512)],
    },
    Definition {
        kind: Kind::PeerAuthentication,
        group: GROUP,
        plural: "peerauthentications",
        short: &["pa"],
        columns: &[Column { name: "Mode", kind: "string", path: ".spec.mtls.mode" }],
        rules: &[
            Rule {
                at: "",
                rule: "!has(self.portLevelMtls) || (has(self.selector) && has(self.selector.matchLabels) && \
                       self.selector.matchLabels.size() > 0)",
                message: "portLevelMtls needs a selector with labels",
            },
            Rule {
                at: "portLevelMtls",
                rule: "self.all(port, port.matches('^[1-9][0-9]{0,4}$') && int(port) <= 65535)",
                message: "a port must be between 1 and 65535",
            },
        ],
        bounds: &[("portLevelMtls", 256), ("selector.matchLabels", 64)],
    },
    Definition {
        kind: Kind::RequestAuthentication,
        group: GROUP,
        plural: "requestauthentications",
        short: &["ra"],
        columns: &[],
        rules: &[
            ONE_ATTACHMENT,
            Rule { at: "jwtRules[]", rule: "has(self.issuer) && self.issuer != ''", message: "an issuer is needed" },
            Rule {
                at: "jwtRules[]",
                rule: "!(has(self.jwksUri) && has(self.jwks))",
                message: "only one of jwksUri and jwks can be set",
            },
        ],
        bounds: &[("targetRefs", 16), ("jwtRules", 4096)],
    },
];
