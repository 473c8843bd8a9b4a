use ambit_model::{Action, Identity, PolicyKey, Scope};

use super::*;

const SHOP_CART: (&str, &str, &str) = ("cluster.local", "shop", "cart");

/// Whether a match holds for the shop's cart (or for nobody) at 10.0.0.1 → 10.0.1.2:80.
fn holds(m: &Match, identified: bool) -> bool {
    let identity = Identity::new(SHOP_CART.0, SHOP_CART.1, SHOP_CART.2);
    let facts = Facts {
        source: identified.then_some(&identity),
        peer: None,
        source_ip: [10, 0, 0, 1].into(),
        destination_ip: [10, 0, 1, 2].into(),
        destination_port: 80,
    };
    match_matches(m, &facts)
}

fn texts(patterns: &[&str]) -> Vec<StringMatch> {
    patterns.iter().map(|pattern| StringMatch::parse(pattern)).collect()
}

fn blocks(blocks: &[&str]) -> Vec<CidrMatch> {
    blocks.iter().map(|block| block.parse().unwrap()).collect()
}

fn accounts(pairs: &[(&str, &str)]) -> Vec<ServiceAccountMatch> {
    pairs
        .iter()
        .map(|(namespace, account)| ServiceAccountMatch {
            namespace: (*namespace).into(),
            service_account: (*account).into(),
        })
        .collect()
}

/// Sets a field of a match, and the field that excludes.
type SetField<'a> = (&'a str, Box<dyn Fn(&mut Match)>, Box<dyn Fn(&mut Match)>, Expected);

/// Whether the field holds, with the source identified and without.
#[derive(Clone, Copy)]
struct Expected {
    identified: bool,
    unidentified: bool,
}

const ALWAYS: Expected = Expected { identified: true, unidentified: true };
const NEVER: Expected = Expected { identified: false, unidentified: false };
const IDENTIFIED: Expected = Expected { identified: true, unidentified: false };

macro_rules! case {
    ($field:ident, $not:ident, $values:expr, $expected:expr) => {{
        let case: SetField<'_> = (
            stringify!($field $values),
            Box::new(|m| m.$field = $values),
            Box::new(|m| m.$not = $values),
            $expected,
        );
        case
    }};
}

#[test]
fn every_field_includes_and_its_twin_excludes_the_same() {
    let cases = [
        case!(namespaces, not_namespaces, texts(&["shop"]), IDENTIFIED),
        case!(namespaces, not_namespaces, texts(&["sh*"]), IDENTIFIED),
        case!(namespaces, not_namespaces, texts(&["*op"]), IDENTIFIED),
        case!(namespaces, not_namespaces, texts(&["*"]), IDENTIFIED),
        case!(namespaces, not_namespaces, texts(&["x", "shop"]), IDENTIFIED),
        case!(namespaces, not_namespaces, texts(&["SHOP", "sho", "shopp"]), NEVER),
        case!(namespaces, not_namespaces, texts(&[""]), NEVER),
        case!(namespaces, not_namespaces, vec![StringMatch::Prefix("".into())], IDENTIFIED),
        case!(service_accounts, not_service_accounts, accounts(&[("shop", "cart")]), IDENTIFIED),
        case!(service_accounts, not_service_accounts, accounts(&[("x", "cart"), ("shop", "x")]), NEVER),
        case!(service_accounts, not_service_accounts, accounts(&[("", "")]), NEVER),
        case!(principals, not_principals, texts(&["cluster.local/ns/shop/sa/cart"]), IDENTIFIED),
        case!(principals, not_principals, texts(&["cluster.local/ns/shop/*"]), IDENTIFIED),
        case!(principals, not_principals, texts(&["*/ns/shop/sa/cart"]), IDENTIFIED),
        case!(principals, not_principals, texts(&["*"]), IDENTIFIED),
        case!(principals, not_principals, texts(&["cluster.local/ns/shop/sa/car"]), NEVER),
        case!(principals, not_principals, texts(&[""]), NEVER),
        case!(principals, not_principals, vec![StringMatch::Suffix("".into())], IDENTIFIED),
        case!(source_ips, not_source_ips, blocks(&["10.0.0.1/32"]), ALWAYS),
        case!(source_ips, not_source_ips, blocks(&["fd00::/8", "10.0.0.0/24"]), ALWAYS),
        case!(source_ips, not_source_ips, blocks(&["0.0.0.0/0"]), ALWAYS),
        case!(source_ips, not_source_ips, blocks(&["::/0", "10.0.1.0/24"]), NEVER),
        case!(destination_ips, not_destination_ips, blocks(&["10.0.1.2/32"]), ALWAYS),
        case!(destination_ips, not_destination_ips, blocks(&["10.0.0.0/24"]), NEVER),
        case!(destination_ports, not_destination_ports, vec![443, 80], ALWAYS),
        case!(destination_ports, not_destination_ports, vec![8080], NEVER),
    ];
    for (name, include, exclude, expected) in cases {
        let (mut including, mut excluding) = (Match::default(), Match::default());
        include(&mut including);
        exclude(&mut excluding);
        for (identified, expected) in [(true, expected.identified), (false, expected.unidentified)] {
            assert_eq!(holds(&including, identified), expected, "{name}, identified: {identified}");
            assert_eq!(holds(&excluding, identified), !expected, "not {name}, identified: {identified}");
        }
    }
}

#[test]
fn fields_are_anded() {
    let ports = Match { destination_ports: vec![80], ..Match::default() };
    let both = Match { namespaces: texts(&["shop"]), ..ports.clone() };
    let contradiction = Match { not_namespaces: texts(&["shop"]), ..both.clone() };
    let within = Match { not_destination_ports: vec![80], ..ports.clone() };
    assert!(holds(&ports, true) && holds(&both, true));
    assert!(!holds(&both, false) && !holds(&contradiction, true) && !holds(&within, true));
}

#[test]
fn emptiness_on_every_level() {
    let empty = Match::default();
    let yes = Match { destination_ports: vec![80], ..Match::default() };
    let no = Match { destination_ports: vec![81], ..Match::default() };
    let clause = |matches: &[&Match]| Clause { matches: matches.iter().copied().cloned().collect() };
    let cases = [
        ("no rules", vec![], None),
        ("rule without clauses", vec![Rule::default()], Some(0)),
        ("empty clause", vec![Rule { clauses: vec![clause(&[])] }], Some(0)),
        ("empty match", vec![Rule { clauses: vec![clause(&[&empty])] }], None),
        ("empty match beside one that holds", vec![Rule { clauses: vec![clause(&[&empty, &yes])] }], Some(0)),
        ("empty clause and one that misses", vec![Rule { clauses: vec![clause(&[]), clause(&[&no])] }], None),
        ("clauses are anded", vec![Rule { clauses: vec![clause(&[&yes]), clause(&[&no])] }], None),
        ("matches are ored", vec![Rule { clauses: vec![clause(&[&no, &yes])] }], Some(0)),
        ("rules are ored", vec![Rule { clauses: vec![clause(&[&no])] }, Rule::default()], Some(1)),
    ];
    for (name, rules, expected) in cases {
        let policy = Authorization {
            key: PolicyKey { namespace: "shop".into(), name: "p".into() },
            scope: Scope::Global,
            action: Action::Allow,
            rules,
            dry_run: false,
        };
        let facts = Facts {
            source: None,
            peer: None,
            source_ip: [10, 0, 0, 1].into(),
            destination_ip: [10, 0, 1, 2].into(),
            destination_port: 80,
        };
        assert_eq!(first_matching_rule(&policy, &facts), expected, "{name}");
    }
}
