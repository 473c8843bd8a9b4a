//! PeerAuthentication: who may come in without a certificate, where.

use std::fmt::Write as _;

use anyhow::Result;

use ambit_tests::{Behaviour, Outcome, Server, ask, manifest};

use crate::shop::{PORT, Shop, seen};

/// The second port of `web`.
const PORT_2: u16 = 8081;

/// One PeerAuthentication: namespace, name, and what else there is to say.
type Said = (&'static str, &'static str, &'static str);

const MESH: &str = "istio-system";
const SHOP: &str = "shop";
const STRICT: &str = "spec: {mtls: {mode: STRICT}}";
const PERMISSIVE: &str = "spec: {mtls: {mode: PERMISSIVE}}";

/// What is said, and which ports of `web` then take plaintext.
const CASES: &[(&str, &[Said], &[u16])] = &[
    ("by default all is taken", &[], &[PORT, PORT_2]),
    ("the mesh is strict", &[(MESH, "default", STRICT)], &[]),
    (
        "the namespace is laxer than the mesh",
        &[(MESH, "default", STRICT), (SHOP, "default", PERMISSIVE)],
        &[PORT, PORT_2],
    ),
    ("the namespace is stricter than the mesh", &[(MESH, "default", PERMISSIVE), (SHOP, "default", STRICT)], &[]),
    ("another namespace is strict", &[("outside", "default", STRICT)], &[PORT, PORT_2]),
    (
        "the workload is laxer than its namespace",
        &[
            (SHOP, "default", STRICT),
            (SHOP, "web", "spec: {selector: {matchLabels: {app: web}}, mtls: {mode: PERMISSIVE}}"),
        ],
        &[PORT, PORT_2],
    ),
    (
        "the workload is stricter than its namespace",
        &[
            (SHOP, "default", PERMISSIVE),
            (SHOP, "web", "spec: {selector: {matchLabels: {app: web}}, mtls: {mode: STRICT}}"),
        ],
        &[],
    ),
    (
        "another workload is strict",
        &[(SHOP, "other", "spec: {selector: {matchLabels: {app: other}}, mtls: {mode: STRICT}}")],
        &[PORT, PORT_2],
    ),
    (
        "a workload without a mode has its namespace's",
        &[(SHOP, "default", STRICT), (SHOP, "web", "spec: {selector: {matchLabels: {app: web}}}")],
        &[],
    ),
    (
        "one port is laxer",
        &[(
            SHOP,
            "web",
            "spec: {selector: {matchLabels: {app: web}}, mtls: {mode: STRICT}, portLevelMtls: {8081: {mode: PERMISSIVE}}}",
        )],
        &[PORT_2],
    ),
    (
        "one port is stricter",
        &[(SHOP, "web", "spec: {selector: {matchLabels: {app: web}}, portLevelMtls: {8081: {mode: STRICT}}}")],
        &[PORT],
    ),
    (
        "one port is laxer than the mesh",
        &[
            (MESH, "default", STRICT),
            (SHOP, "web", "spec: {selector: {matchLabels: {app: web}}, portLevelMtls: {8080: {mode: DISABLE}}}"),
        ],
        &[PORT],
    ),
    (
        "of two the older wins, whatever its name",
        &[(SHOP, "a-newer", "newer STRICT"), (SHOP, "b-older", "older PERMISSIVE")],
        &[PORT, PORT_2],
    ),
    (
        "of two the older wins, whatever it says",
        &[(SHOP, "a-newer", "newer PERMISSIVE"), (SHOP, "b-older", "older STRICT")],
        &[],
    ),
    ("disabled is not shut", &[(MESH, "default", "spec: {mtls: {mode: DISABLE}}")], &[PORT, PORT_2]),
];

#[test]
fn the_narrowest_and_of_these_the_oldest_mode_holds() -> Result<()> {
    let mut shop = Shop::open()?;
    let _second = Server::start(&shop.web.netns(), PORT_2, Behaviour::Whoami)?;
    for (number, (what, said, plain)) in CASES.iter().enumerate() {
        // Taken up with the rest of the file, and of no effect: shows that the file is in force.
        let mark = format!("case-{number}");
        let mut file = manifest::policy("outside", &mark, "nothing", "DENY", &["cluster.local/ns/x/sa/x"]);
        for said in *said {
            write!(file, "---\n{}", peer_authentication(*said))?;
        }
        shop.mesh.apply("modes.yaml", &file, &mark)?;
        for port in [PORT, PORT_2] {
            let outcome = ask(&shop.plain.netns(), shop.web.at(port), "who")?;
            let taken = matches!(outcome, Outcome::Answered(_));
            assert!(taken || outcome.is_turned_down(), "{what}: port {port}: {outcome:?}");
            assert_eq!(taken, plain.contains(&port), "{what}: port {port}: {outcome:?}");
            assert_eq!(seen(&shop.client.netns(), shop.web.at(port))?, shop.client.ip4(), "{what}: port {port}");
        }
    }
    Ok(())
}

fn peer_authentication((namespace, name, said): Said) -> String {
    let (created, spec) = match said.split_once(' ') {
        Some(("older", mode)) => {
            ("creationTimestamp: 2020-01-01T00:00:00Z", format!("spec: {{mtls: {{mode: {mode}}}}}"))
        }
        Some(("newer", mode)) => {
            ("creationTimestamp: 2021-01-01T00:00:00Z", format!("spec: {{mtls: {{mode: {mode}}}}}"))
        }
        _ => ("labels: {}", said.to_owned()),
    };
    format!(
        "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\n\
         metadata:\n  name: {name}\n  namespace: {namespace}\n  {created}\n{spec}\n"
    )
}
