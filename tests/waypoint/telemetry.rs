//! Telemetry: logs in the users' formats, spans at real collectors, labels of metrics.

use std::fs;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::case::{Shop, run, to_web};
use crate::scene::WEB;
use crate::sink::{PORT, Sink, attribute};

/// A mesh configuration with these providers, and one Telemetry object for all of it.
fn telemetry(providers: &str, spec: &str) -> String {
    format!(
        "apiVersion: ambit.io/v1alpha1\nkind: MeshConfig\nmetadata: {{name: default, namespace: istio-system}}\n\
         spec: {{extensionProviders: [{providers}]}}\n---\n\
         apiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {{name: all, namespace: istio-system}}\n\
         spec: {{{spec}}}\n"
    )
}

fn zipkin(more: &str) -> String {
    format!("{{name: spans, zipkin: {{service: 127.0.0.1, port: {PORT}{more}}}}}")
}

fn otel() -> String {
    format!(
        "{{name: spans, opentelemetry: {{service: 127.0.0.1, port: {PORT}, grpc: {{initialMetadata: [{{name: x-tenant, value: a}}]}}}}}}"
    )
}

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";

/// What the backend saw of a header.
fn seen(answer: &crate::client::Answer, header: &str) -> String {
    let seen = answer.seen();
    seen.get("headers").and_then(|all| all.get(header)).and_then(Value::as_str).unwrap_or_default().to_owned()
}

#[test]
fn zipkin_has_the_spans_of_a_trace_that_goes_on() -> Result<()> {
    let spec = "tracing: [{providers: [{name: spans}], randomSamplingPercentage: 0, customTags: {
        team: {literal: {value: shop}}, tier: {header: {name: x-tier, defaultValue: none}},
        code: {formatter: {value: '%RESPONSE_CODE%'}}, home: {environment: {name: AMBIT_NOT_SET, defaultValue: here}}}}]";
    run(&telemetry(&zipkin(""), spec), |shop: &mut Shop| {
        let sink = Sink::start(shop.scene.netns())?;
        // By lot none is traced.
        let untraced = shop.get("/untraced").lands_on("web")?;
        ensure!(seen(&untraced, "x-b3-sampled") == "0", "{:?}", untraced.seen());
        let ask = shop.get("/traced").with("x-b3-traceid", TRACE).with("x-b3-spanid", SPAN).with("x-b3-sampled", "1");
        let answer = ask.lands_on("web")?;
        let spans = shop.client.until("two spans", || Some(sink.zipkin()).filter(|spans| spans.len() >= 2))?;
        ensure!(spans.len() == 2, "{spans:?}");
        let of = |kind: &str| spans.iter().find(|span| span["kind"] == kind).context("a kind of spans is missing");
        let (server, client) = (of("SERVER")?, of("CLIENT")?);
        ensure!(server["traceId"] == TRACE && server["parentId"] == SPAN, "{server}");
        ensure!(client["parentId"] == server["id"] && client["traceId"] == TRACE, "{client}");
        ensure!(seen(&answer, "x-b3-traceid") == TRACE && client["id"] == seen(&answer, "x-b3-spanid"), "{client}");
        ensure!(server["name"] == "web.shop.svc.cluster.local:80/*", "{server}");
        ensure!(server["localEndpoint"]["serviceName"] == "waypoint.shop", "{server}");
        let tags = &server["tags"];
        for (name, expected) in [
            ("http.method", "GET"),
            ("http.status_code", "200"),
            ("http.url", "http://web.shop.svc.cluster.local/traced"),
            ("response_flags", "-"),
            ("team", "shop"),
            ("tier", "none"),
            ("code", "200"),
            ("home", "here"),
        ] {
            ensure!(tags[name] == expected, "{name} is {}, not {expected}", tags[name]);
        }
        Ok(())
    })
}

#[test]
fn otlp_has_spans_and_w3c_contexts_go_on() -> Result<()> {
    let spec = "tracing: [{providers: [{name: spans}], randomSamplingPercentage: 100}]";
    run(&telemetry(&otel(), spec), |shop: &mut Shop| {
        let sink = Sink::start(shop.scene.netns())?;
        let parent = format!("00-{TRACE}-{SPAN}-01");
        let answer = shop.get("/a").with("traceparent", &parent).with("tracestate", "a=b").lands_on("web")?;
        ensure!(seen(&answer, "traceparent").starts_with(&format!("00-{TRACE}-")), "{:?}", answer.seen());
        ensure!(seen(&answer, "tracestate") == "a=b", "{:?}", answer.seen());
        shop.get("/unsampled").with("traceparent", &format!("00-{TRACE}-{SPAN}-00")).lands_on("web")?;
        shop.get("/fails").with("x-test-status", "500").answers(500)?;
        let spans = shop.client.until("four spans", || Some(sink.spans()).filter(|spans| spans.len() >= 4))?;
        let urls: Vec<_> = spans.iter().filter_map(|span| attribute(&span.attributes, "http.url")).collect();
        ensure!(urls.iter().all(|url| !url.ends_with("/unsampled")), "{urls:?}");
        let server = spans.iter().find(|span| span.kind == 2).context("no span of a server")?;
        ensure!(format!("{:032x}", u128::from_be_bytes(server.trace_id.as_slice().try_into()?)) == TRACE, "{server:?}");
        let client = spans.iter().find(|span| span.kind == 3).context("no span of a client")?;
        ensure!(client.parent_span_id == server.span_id, "{client:?}");
        ensure!(sink.came().iter().all(|came| came.headers["x-tenant"] == "a"), "{:?}", sink.came());
        Ok(())
    })
}

#[test]
fn a_collector_that_is_away_costs_its_spans_alone() -> Result<()> {
    let spec = "tracing: [{providers: [{name: spans}], randomSamplingPercentage: 100}]";
    run(&telemetry(&zipkin(""), spec), |shop: &mut Shop| {
        shop.get("/").lands_on("web")?;
        let lost = || {
            let (_, metrics) = shop.scene.http(15020, "/metrics").ok()?;
            metrics.lines().any(|line| line == "ambit_spans_lost_total 2").then_some(())
        };
        shop.client.until("the lost spans are counted", lost)?;
        shop.get("/").lands_on("web").map(drop)
    })
}

#[test]
fn logs_are_in_the_users_formats_of_the_requests_they_want() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (text, json) = (folder.path().join("text"), folder.path().join("json"));
    let providers = format!(
        "{{name: text, envoyFileAccessLog: {{path: {}, logFormat: {{text: '%REQ(:METHOD)% %REQ(:PATH)% %RESPONSE_CODE% %REQ(X-A?X-B)% %RESP(X-POD)%'}}}}}},
         {{name: json, envoyFileAccessLog: {{path: {}, omitEmptyValues: true, logFormat: {{labels: {{code: '%RESPONSE_CODE%', who: '%DOWNSTREAM_PEER_URI_SAN%', flags: '%RESPONSE_FLAGS%', none: '%REQ(X-NONE)%'}}}}}}}},
         {{name: als, envoyOtelAls: {{service: 127.0.0.1, port: {PORT}, logFormat: {{text: '%REQ(:PATH)%', labels: {{code: '%RESPONSE_CODE%'}}}}}}}}",
        text.display(),
        json.display(),
    );
    let spec = "accessLogging: [
        {providers: [{name: text}], filter: {expression: \"response.code >= 400 && request.headers['x-b'] == 'b'\"}},
        {providers: [{name: json}, {name: als}], filter: {expression: \"request.url_path.startsWith('/logged') && connection.mtls\"}}]";
    run(&telemetry(&providers, spec), |shop: &mut Shop| {
        let sink = Sink::start(shop.scene.netns())?;
        shop.get("/good").with("x-b", "b").lands_on("web")?;
        shop.get("/no-header").with("x-test-status", "404").answers(404)?;
        let bad = shop.get("/bad?a=1").with("x-b", "b").with("x-test-status", "404").answers(404)?;
        let pod = bad.header("x-pod").unwrap_or_default().to_owned();
        shop.get("/logged").lands_on("web")?;
        let read = |path: &std::path::Path| fs::read_to_string(path).ok().filter(|text| text.ends_with('\n'));
        let line = shop.client.until("a line of text", || read(&text))?;
        ensure!(line == format!("GET /bad?a=1 404 b {pod}\n"), "{line:?}");
        let line = shop.client.until("a line of JSON", || read(&json))?;
        let expected = serde_json::json!({"code": 200, "who": "spiffe://cluster.local/ns/shop/sa/client"});
        ensure!(serde_json::from_str::<Value>(&line)? == expected, "{line}");
        let records = shop.client.until("a record", || Some(sink.records()).filter(|records| !records.is_empty()))?;
        let [record] = &records[..] else { anyhow::bail!("{records:?}") };
        ensure!(record.body.as_ref().is_some_and(|body| body.text == "/logged"), "{record:?}");
        ensure!(attribute(&record.attributes, "code") == Some("200"), "{record:?}");
        ensure!(shop.scene.access_log().is_empty(), "the waypoint's own log has lines nobody wants");
        Ok(())
    })
}

#[test]
fn connections_that_are_no_http_have_their_lines_too() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("log");
    let providers = format!(
        "{{name: file, envoyFileAccessLog: {{path: {}, logFormat: {{text: '%DOWNSTREAM_PEER_URI_SAN% %DOWNSTREAM_LOCAL_ADDRESS% %BYTES_RECEIVED% %RESPONSE_CODE%'}}}}}}",
        file.display()
    );
    let spec = "accessLogging: [{providers: [{name: file}], filter: {expression: 'destination.port == 90'}}]";
    run(&telemetry(&providers, spec), |shop: &mut Shop| {
        shop.get("/").lands_on("web")?;
        let read = shop.client.exchange((WEB, 90), b"ping", "web-v1\nping".len())?;
        ensure!(read.ends_with(b"\nping"), "{read:?}");
        let line = || fs::read_to_string(&file).ok().filter(|text| text.ends_with('\n'));
        let line = shop.client.until("a line", line)?;
        ensure!(line == "spiffe://cluster.local/ns/shop/sa/client 10.96.0.10:90 4 -\n", "{line:?}");
        ensure!(shop.scene.access_log().is_empty(), "the waypoint's own log has lines nobody wants");
        Ok(())
    })
}

#[test]
fn metrics_have_the_labels_and_only_the_metrics_users_want() -> Result<()> {
    let spec = "metrics: [{overrides: [
        {match: {metric: REQUEST_COUNT}, tagOverrides: {request_host: {value: request.host}, method: {value: \"request.method + '!'\"}, response_flags: {operation: REMOVE}}},
        {match: {metric: REQUEST_SIZE}, disabled: true}]}]";
    run(&telemetry("", spec), |shop: &mut Shop| {
        shop.get("/").lands_on("web")?;
        let metrics = || {
            let (_, metrics) = shop.scene.http(15020, "/metrics").ok()?;
            metrics.contains("istio_requests_total{").then_some(metrics)
        };
        let metrics = shop.client.until("the request is counted", metrics)?;
        let of = |name: &str| metrics.lines().filter(|line| line.starts_with(name)).collect::<Vec<_>>();
        let [count] = of("istio_requests_total{")[..] else { anyhow::bail!("{metrics}") };
        for label in ["reporter=\"waypoint\"", "request_host=\"web.shop.svc.cluster.local\"", "method=\"GET!\""] {
            ensure!(count.contains(label), "no {label} in {count}");
        }
        ensure!(!count.contains("response_flags"), "{count}");
        ensure!(of("istio_request_bytes_count{").is_empty(), "{metrics}");
        let [duration] = of("istio_request_duration_milliseconds_count{")[..] else { anyhow::bail!("{metrics}") };
        ensure!(duration.contains("response_flags=\"-\"") && !duration.contains("request_host"), "{duration}");
        Ok(())
    })
}

#[test]
fn metrics_of_connections_have_the_labels_and_only_the_metrics_users_want() -> Result<()> {
    let spec = "metrics: [{overrides: [
        {match: {metric: TCP_SENT_BYTES}, tagOverrides: {port: {value: 'string(destination.port)'}, source_app: {operation: REMOVE}}},
        {match: {metric: TCP_RECEIVED_BYTES}, disabled: true}]}]";
    run(&telemetry("", spec), |shop: &mut Shop| {
        let read = shop.client.exchange((WEB, 90), b"ping", "web-v1\nping".len())?;
        ensure!(read.ends_with(b"\nping"), "{read:?}");
        let metrics = || {
            let (_, metrics) = shop.scene.http(15020, "/metrics").ok()?;
            let is_closed =
                |line: &str| line.starts_with("istio_tcp_connections_closed_total{") && line.ends_with(" 1");
            metrics.lines().any(is_closed).then_some(metrics)
        };
        let metrics = shop.client.until("the connection is counted", metrics)?;
        let of = |name: &str| metrics.lines().filter(|line| line.starts_with(name)).collect::<Vec<_>>();
        let [sent] = of("istio_tcp_sent_bytes_total{")[..] else { anyhow::bail!("{metrics}") };
        ensure!(sent.contains("port=\"90\"") && !sent.contains("source_app") && sent.ends_with(" 11"), "{sent}");
        ensure!(of("istio_tcp_received_bytes_total{").is_empty(), "{metrics}");
        let [opened] = of("istio_tcp_connections_opened_total{")[..] else { anyhow::bail!("{metrics}") };
        ensure!(opened.contains("source_app=\"client\"") && !opened.contains("port="), "{opened}");
        Ok(())
    })
}

#[test]
fn who_says_nothing_has_the_waypoints_own_log_and_who_wants_none_has_none() -> Result<()> {
    let marked = |mark: u8| to_web(&format!("headers: {{response: {{set: {{x-mark: '{mark}'}}}}}}")) + "---\n";
    run("", |shop: &mut Shop| {
        // The log is written in order: once a later line is there, all before it are.
        let logged = |path: &str| shop.client.until("a line", || shop.scene.access_log().contains(path).then_some(()));
        let change = |mark: u8, more: &str| -> Result<()> {
            shop.scene.write(&(marked(mark) + more))?;
            let is_new = || {
                let answer = shop.get("/changing").send().ok()?;
                (answer.header("x-mark") == Some(&mark.to_string())).then_some(())
            };
            shop.client.until("the change", is_new)
        };
        shop.get("/first").lands_on("web")?;
        logged("/first")?;
        change(1, &telemetry("", "accessLogging: [{disabled: true}]"))?;
        shop.get("/unseen").lands_on("web")?;
        change(2, &telemetry("", "accessLogging: [{providers: [{name: envoy}]}]"))?;
        shop.get("/last").lands_on("web")?;
        logged("/last")?;
        ensure!(!shop.scene.access_log().contains("/unseen"), "a line that nobody wants");
        Ok(())
    })
}
