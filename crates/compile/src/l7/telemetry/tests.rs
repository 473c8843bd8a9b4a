use ambit_l7::telemetry::{
    CollectorProtocol, Contexts, LabelValue, LogFormat, LogSink, ReportedMetric, TagValue, Telemetry,
};

use crate::l7::fixtures::{Mesh, REVIEWS, object, said, service};

/// Two files, spans in both ways, and who is told where nobody says.
const PROVIDERS: &str = "extensionProviders:
- {name: a, envoyFileAccessLog: {path: /tmp/a, logFormat: {text: '%RESPONSE_CODE%'}}}
- {name: b, envoyFileAccessLog: {path: /tmp/b, logFormat: {labels: {code: '%RESPONSE_CODE%'}}}}
- {name: otel, opentelemetry: {service: collector, port: 4317, http: {path: /v1/traces, headers: [{name: x-a, value: b}]}}}
- {name: zipkin, zipkin: {service: other/zipkin.other.svc.cluster.local, port: 9411}}
- {name: metrics, prometheus: {}}
- {name: als, envoyOtelAls: {service: collector.shop.svc.cluster.local, port: 4317, logName: requests}}
";

fn mesh(defaults: &str) -> Mesh {
    let mut mesh = Mesh::new();
    let config = format!("{PROVIDERS}defaultProviders: {{{defaults}}}");
    assert_eq!(said(&mesh.put(&object("MeshConfig", "istio-system/default", &config))), Vec::<String>::new());
    mesh
}

fn merged(mesh: &Mesh) -> Telemetry {
    mesh.rules(REVIEWS).telemetry.as_deref().cloned().unwrap_or_default()
}

/// The files of logs, with `?` for those that are filtered.
fn files(telemetry: &Telemetry) -> Option<String> {
    let one = |sink: &LogSink| match sink {
        LogSink::File { path, .. } => path.to_string(),
        LogSink::Otlp { name, .. } => name.to_string(),
    };
    let filtered = |is: bool| if is { "?" } else { "" };
    let all = telemetry.logs.as_ref()?.iter();
    Some(all.map(|log| one(&log.sink) + filtered(log.filter.is_some())).collect::<Vec<_>>().join(" "))
}

const REVIEWS_ONLY: &str = "targetRefs: [{kind: Service, name: reviews}]";

#[test]
fn logs_go_to_whom_the_narrowest_object_names() {
    let filter = "filter: {expression: response.code >= 500}";
    for (defaults, objects, expected) in [
        ("", vec![], None),
        ("accessLogging: [a]", vec![], Some("/tmp/a")),
        ("", vec![("istio-system/m", "accessLogging: [{}]".to_owned())], Some("/dev/stdout")),
        ("accessLogging: [a]", vec![("istio-system/m", "accessLogging: [{disabled: true}]".to_owned())], Some("")),
        ("accessLogging: [a]", vec![("istio-system/m", format!("accessLogging: [{{{filter}}}]"))], Some("/tmp/a?")),
        (
            "accessLogging: [a]",
            vec![
                ("istio-system/m", "accessLogging: [{providers: [{name: a}]}]".to_owned()),
                ("shop/all", "accessLogging: [{providers: [{name: b}, {name: als}]}]".to_owned()),
            ],
            Some("requests /tmp/b"),
        ),
        (
            "accessLogging: [a]",
            vec![
                ("shop/all", "accessLogging: [{providers: [{name: b}]}]".to_owned()),
                ("shop/s", format!("{REVIEWS_ONLY}\naccessLogging: [{{{filter}}}]")),
            ],
            Some("/tmp/b?"),
        ),
        (
            "accessLogging: [a]",
            vec![(
                "shop/s",
                "targetRefs: [{kind: Service, name: ratings}]\naccessLogging: [{disabled: true}]".to_owned(),
            )],
            Some("/tmp/a"),
        ),
        (
            "accessLogging: [a]",
            vec![("shop/s", "selector: {matchLabels: {app: waypoint}}\naccessLogging: [{disabled: true}]".to_owned())],
            Some(""),
        ),
        (
            "accessLogging: [a]",
            vec![("shop/s", "selector: {matchLabels: {app: other}}\naccessLogging: [{disabled: true}]".to_owned())],
            Some("/tmp/a"),
        ),
        ("accessLogging: [a]", vec![("other/all", "accessLogging: [{disabled: true}]".to_owned())], Some("/tmp/a")),
    ] {
        logged(defaults, &objects, expected);
    }
}

/// Where requests are logged with these objects.
fn logged(defaults: &str, objects: &[(&str, String)], expected: Option<&str>) {
    let mut mesh = mesh(defaults);
    for (name, spec) in objects {
        assert_eq!(said(&mesh.put(&object("Telemetry", name, spec))), Vec::<String>::new(), "{spec}");
    }
    assert_eq!(files(&merged(&mesh)).as_deref(), expected, "{defaults} {objects:?}");
}

#[test]
fn what_a_narrower_object_leaves_open_is_as_the_wider_one_has_it() {
    let filter = "filter: {expression: response.code >= 500}";
    for (wide, narrow, expected) in [
        ("", "{}", "/tmp/a?"),
        ("disabled: true, ", "{}", ""),
        // Whoever is named is told.
        ("disabled: true, ", "{providers: [{name: a}]}", "/tmp/a?"),
        ("disabled: true, ", "{providers: [{name: a}], disabled: true}", ""),
    ] {
        let wide = format!("accessLogging: [{{providers: [{{name: a}}], {wide}{filter}}}]");
        let narrow = format!("accessLogging: [{narrow}]");
        logged("", &[("istio-system/m", wide), ("shop/all", narrow)], Some(expected));
    }
}

#[test]
fn traces_are_as_the_narrowest_object_says_field_by_field() {
    let mut mesh = mesh("tracing: [otel]");
    let tracing = merged(&mesh).tracing.unwrap();
    assert_eq!((tracing.sampling, tracing.contexts, tracing.report), (10_000, Contexts::W3c, true));
    assert_eq!(tracing.collector.protocol, CollectorProtocol::OtlpHttp("/v1/traces".into()));
    mesh.put(&object(
        "Telemetry",
        "istio-system/m",
        "tracing: [{randomSamplingPercentage: 50, customTags: {a: {literal: {value: b}}}}]",
    ));
    mesh.put(&object("Telemetry", "shop/all", "tracing: [{providers: [{name: zipkin}], disableSpanReporting: true}]"));
    let tracing = merged(&mesh).tracing.unwrap();
    assert_eq!((tracing.sampling, tracing.contexts, tracing.report), (500_000, Contexts::B3, false));
    assert_eq!(tracing.tags, [("a".into(), TagValue::Literal("b".into()))]);
    assert_eq!(&*tracing.collector.host, "zipkin.other.svc.cluster.local");
}

#[test]
fn metrics_are_changed_one_override_after_the_other() {
    let mut mesh = mesh("");
    mesh.put(&object(
        "Telemetry",
        "istio-system/m",
        "metrics: [{providers: [{name: prometheus}], overrides: [{disabled: true},
            {match: {metric: REQUEST_COUNT}, disabled: false, tagOverrides: {a: {value: request.host}, b: {operation: REMOVE}}}]}]",
    ));
    let changes = merged(&mesh).metrics;
    assert!(changes[&ReportedMetric::RequestSize].disabled);
    let count = &changes[&ReportedMetric::RequestCount];
    assert!(!count.disabled);
    assert!(matches!(count.labels["a"], LabelValue::Is(_)));
    assert_eq!(count.labels["b"], LabelValue::Removed);
}

#[test]
fn changes_in_metrics_count_for_whom_they_are() {
    use ReportedMetric::{RequestCount, TcpClosedConnections, TcpSentBytes};
    let off = "overrides: [{disabled: true}]";
    let of = |metrics: &[ReportedMetric]| metrics.to_vec();
    for (defaults, spec, expected) in [
        ("", format!("metrics: [{{{off}}}]"), ReportedMetric::ALL.to_vec()),
        ("", format!("metrics: [{{providers: [{{name: otel}}], {off}}}, {{providers: [{{name: prometheus}}]}}]"), of(&[])),
        ("", format!("metrics: [{{providers: [{{name: prometheus}}]}}, {{providers: [{{name: otel}}], {off}}}]"), of(&[])),
        ("", "metrics: [{providers: [{name: otel}]}]".to_owned(), ReportedMetric::ALL.to_vec()),
        ("metrics: [metrics]", format!("metrics: [{{{off}}}]"), ReportedMetric::ALL.to_vec()),
        (
            "",
            "metrics: [{overrides: [{match: {metric: TCP_SENT_BYTES}, disabled: true}, {match: {metric: REQUEST_COUNT, \
             mode: SERVER}, disabled: true}, {match: {metric: TCP_CLOSED_CONNECTIONS}, tagOverrides: {a: {value: '1'}}}]}]"
                .to_owned(),
            of(&[RequestCount, TcpClosedConnections, TcpSentBytes]),
        ),
    ] {
        let mut mesh = mesh(defaults);
        mesh.put(&object("Telemetry", "istio-system/m", &spec));
        assert_eq!(merged(&mesh).metrics.into_keys().collect::<Vec<_>>(), expected, "{defaults} {spec}");
    }
}

#[test]
fn what_cannot_be_told_is_said() {
    for (spec, expected) in [
        (
            "accessLogging: [{filter: {expression: response.cod == 1}}]",
            "error spec.accessLogging[0].filter.expression: ",
        ),
        ("accessLogging: [{providers: [{name: otel}]}]", "warning spec.accessLogging: "),
        ("accessLogging: [{match: {mode: CLIENT}}]", "warning spec.accessLogging[0].match: "),
        ("tracing: [{providers: [{name: nobody}]}]", "warning spec.tracing: "),
        ("tracing: [{providers: [{name: otel}, {name: zipkin}]}]", "warning spec.tracing[0].providers[1]: "),
        ("tracing: [{customTags: {a: {}}}]", "error spec.tracing[0].customTags.a: "),
        ("tracing: [{customTags: {a: {header: {name: a b}}}}]", "error spec.tracing[0].customTags.a.header.name: "),
        ("metrics: [{reportingInterval: 5s}]", "warning spec.metrics[0].reportingInterval: "),
        (
            "metrics: [{overrides: [{match: {customMetric: a}}]}]",
            "error spec.metrics[0].overrides[0].match.customMetric: ",
        ),
        (
            "metrics: [{overrides: [{match: {metric: REQUEST_COUNT}, tagOverrides: {a: {value: '('}}}]}]",
            "error spec.metrics[0].overrides[0].tagOverrides.a.value: ",
        ),
        (
            "metrics: [{overrides: [{match: {metric: REQUEST_COUNT}, tagOverrides: {'a-b': {value: '1'}}}]}]",
            "error spec.metrics[0].overrides[0].tagOverrides.a-b: ",
        ),
        ("selector: {matchLabels: {a: b}}\ntargetRefs: [{kind: Service, name: reviews}]", "error spec.selector: "),
    ] {
        let words = said(&mesh("").put(&object("Telemetry", "shop/t", spec)));
        assert!(words.iter().any(|word| word.starts_with(expected)), "{spec}: {words:?}");
    }
    let provider = |kind: &str| format!("extensionProviders: [{{name: a, {kind}}}]");
    for (spec, expected) in [
        (provider("zipkin: {service: '', port: 1}"), "error spec.extensionProviders[0].zipkin.service: "),
        (provider("zipkin: {service: a, port: 0}"), "error spec.extensionProviders[0].zipkin.port: "),
        (
            provider("opentelemetry: {service: a, port: 1, http: {}, grpc: {}}"),
            "error spec.extensionProviders[0].opentelemetry.grpc: ",
        ),
        (
            provider("envoyFileAccessLog: {path: /a, logFormat: {text: '%DYNAMIC_METADATA(a)%'}}"),
            "error spec.extensionProviders[0].envoyFileAccessLog.logFormat.text: ",
        ),
        (
            provider("envoyFileAccessLog: {path: /a, logFormat: {text: a, labels: {b: c}}}"),
            "error spec.extensionProviders[0].envoyFileAccessLog.logFormat.labels: ",
        ),
        ("accessLogFormat: '%NOTHING%'".to_owned(), "error spec.accessLogFormat: "),
        ("defaultProviders: {tracing: [nobody]}".to_owned(), "warning spec.defaultProviders.tracing: "),
    ] {
        let words = said(&Mesh::new().put(&object("MeshConfig", "istio-system/default", &spec)));
        assert!(words.iter().any(|word| word.starts_with(expected)), "{spec}: {words:?}");
    }
}

#[test]
fn of_two_objects_of_one_level_the_older_counts() {
    let mut mesh = mesh("");
    let aged = |name: &str, year: u32, spec: &str| {
        object("Telemetry", name, spec).replacen('}', &format!(", creationTimestamp: '{year}-01-01T00:00:00Z'}}"), 1)
    };
    mesh.put(&aged("shop/young", 2026, "accessLogging: [{providers: [{name: b}]}]"));
    let delta = mesh.put(&aged("shop/old", 2025, "accessLogging: [{providers: [{name: a}]}]"));
    assert_eq!(files(&merged(&mesh)).as_deref(), Some("/tmp/a"));
    assert!(said(&delta).iter().any(|word| word.contains("is older")), "{delta:?}");
    // It says so whichever service was looked at last.
    let both = "targetRefs: [{kind: Service, name: reviews}, {kind: Service, name: ratings}]\naccessLogging: [{}]";
    mesh.put(&aged("shop/one", 2024, &format!("{REVIEWS_ONLY}\naccessLogging: [{{}}]")));
    let delta = mesh.put(&aged("shop/two", 2025, both));
    assert!(said(&delta).iter().any(|word| word.contains("shop/one is older")), "{delta:?}");
    for name in ["shop/reviews.shop.svc.cluster.local", "shop/ratings.shop.svc.cluster.local"] {
        let delta = mesh.put_service(&service(name, &[80, 81, 82], true));
        assert_eq!(said(&delta), Vec::<String>::new(), "{name}");
    }
    let format = |telemetry: &Telemetry| match &*telemetry.logs.as_ref().unwrap()[0].sink {
        LogSink::File { format, .. } => matches!(format, LogFormat::Text(_)),
        LogSink::Otlp { .. } => false,
    };
    assert!(format(&merged(&mesh)));
}
