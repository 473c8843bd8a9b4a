use std::net::SocketAddr;

use ambit_model::PeerAddr;

use super::*;
use crate::flow::Direction;

fn render(format: AccessLogFormat, error: &str) -> String {
    let source: SocketAddr = "[fd00::1]:1234".parse().unwrap();
    let reason = CloseReason::BadRequest { detail: error.to_owned() };
    Line {
        flow: &Flow::new(Direction::Inbound),
        addresses: &Addresses { source: PeerAddr::new(source), destination: None, tunnel_target: None },
        from_client: 1,
        from_server: 2,
        duration: Duration::from_micros(13_900),
        end: Err(&reason),
    }
    .render(format)
}

#[test]
fn text_values_are_quoted_where_needed() {
    let cases = [
        ("plain words", r#""bad CONNECT request: plain words""#),
        ("a\nb\r\tc", r#""bad CONNECT request: a\nb\u000d\u0009c""#),
        (r#"x" dst.workload=admin y="\"#, r#""bad CONNECT request: x\" dst.workload=admin y=\"\\""#),
        ("\u{1b}[2J\u{9b}2J\0\u{7f}", r#""bad CONNECT request: \u001b[2J\u009b2J\u0000\u007f""#),
        ("\u{202e}txt.exe\u{2028}", r#""bad CONNECT request: \u202etxt.exe\u2028""#),
        ("grüße", r#""bad CONNECT request: grüße""#),
    ];
    for (error, expected) in cases {
        let line = render(AccessLogFormat::Text, error);
        let (time, rest) = line.split_once('\t').unwrap();
        assert!(time.ends_with('Z'), "{time}");
        assert_eq!(
            rest,
            format!(
                "error\taccess\tconnection complete\tsrc.addr=[fd00::1]:1234 direction=inbound \
                 bytes_sent=2 bytes_recv=1 duration=13ms error={expected}\n"
            )
        );
    }
}

#[test]
fn bare_values_need_no_quotes() {
    let cases = [("10.0.0.1:80", true), ("a b", false), ("a=b", false), ("a\"b", false), ("é", false), ("a\\", false)];
    for (value, bare) in cases {
        assert_eq!(is_bare(value), bare, "{value}");
    }
}

#[test]
fn json_is_one_object_a_line_with_any_value_in_it() {
    for error in ["plain", "\"},\n{\"level\":\"info", "\\", "\u{1b}\u{2029}\0", "𝄞"] {
        let line = render(AccessLogFormat::Json, error);
        assert_eq!(line.matches('\n').count(), 1, "{line}");
        let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&line).unwrap();
        assert_eq!(object["error"], format!("bad CONNECT request: {error}"));
        assert_eq!(object["message"], "connection complete");
        assert_eq!(object["bytes_sent"], 2);
        assert_eq!(object["duration"], "13ms");
    }
    let line = render(AccessLogFormat::Json, "x");
    let keys: Vec<_> = line.split('"').filter(|part| part.contains('_') || part.contains('.')).collect();
    assert_eq!(keys[1..], ["src.addr", "bytes_sent", "bytes_recv"], "the time comes first: {line}");
}

#[test]
fn a_long_value_is_cut() {
    for format in [AccessLogFormat::Text, AccessLogFormat::Json] {
        assert!(render(format, &"\0".repeat(1_000_000)).len() < 2500);
        assert!(render(format, &"x".repeat(1_000_000)).contains("xxx…\""));
    }
}
