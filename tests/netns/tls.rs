//! Who is believed at either end of a tunnel, and what may be asked for in it.

use anyhow::Result;
use http::Method;

use ambit_tests::{PodSpec, ask, manifest};

use crate::shop::{PORT, Shop};
use crate::tunnel::{Answer, Authority, TunnelServer, Validity, request};

const CLIENT: &str = "spiffe://cluster.local/ns/shop/sa/client";
const OTHER: &str = "spiffe://cluster.local/ns/shop/sa/other";

#[test]
fn a_server_with_another_identity_gets_nothing() -> Result<()> {
    let mut shop = Shop::closed()?;
    let honest = shop.mesh.pod(PodSpec::new("shop", "honest", 2))?;
    let [honest_ip, impostor_ip] = [&honest, &shop.web].map(|pod| pod.at(PORT));
    shop.mesh.start_agent(1, &[])?.wait_ready()?;
    let authority = Authority::of(&shop.mesh)?;

    let right = authority.certify(&[&honest.identity()], Validity::Now)?;
    let honest = TunnelServer::start(&honest.netns(), &right)?;
    assert_eq!(ask(&shop.client.netns(), honest_ip, "a-secret")?.answer()?, "a-secret");
    assert_eq!(honest.received(), b"a-secret\n");

    let wrong = authority.certify(&[OTHER], Validity::Now)?;
    let impostor = TunnelServer::start(&shop.web.netns(), &wrong)?;
    assert!(ask(&shop.client.netns(), impostor_ip, "a-secret")?.is_turned_down());
    assert_eq!(impostor.received(), b"");
    let line = shop.mesh.agent(1)?.wait_access(|line| line.field("dst.workload") == "web")?;
    assert!(line.error().is_some_and(|error| error.contains("sa/other")), "the log names who was there: {line:?}");
    Ok(())
}

#[test]
fn only_a_valid_certificate_of_this_mesh_opens_a_tunnel() -> Result<()> {
    let shop = Shop::open()?;
    let authority = Authority::of(&shop.mesh)?;
    let stranger = Authority::open(&shop.mesh.world.directory().join("strangers-state"))?;
    let cases = [
        ("valid", Some(authority.certify(&[CLIENT], Validity::Now)?), true),
        ("none", None, false),
        ("expired", Some(authority.certify(&[CLIENT], Validity::Over)?), false),
        ("not yet valid", Some(authority.certify(&[CLIENT], Validity::Later)?), false),
        ("of an unknown authority", Some(stranger.certify(&[CLIENT], Validity::Now)?), false),
        (
            "of another trust domain",
            Some(authority.certify(&["spiffe://elsewhere/ns/shop/sa/client"], Validity::Now)?),
            false,
        ),
        ("of two identities", Some(authority.certify(&[CLIENT, OTHER], Validity::Now)?), false),
        ("of no identity", Some(authority.certify(&[], Validity::Now)?), false),
        (
            "of no SPIFFE id",
            Some(authority.certify(&["https://cluster.local/ns/shop/sa/client"], Validity::Now)?),
            false,
        ),
    ];
    let target = shop.web.at(PORT).to_string();
    for (what, credentials, accepted) in cases {
        let ask_for = (Method::CONNECT, target.as_str());
        let answer = request(&shop.plain.netns(), shop.web.at(15008), credentials.as_ref(), ask_for)?;
        if accepted {
            assert!(matches!(answer, Answer::Served(_)), "{what}: {answer:?}");
        } else {
            assert_eq!(answer, Answer::Broken, "{what}");
        }
    }
    assert_eq!(shop.server.peers().len(), 1);
    Ok(())
}

#[test]
fn a_tunnel_leads_to_its_own_pod_only() -> Result<()> {
    let shop = Shop::open()?;
    let credentials = Authority::of(&shop.mesh)?.certify(&[CLIENT], Validity::Now)?;
    let (web, nobody) = (shop.web.at(PORT), shop.web.at(9));
    let cases = [
        (Method::CONNECT, shop.plain.at(PORT).to_string(), 400),
        (Method::CONNECT, shop.client.at(PORT).to_string(), 400),
        (Method::CONNECT, shop.service.to_string(), 400),
        (Method::CONNECT, "127.0.0.1:8080".to_owned(), 400),
        (Method::CONNECT, "other.shop.svc.cluster.local:80".to_owned(), 400),
        (Method::CONNECT, "web.shop.svc.cluster.local:8080".to_owned(), 400),
        (Method::CONNECT, shop.web.at(15001).to_string(), 400),
        (Method::CONNECT, shop.web.at(15008).to_string(), 400),
        (Method::CONNECT, nobody.to_string(), 503),
        (Method::GET, format!("https://{web}/"), 400),
    ];
    for (method, target, status) in cases {
        let ask_for = (method.clone(), target.as_str());
        let answer = request(&shop.plain.netns(), shop.web.at(15008), Some(&credentials), ask_for)?;
        assert_eq!(answer, Answer::Status(status), "{method} {target}");
    }
    assert!(shop.server.peers().is_empty());
    // As clients of another network ask, who know its service's name alone.
    let ask_for = (Method::CONNECT, "web.shop.svc.cluster.local:80");
    let answer = request(&shop.plain.netns(), shop.web.at(15008), Some(&credentials), ask_for)?;
    assert!(matches!(answer, Answer::Served(_)), "{answer:?}");
    Ok(())
}

#[test]
fn policy_judges_the_certificate() -> Result<()> {
    let mut shop = Shop::open()?;
    let policy = manifest::policy("shop", "only-client", "web", "ALLOW", &["cluster.local/ns/shop/sa/client"]);
    shop.mesh.apply("policy.yaml", &policy, "only-client")?;
    let authority = Authority::of(&shop.mesh)?;
    let target = shop.web.at(PORT).to_string();
    for (identity, allowed) in [(CLIENT, true), (OTHER, false)] {
        let credentials = authority.certify(&[identity], Validity::Now)?;
        let ask_for = (Method::CONNECT, target.as_str());
        let answer = request(&shop.plain.netns(), shop.web.at(15008), Some(&credentials), ask_for)?;
        assert_eq!(matches!(answer, Answer::Served(_)), allowed, "{identity}: {answer:?}");
        assert_eq!(answer == Answer::Status(401), !allowed, "{identity}: {answer:?}");
    }
    Ok(())
}
