//! The decision against a slow, obvious evaluator written from the prose of the types alone; and what no random
//! policy would try.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ambit_model::{DenyReason, Identity, PolicyKey, ServiceKey};
use http::{HeaderName, Method, StatusCode};
use ipnet::IpNet;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value, json};

use super::HttpAuthorizationAction as Action;
use super::*;
use crate::fixtures::{Asked, Client};

/// Everything a policy may look at.
#[derive(Debug, Clone, Default)]
struct World {
    asked: Asked,
    client: Client,
    claims: Option<Claims>,
}

impl World {
    fn decide(&self, policies: &[Arc<HttpAuthorization>]) -> Result<(), DenyReason> {
        self.with(|facts| decide(policies, facts, to_ask(policies, facts).all_consented()).permit().map(drop))
    }

    fn with<T>(&self, look: impl FnOnce(&HttpFacts<'_>) -> T) -> T {
        let (request, client) = (self.asked.view(), self.client.view());
        look(&HttpFacts { request: &request, client: &client, claims: self.claims.as_ref() })
    }

    /// The texts an attribute has; none where it is absent.
    fn texts(&self, attribute: &str) -> Vec<String> {
        let id = self.client.identity.as_ref();
        let of_claim = |name: &str| match self.claims.as_ref().and_then(|claims| claims.map().get(name)) {
            Some(Value::String(text)) if name == "scope" => text.split(' ').map(str::to_owned).collect(),
            Some(Value::String(text)) => vec![text.clone()],
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            _ => Vec::new(),
        };
        match attribute {
            "principal" => id.map(Identity::principal).into_iter().collect(),
            "namespace" => id.map(|id| id.namespace().to_owned()).into_iter().collect(),
            "account" => id.map(|id| format!("{}/{}", id.namespace(), id.service_account())).into_iter().collect(),
            "trust domain" => id.map(|id| id.trust_domain().to_owned()).into_iter().collect(),
            "request principal" => match (of_claim("iss").first(), of_claim("sub").first()) {
                (Some(issuer), Some(subject)) => vec![format!("{issuer}/{subject}")],
                _ => Vec::new(),
            },
            "header" => {
                let values: Vec<_> =
                    self.asked.headers.get_all("x-a").iter().map(|value| value.to_str().unwrap()).collect();
                if values.is_empty() { Vec::new() } else { vec![values.join(",")] }
            }
            "server name" => self.asked.server_name.clone().into_iter().collect(),
            claim => of_claim(claim),
        }
    }
}

fn reference_denies(policies: &[Arc<HttpAuthorization>], world: &World) -> bool {
    let of = |action: Action| policies.iter().filter(move |policy| policy.action == action && !policy.dry_run);
    if of(Action::Deny).any(|policy| policy.rules.iter().any(|rule| rule_matches(rule, world))) {
        return true;
    }
    let mut allows = of(Action::Allow).peekable();
    allows.peek().is_some() && !allows.any(|policy| policy.rules.iter().any(|rule| rule_matches(rule, world)))
}

fn rule_matches(rule: &HttpAuthorizationRule, world: &World) -> bool {
    let mut conditions = vec![true];
    if !rule.from.is_empty() {
        conditions.push(rule.from.iter().filter(|source| source_matches(source, world)).count() > 0);
    }
    if !rule.to.is_empty() {
        conditions.push(rule.to.iter().filter(|operation| operation_matches(operation, world)).count() > 0);
    }
    conditions.extend(rule.when.iter().map(|condition| condition_matches(condition, world)));
    !conditions.contains(&false)
}

fn source_matches(source: &Source, world: &World) -> bool {
    let fields = [
        ("principal", &source.principals, &source.not_principals),
        ("request principal", &source.request_principals, &source.not_request_principals),
        ("namespace", &source.namespaces, &source.not_namespaces),
        ("account", &source.service_accounts, &source.not_service_accounts),
        ("trust domain", &source.trust_domains, &source.not_trust_domains),
    ];
    fields.into_iter().all(|(attribute, values, not_values)| texts(world, attribute, values, not_values))
        && blocks(world.client.ip, &source.ip_blocks, &source.not_ip_blocks)
        && blocks(world.client.remote_ip, &source.remote_ip_blocks, &source.not_remote_ip_blocks)
}

fn operation_matches(operation: &Operation, world: &World) -> bool {
    let asked = &world.asked;
    let host = |wanted: &Pattern| {
        let authority = asked.authority.to_lowercase();
        let has_port = matches!(wanted, Pattern::Exact(text) | Pattern::Suffix(text) if text.contains(':'));
        text(wanted, if has_port { &authority } else { authority.split(':').next().unwrap() })
    };
    let path = |wanted: &PathPattern| match wanted {
        PathPattern::Text(wanted) => text(wanted, &asked.path),
        PathPattern::Template(PathTemplate(parts)) => {
            let mut expression = String::new();
            for part in parts.iter() {
                expression.push('/');
                match part {
                    TemplatePart::Text(text) => expression.push_str(text),
                    TemplatePart::One => expression.push_str("[^/]+"),
                    TemplatePart::Any => expression.push_str(".*"),
                }
            }
            regex::Regex::new(&format!("^(?:{expression})$")).unwrap().is_match(&asked.path)
        }
    };
    let either = |wanted: bool, empty: bool, excluded: bool| (wanted || empty) && !excluded;
    let method = |wanted: &Pattern| text(wanted, asked.method.as_str());
    either(operation.hosts.iter().any(host), operation.hosts.is_empty(), operation.not_hosts.iter().any(host))
        && either(operation.paths.iter().any(path), operation.paths.is_empty(), operation.not_paths.iter().any(path))
        && either(
            operation.methods.iter().any(method),
            operation.methods.is_empty(),
            operation.not_methods.iter().any(method),
        )
        && either(
            operation.ports.contains(&asked.port),
            operation.ports.is_empty(),
            operation.not_ports.contains(&asked.port),
        )
}

fn condition_matches(condition: &Condition, world: &World) -> bool {
    match condition {
        Condition::Header { values, not_values, .. } => texts(world, "header", values, not_values),
        Condition::RequestPrincipal { values, not_values } => texts(world, "request principal", values, not_values),
        Condition::Audiences { values, not_values } => texts(world, "aud", values, not_values),
        Condition::Presenter { values, not_values } => texts(world, "azp", values, not_values),
        Condition::Claim { path, values, not_values } => texts(world, &path[0], values, not_values),
        Condition::SourceIp { values, not_values } => blocks(world.client.ip, values, not_values),
        Condition::RemoteIp { values, not_values } => blocks(world.client.remote_ip, values, not_values),
        Condition::SourceNamespace { values, not_values } => texts(world, "namespace", values, not_values),
        Condition::SourcePrincipal { values, not_values } => texts(world, "principal", values, not_values),
        Condition::SourceServiceAccount { values, not_values } => texts(world, "account", values, not_values),
        Condition::DestinationIp { values, not_values } => blocks(world.asked.destination, values, not_values),
        Condition::DestinationPort { values, not_values } => {
            (values.is_empty() || values.contains(&world.asked.port)) && !not_values.contains(&world.asked.port)
        }
        Condition::ServerName { values, not_values } => texts(world, "server name", values, not_values),
    }
}

fn texts(world: &World, attribute: &str, values: &[Pattern], not_values: &[Pattern]) -> bool {
    let found = world.texts(attribute);
    let hit = |patterns: &[Pattern]| found.iter().any(|value| patterns.iter().any(|wanted| text(wanted, value)));
    (values.is_empty() || hit(values)) && !hit(not_values)
}

fn text(pattern: &Pattern, value: &str) -> bool {
    match pattern {
        Pattern::Exact(wanted) => value == &**wanted,
        Pattern::Prefix(prefix) => value.starts_with(&**prefix),
        Pattern::Suffix(suffix) => value.ends_with(&**suffix),
        Pattern::Regex(_) => unreachable!("no policy has one"),
        Pattern::Present => true,
    }
}

fn blocks(ip: IpAddr, values: &[IpNet], not_values: &[IpNet]) -> bool {
    (values.is_empty() || values.iter().any(|block| block.contains(&ip)))
        && !not_values.iter().any(|block| block.contains(&ip))
}

fn patterns(texts: &'static [&'static str]) -> impl Strategy<Value = Vec<Pattern>> {
    let one = (select(texts), 0..4, any::<prop::sample::Index>()).prop_map(|(text, kind, at)| {
        let (head, tail) = text.split_at(at.index(text.len() + 1));
        match kind {
            0 => Pattern::Exact(text.into()),
            1 => Pattern::Prefix(head.into()),
            2 => Pattern::Suffix(tail.into()),
            _ => Pattern::Present,
        }
    });
    prop_oneof![4 => Just(Vec::new()), 1 => vec(one, 1..3)]
}

fn some<T: Clone + std::fmt::Debug + 'static>(values: Vec<T>) -> impl Strategy<Value = Vec<T>> {
    let all = values.len();
    prop_oneof![4 => Just(Vec::new()), 1 => subsequence(values, 1..=all)]
}

fn nets() -> impl Strategy<Value = Vec<IpNet>> {
    some(["10.1.0.0/16", "10.2.0.0/16", "fd00::/8"].map(|block| block.parse().unwrap()).to_vec())
}

const PRINCIPALS: &[&str] = &["td/ns/shop/sa/cart", "td/ns/bank/sa/till"];
const NAMESPACES: &[&str] = &["shop", "bank"];
const ACCOUNTS: &[&str] = &["shop/cart", "bank/till"];
const TRUST_DOMAINS: &[&str] = &["td", "td2"];
const REQUEST_PRINCIPALS: &[&str] = &["issuer/alice", "issuer/bob"];
const HOSTS: &[&str] = &["reviews", "reviews:80", "reviews:81"];
const PATHS: &[&str] = &["/", "/a", "/a/b", "/a/b/c", "/a/"];
const METHODS: &[&str] = &["GET", "PUT"];

fn source() -> impl Strategy<Value = Source> {
    let texts = || {
        (
            patterns(PRINCIPALS),
            patterns(REQUEST_PRINCIPALS),
            patterns(NAMESPACES),
            patterns(ACCOUNTS),
            patterns(TRUST_DOMAINS),
            nets(),
            nets(),
        )
    };
    (texts(), texts()).prop_map(|(is, is_not)| Source {
        principals: is.0,
        not_principals: is_not.0,
        request_principals: is.1,
        not_request_principals: is_not.1,
        namespaces: is.2,
        not_namespaces: is_not.2,
        service_accounts: is.3,
        not_service_accounts: is_not.3,
        trust_domains: is.4,
        not_trust_domains: is_not.4,
        ip_blocks: is.5,
        not_ip_blocks: is_not.5,
        remote_ip_blocks: is.6,
        not_remote_ip_blocks: is_not.6,
    })
}

fn operation() -> impl Strategy<Value = Operation> {
    let template = |text| PathPattern::Template(PathTemplate::parse(text).unwrap());
    let templates = move || some(["/a/{*}", "/{**}", "/{*}/b/{**}", "/{**}/c"].map(template).to_vec());
    let paths = move || {
        (patterns(PATHS), templates()).prop_map(|(texts, templates)| {
            texts.into_iter().map(PathPattern::Text).chain(templates).collect::<Vec<_>>()
        })
    };
    let parts = move || (patterns(HOSTS), some(vec![80u16, 81]), patterns(METHODS), paths());
    (parts(), parts()).prop_map(|(is, is_not)| Operation {
        hosts: is.0.into_iter().filter(|host| !matches!(host, Pattern::Prefix(_))).collect(),
        not_hosts: is_not.0.into_iter().filter(|host| !matches!(host, Pattern::Prefix(_))).collect(),
        ports: is.1,
        not_ports: is_not.1,
        methods: is.2,
        not_methods: is_not.2,
        paths: is.3,
        not_paths: is_not.3,
    })
}

fn condition() -> impl Strategy<Value = Condition> {
    let words = || patterns(&["a", "b", "a,b"]);
    let claim = |name: &'static str| {
        move |(values, not_values)| Condition::Claim { path: [name.into()].into(), values, not_values }
    };
    prop_oneof![
        (words(), words()).prop_map(|(values, not_values)| Condition::Header {
            name: HeaderName::from_static("x-a"),
            values,
            not_values
        }),
        (patterns(REQUEST_PRINCIPALS), patterns(REQUEST_PRINCIPALS))
            .prop_map(|(values, not_values)| Condition::RequestPrincipal { values, not_values }),
        (words(), words()).prop_map(|(values, not_values)| Condition::Audiences { values, not_values }),
        (words(), words()).prop_map(|(values, not_values)| Condition::Presenter { values, not_values }),
        (words(), words()).prop_map(claim("scope")),
        (words(), words()).prop_map(claim("group")),
        (nets(), nets()).prop_map(|(values, not_values)| Condition::SourceIp { values, not_values }),
        (nets(), nets()).prop_map(|(values, not_values)| Condition::RemoteIp { values, not_values }),
        (nets(), nets()).prop_map(|(values, not_values)| Condition::DestinationIp { values, not_values }),
        (patterns(NAMESPACES), patterns(NAMESPACES))
            .prop_map(|(values, not_values)| Condition::SourceNamespace { values, not_values }),
        (patterns(PRINCIPALS), patterns(PRINCIPALS))
            .prop_map(|(values, not_values)| Condition::SourcePrincipal { values, not_values }),
        (patterns(ACCOUNTS), patterns(ACCOUNTS))
            .prop_map(|(values, not_values)| Condition::SourceServiceAccount { values, not_values }),
        (some(vec![80u16, 81]), some(vec![80u16, 81]))
            .prop_map(|(values, not_values)| Condition::DestinationPort { values, not_values }),
        (words(), words()).prop_map(|(values, not_values)| Condition::ServerName { values, not_values }),
    ]
}

fn any_policy() -> impl Strategy<Value = Arc<HttpAuthorization>> {
    let rule = (vec(source(), 0..2), vec(operation(), 0..2), vec(condition(), 0..2));
    let rule = rule.prop_map(|(from, to, when)| HttpAuthorizationRule { from, to, when });
    let action = select(vec![Action::Allow, Action::Deny, Action::Audit]);
    (action, vec(rule, 0..3), prop::bool::weighted(0.2), 0..3usize).prop_map(|(action, rules, dry_run, number)| {
        Arc::new(HttpAuthorization { dry_run, ..policy(number, action, rules) })
    })
}

fn any_world() -> impl Strategy<Value = World> {
    let ips = ["10.1.0.7", "10.2.0.7", "fd00::7"].map(|ip| ip.parse::<IpAddr>().unwrap()).to_vec();
    let asked = (
        select(vec![Method::GET, Method::PUT]),
        select(vec!["reviews", "REVIEWS:80", "reviews:81", "other"]),
        select(PATHS),
        vec(select(vec!["a", "b"]), 0..3),
        select(ips.clone()),
        select(vec![80u16, 81]),
        select(vec![None, Some("a".to_owned())]),
    );
    let asked = asked.prop_map(|(method, authority, path, headers, destination, port, server_name)| {
        let asked =
            Asked { method, authority: authority.into(), destination, port, server_name, ..Asked::of_path(path) };
        headers.into_iter().fold(asked, |asked, value| asked.with("x-a", value))
    });
    let ids = vec![None, Some(Identity::new("td", "shop", "cart")), Some(Identity::new("td2", "bank", "till"))];
    let client = (select(ids), select(ips.clone()), select(ips)).prop_map(|(identity, ip, remote_ip)| Client {
        identity,
        ip,
        remote_ip,
        ..Client::default()
    });
    let claims = select(vec![
        None,
        Some(json!({"iss": "issuer", "sub": "alice", "aud": "a", "scope": "a b", "group": ["a", 7]})),
        Some(json!({"iss": "issuer", "aud": ["a", "b"], "azp": "b", "scope": ["b"], "group": "a b"})),
        Some(json!({"iss": "issuer", "sub": "bob", "azp": 7, "group": {"a": "b"}})),
    ]);
    (asked, client, claims).prop_map(|(asked, client, json)| World { asked, client, claims: json.map(claims_of) })
}

fn claims_of(json: Value) -> Claims {
    let Value::Object(map) = json else { panic!("no object: {json}") };
    Claims::new(map, &[])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]
    #[test]
    fn decides_as_the_reference_does(policies in vec(any_policy(), 0..4), world in any_world()) {
        prop_assert_eq!(world.decide(&policies).is_err(), reference_denies(&policies, &world));

        let enforced = |policy: &Arc<HttpAuthorization>| Arc::new(HttpAuthorization { dry_run: false, ..(**policy).clone() });
        let all: Vec<_> = policies.iter().map(enforced).collect();
        let rehearsed = world.with(|facts| rehearse(&policies, facts));
        if policies.iter().any(|policy| policy.dry_run && policy.action != Action::Audit) {
            prop_assert_eq!(rehearsed == Some(HttpRehearsal::Allow), !reference_denies(&all, &world));
        } else {
            prop_assert_eq!(rehearsed, None);
        }
    }

    #[test]
    fn each_source_and_condition_alone(source in source(), operation in operation(), when in condition(), world in any_world()) {
        // Of whole rules few match: here each part has its say.
        for rule in [
            HttpAuthorizationRule { from: vec![source], ..Default::default() },
            HttpAuthorizationRule { to: vec![operation], ..Default::default() },
            HttpAuthorizationRule { when: vec![when], ..Default::default() },
        ] {
            let expected = rule_matches(&rule, &world);
            let allowed = world.decide(&[Arc::new(policy(0, Action::Allow, vec![rule.clone()]))]).is_ok();
            prop_assert_eq!(allowed, expected, "{:?}", rule);
        }
    }
}

fn policy(number: usize, action: Action, rules: Vec<HttpAuthorizationRule>) -> HttpAuthorization {
    HttpAuthorization { key: key(number), action, rules, dry_run: false }
}

fn key(number: usize) -> PolicyKey {
    PolicyKey { namespace: "shop".into(), name: number.to_string().as_str().into() }
}

fn everything() -> Vec<HttpAuthorizationRule> {
    vec![HttpAuthorizationRule::default()]
}

fn authorizer(name: &str) -> Arc<ExternalAuthorizer> {
    Arc::new(ExternalAuthorizer {
        name: name.into(),
        service: ServiceKey { namespace: "auth".into(), hostname: "opa".into() },
        port: 9000,
        timeout: Duration::from_secs(1),
        fail_open: false,
        status_on_error: StatusCode::FORBIDDEN,
        body: None,
        protocol: AuthorizerProtocol::Grpc,
    })
}

#[test]
fn a_refusal_says_who_refuses() {
    let path = |text: &str| HttpAuthorizationRule {
        to: vec![Operation { paths: vec![PathPattern::Text(Pattern::Exact(text.into()))], ..Operation::default() }],
        ..HttpAuthorizationRule::default()
    };
    let policies: Vec<_> = [
        policy(3, Action::Allow, vec![path("/a"), path("/b")]),
        policy(2, Action::Allow, Vec::new()),
        policy(1, Action::Deny, vec![path("/x"), path("/b")]),
    ]
    .map(Arc::new)
    .to_vec();
    for (asked, expected) in [
        ("/a", Ok(())),
        ("/b", Err(DenyReason::Policy { policy: key(1), rule: 1 })),
        ("/c", Err(DenyReason::NoAllowMatch { count: 2, first: key(2) })),
    ] {
        let world = World { asked: Asked::of_path(asked), ..World::default() };
        assert_eq!(world.decide(&policies), expected, "{asked}");
    }
    assert_eq!(World::default().decide(&[]), Ok(()));
    assert!(World::default().decide(&[Arc::new(policy(0, Action::Allow, everything()))]).is_ok());
}

#[test]
fn authorizers_are_asked_once_and_only_where_their_policy_matches() {
    let rules_for = |host: &str| {
        let hosts = vec![Pattern::Exact(host.into())];
        vec![HttpAuthorizationRule { to: vec![Operation { hosts, ..Operation::default() }], ..Default::default() }]
    };
    let dry = HttpAuthorization { dry_run: true, ..policy(5, Action::Custom(authorizer("dry")), everything()) };
    let policies: Vec<_> = [
        policy(0, Action::Custom(authorizer("other")), rules_for("other")),
        policy(1, Action::Deny, everything()),
        policy(2, Action::Custom(authorizer("opa")), rules_for("reviews")),
        policy(3, Action::Custom(authorizer("opa")), everything()),
        policy(4, Action::Custom(authorizer("more")), everything()),
        dry,
    ]
    .map(Arc::new)
    .to_vec();
    World::default().with(|facts| {
        let asking = to_ask(&policies, facts);
        let asked: Vec<_> =
            asking.questions().iter().map(|question| (&*question.policy.name, &*question.authorizer.name)).collect();
        assert_eq!(asked, [("2", "opa"), ("4", "more")]);
        let decision = decide(&policies, facts, asking.all_consented());
        assert!(matches!(decision, HttpDecision::Deny(DenyReason::Policy { rule: 0, .. })), "{decision:?}");
        assert_eq!(rehearse(&policies, facts), None, "a dry run of CUSTOM is nobody's to rehearse");
    });
}

#[test]
fn audits_are_for_the_log_alone() {
    let dry = HttpAuthorization { dry_run: true, ..policy(2, Action::Audit, everything()) };
    let policies: Vec<_> =
        [policy(0, Action::Audit, everything()), policy(1, Action::Audit, Vec::new()), dry].map(Arc::new).to_vec();
    let world = World::default();
    assert_eq!(world.decide(&policies), Ok(()));
    world.with(|facts| {
        let found: Vec<_> = audits(&policies, facts).collect();
        assert_eq!(found, [PolicyMatch { policy: &key(0), rule: 0 }]);
    });
}

#[test]
fn hosts_are_compared_without_case_port_and_final_dot() {
    for (pattern, authority, expected) in [
        (Pattern::Exact("Reviews.shop".into()), "reviews.SHOP", true),
        (Pattern::Exact("reviews".into()), "reviews:9080", true),
        (Pattern::Exact("reviews".into()), "reviews.", true),
        (Pattern::Exact("reviews".into()), "reviews.:80", true),
        (Pattern::Exact("reviews:80".into()), "reviews:80", true),
        (Pattern::Exact("reviews:80".into()), "reviews:81", false),
        (Pattern::Exact("reviews:80".into()), "reviews", false),
        (Pattern::Prefix("reviews:".into()), "reviews:81", true),
        (Pattern::Prefix("reviews.".into()), "reviews.shop:81", true),
        (Pattern::Suffix(".example".into()), "a.example:81", true),
        (Pattern::Suffix(".example:81".into()), "a.example:81", true),
        (Pattern::Exact("[fd00::1]".into()), "[fd00::1]:80", true),
        (Pattern::Exact("[fd00::1]:81".into()), "[fd00::1]:80", false),
        (Pattern::Present, "a", true),
        (Pattern::Present, "", false),
        (Pattern::Prefix("".into()), "", false),
    ] {
        let operation = Operation { hosts: vec![pattern.clone()], ..Operation::default() };
        let rules = vec![HttpAuthorizationRule { to: vec![operation], ..HttpAuthorizationRule::default() }];
        let asked = Asked { authority: authority.into(), ..Asked::default() };
        let world = World { asked, ..World::default() };
        let allowed = world.decide(&[Arc::new(policy(0, Action::Allow, rules))]).is_ok();
        assert_eq!(allowed, expected, "{pattern} {authority}");
    }
}

#[test]
fn claims_are_texts_lists_and_words() {
    let claims = Claims::new(
        serde_json::from_str(
            r#"{"iss":"i","sub":"s","scope":"a b","roles":"x y","mine":"x y","deep":{"list":["p",7,"q"],"":1}}"#,
        )
        .unwrap(),
        &["mine".into()],
    );
    let has = |path: &[&str], text: &str| claims.any_text(path, |found| found == text);
    for (path, text, expected) in [
        (&["scope"][..], "a", true),
        (&["scope"], "a b", false),
        (&["roles"], "x y", true),
        (&["roles"], "x", false),
        (&["mine"], "y", true),
        (&["deep", "list"], "q", true),
        (&["deep", "list"], "7", false),
        (&["deep"], "list", false),
        (&["deep", "none"], "p", false),
        (&["deep", "list", "0"], "p", false),
        (&[], "i", false),
    ] {
        assert_eq!(has(path, text), expected, "{path:?} {text}");
    }
    assert_eq!(claims.principal(), Some("i/s"));
    for json in
        [json!({"iss": "i"}), json!({"sub": "s"}), json!({"iss": "", "sub": "s"}), json!({"iss": "i", "sub": 7})]
    {
        assert_eq!(claims_of(json.clone()).principal(), None, "{json}");
    }
}
