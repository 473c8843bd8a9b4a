use serde_json::Value;

use super::*;

const KINDNET: &str = r#"
{
	"cniVersion": "0.3.1",
	"name": "kindnet",
	"plugins": [
	{
		"type": "ptp",
		"ipMasq": false,
		"ipam": {
			"type": "host-local",
			"dataDir": "/run/cni-ipam-state",
			"routes": [ { "dst": "0.0.0.0/0" } ],
			"ranges": [ [ { "subnet": "10.244.1.0/24" } ] ]
		}
		,
		"mtu": 1500
	},
	{
		"type": "portmap",
		"capabilities": {
			"portMappings": true
		}
	}
	]
}
"#;

const CALICO: &str = r#"{
  "name": "k8s-pod-network",
  "cniVersion": "0.3.1",
  "plugins": [
    {
      "type": "calico",
      "log_level": "info",
      "datastore_type": "kubernetes",
      "nodename": "node-1",
      "mtu": 0,
      "ipam": { "type": "calico-ipam" },
      "policy": { "type": "k8s" },
      "kubernetes": { "kubeconfig": "/etc/cni/net.d/calico-kubeconfig" }
    },
    {
      "type": "portmap",
      "snat": true,
      "capabilities": {"portMappings": true}
    },
    {
      "type": "bandwidth",
      "capabilities": {"bandwidth": true}
    }
  ]
}"#;

const CILIUM: &str = r#"
{
  "cniVersion": "0.3.1",
  "name": "cilium",
  "plugins": [
    {
       "type": "cilium-cni",
       "enable-debug": false,
       "log-file": "/var/run/cilium/cilium-cni.log"
    }
  ]
}
"#;

const FLANNEL: &str = r#"{"name": "cbr0","cniVersion": "0.3.1","plugins": [
  {"type": "flannel","delegate": {"hairpinMode": true,"isDefaultGateway": true}},
  {"type": "portmap","capabilities": {"portMappings": true}}]}
"#;

const BRIDGE: &str = r#"{"cniVersion":"1.0.0","name":"containerd-net","plugins":[{"type":"bridge","bridge":"cni0","isGateway":true,"promiscMode":true,"ipam":{"type":"host-local","ranges":[[{"subnet":"10.88.0.0/16"}]]}},{"type":"portmap","capabilities":{"portMappings":true}}],"disableCheck":true,"ünknown":1e400}"#;

const LISTS: [&str; 5] = [KINDNET, CALICO, CILIUM, FLANNEL, BRIDGE];

fn ours() -> String {
    entry(Path::new("/var/run/ambit/cni.sock"), Path::new("/var/lib/ambit/m.json"))
}

/// The plugins' types, by another reading than that of the code.
fn types(list: &str) -> Vec<String> {
    let list: Value = serde_json::from_str(&list.replace("1e400", "1")).unwrap();
    let plugins = list.get("plugins").unwrap().as_array().unwrap();
    plugins.iter().map(|plugin| plugin.get("type").unwrap().as_str().unwrap().to_owned()).collect()
}

#[test]
fn what_is_put_in_stands_last_stays_and_comes_out_without_a_trace() {
    for list in LISTS {
        let edited = insert(list, &ours()).unwrap().unwrap();
        let mut expected = types(list);
        expected.push(PLUGIN.to_owned());
        assert_eq!(types(&edited), expected);
        assert_eq!(insert(&edited, &ours()).unwrap(), None, "{edited}");
        assert_eq!(plugins(&edited).unwrap(), expected.len());
        assert_eq!(remove(&edited).unwrap().as_deref(), Some(list));
        assert_eq!(remove(list).unwrap(), None);
    }
}

#[test]
fn what_is_wrong_about_it_is_put_right() {
    let ours = ours();
    let bridge = r#"{"type":"bridge"}"#;
    let old = r#"{"type":"ambit-cni","socket":"/elsewhere"}"#;
    let list = |plugins: &[&str]| format!(r#"{{"name":"n","plugins":[{}],"x":1}}"#, plugins.join(","));
    let right = list(&[bridge, &ours]);
    for plugins in [
        &[bridge][..],
        &[bridge, old],
        &[&ours, bridge],
        &[old, bridge, &ours],
        &[bridge, &ours, &ours],
        &[&ours, &ours, bridge],
    ] {
        assert_eq!(insert(&list(plugins), &ours).unwrap().as_ref(), Some(&right), "{plugins:?}");
    }
    // Whoever stands behind may stay there.
    let tuning = r#"{"type":"tuning"}"#;
    assert_eq!(insert(&list(&[bridge, &ours, tuning]), &ours).unwrap(), None);
    assert_eq!(remove(&list(&[bridge, &ours, tuning, &ours])).unwrap(), Some(list(&[bridge, tuning])));
    // The same in other words is the same.
    let spaced = ours.replace(',', " ,\n\t");
    assert_eq!(insert(&list(&[bridge, &spaced]), &ours).unwrap(), None);
}

#[test]
fn what_is_no_list_is_left_alone() {
    for text in [
        "",
        "{",
        "[]",
        "{}",
        r#"{"plugins":{}}"#,
        r#"{"plugins":[]}"#,
        r#"{"plugins":[{}]}"#,
        r#"{"plugins":["bridge"]}"#,
        r#"{"plugins":[["bridge"]]}"#,
        r#"[[{"type":"bridge"}]]"#,
        r#"{"plugins":[{"type":"a"}],"plugins":[{"type":"b"}]}"#,
        r#"{"plugins":[{"type":"bridge"}]} trailing"#,
        r#"{"plugins":[{"type":"bridge"}]"#,
    ] {
        assert!(insert(text, &ours()).is_err(), "{text}");
        assert!(remove(text).is_err(), "{text}");
    }
    // Ours alone is no network; but a list that was one once must not become none.
    let alone = format!(r#"{{"plugins":[{}]}}"#, ours());
    assert_eq!(remove(&alone).unwrap(), None);
    assert!(matches!(insert(&alone, &ours()), Err(ConflistError::Empty)));
}

#[test]
fn one_plugin_becomes_the_list_that_runtimes_make_of_it() {
    let single = r#"
{"cniVersion":"0.4.0","name":"my \"net\"","type":"bridge","ipam":{"type":"host-local"},"mtu":1.50}
"#;
    let list = from_single(single, &ours()).unwrap();
    assert_eq!(types(&list), ["bridge", PLUGIN]);
    assert!(list.contains(single.trim()), "{list}");
    assert_eq!(insert(&list, &ours()).unwrap(), None);
    let parsed: Value = serde_json::from_str(&list).unwrap();
    assert_eq!((parsed["cniVersion"].as_str(), parsed["name"].as_str()), (Some("0.4.0"), Some("my \"net\"")));

    let unversioned = from_single(r#"{"name":"n","type":"ptp"}"#, &ours()).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&unversioned).unwrap().get("cniVersion"), None);
    let a_list_of_values = r#"["0.4.0","n","ptp"]"#;
    for text in [r#"{"name":"n"}"#, r#"{"type":"ptp"}"#, r#"{"name":"","type":"ptp"}"#, a_list_of_values, "{", KINDNET]
    {
        assert!(from_single(text, &ours()).is_err(), "{text}");
    }
}

#[test]
fn files_are_known_by_their_names() {
    for (name, kind) in [
        ("10-kindnet.conflist", Some(Kind::List)),
        ("05-flannel.conf", Some(Kind::Single)),
        ("a.json", Some(Kind::Single)),
        ("10-calico.conflist.bak", None),
        ("calico-kubeconfig", None),
        (".10-kindnet.conflist.7.ambit-new", None),
        ("05.cilium_bak", None),
    ] {
        assert_eq!(Kind::of(name), kind, "{name}");
    }
}
