//! Service ports that name a port of the pod instead of its number.

use anyhow::Result;

use ambit_tests::{Behaviour, PodSpec, Server, ask, manifest};

use crate::shop::{PORT, Shop};

#[test]
fn a_named_port_is_found_in_each_pod_for_itself() -> Result<()> {
    let mut shop = Shop::closed()?;
    let [service, _] = shop.mesh.service("named", PORT)?;
    let text = manifest::service("shop", "named", 11, PORT).replace(r#""targetPort":8080"#, r#""targetPort":"web""#);
    shop.mesh.config.write("service-named.yaml", &text)?;
    let mut servers = Vec::new();
    for (name, port) in [("one", 9001_u16), ("two", 9002)] {
        let pod = shop.mesh.pod(PodSpec::new("shop", name, 2).label("app", "named"))?;
        let container = format!(r#""containers":[{{"name":"c","ports":[{{"name":"web","containerPort":{port}}}]}}]"#);
        let text = manifest::pod(&pod).replace(r#""containers":[]"#, &container);
        shop.mesh.config.write(&format!("pod-shop-{name}.yaml"), &text)?;
        servers.push(Server::start(&pod.netns(), port, Behaviour::Say(name.to_owned()))?);
    }
    shop.mesh.start()?;
    let mut missing = vec!["one", "two"];
    // 100 draws of one in two miss a given one with a chance of 8e-31.
    for _ in 0..100 {
        let answer = ask(&shop.client.netns(), service, "who")?.answer()?;
        missing.retain(|name| *name != answer);
    }
    assert!(missing.is_empty(), "never asked: {missing:?}");
    Ok(())
}
