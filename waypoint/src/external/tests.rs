use ambit_l7::{BodyForAuthorizer, HttpCheck, PathNormalization, Pattern};
use ambit_model::ServiceKey;
use futures::stream;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;

use super::change::How;
use super::messages::{
    CheckResponse, DeniedHttpResponse, HeaderValue as Value, HeaderValueOption, HttpResponse, HttpStatus,
    OkHttpResponse, Status,
};
use super::*;
use crate::errand::Answer;

fn option(key: &str, value: &str, append: Option<bool>, append_action: i32) -> HeaderValueOption {
    let header = Value { key: key.into(), value: value.into(), ..Value::default() };
    HeaderValueOption { header: Some(header), append, append_action }
}

fn change(name: &'static str, value: &'static str, how: How) -> Change {
    Change::new(HeaderName::from_static(name), HeaderValue::from_static(value), how)
}

#[test]
fn only_ok_is_consent() {
    let response = |code: Option<i32>, http_response: Option<HttpResponse>| CheckResponse {
        status: code.map(|code| Status { code, ..Status::default() }),
        http_response,
    };
    let denied = |status: i32| {
        Some(HttpResponse::Denied(DeniedHttpResponse {
            status: Some(HttpStatus { code: status }),
            headers: vec![option("x-why", "because", None, 0)],
            body: "no".into(),
        }))
    };
    let denial = |status| Denial { status, headers: Vec::new(), body: Bytes::new(), is_answer: true };
    let with_body = |status| Denial {
        headers: vec![change("x-why", "because", How::Overwrite)],
        body: "no".into(),
        ..denial(status)
    };
    let ok = || Some(HttpResponse::Ok(OkHttpResponse::default()));
    for (response, expected) in [
        (response(Some(0), ok()), Ok(Consent::default())),
        (response(Some(0), None), Ok(Consent::default())),
        (response(None, ok()), Ok(Consent::default())),
        (response(Some(7), None), Err(denial(StatusCode::FORBIDDEN))),
        (response(Some(7), ok()), Err(denial(StatusCode::FORBIDDEN))),
        (response(Some(16), denied(401)), Err(with_body(StatusCode::UNAUTHORIZED))),
        (response(Some(-1), denied(0)), Err(with_body(StatusCode::FORBIDDEN))),
        (response(Some(7), denied(101)), Err(with_body(StatusCode::FORBIDDEN))),
    ] {
        let shown = format!("{response:?}");
        assert_eq!(check::verdict(response).unwrap(), expected, "{shown}");
    }
    assert!(check::verdict(response(Some(0), denied(401))).is_err());
}

#[test]
fn headers_are_changed_as_said() {
    let ok = OkHttpResponse {
        headers: vec![
            option("x-unsaid", "new", None, 0),
            option("x-append", "new", Some(true), 0),
            option("x-set", "new", Some(false), 1),
            option("x-absent", "new", None, 1),
            option("x-present", "new", None, 3),
            option("x-missing", "new", None, 3),
            option(":path", "/admin", None, 2),
            option("content-length", "7", None, 2),
        ],
        headers_to_remove: vec!["x-secret".into(), "host".into(), ":method".into(), "transfer-encoding".into()],
        response_headers_to_add: vec![option("set-cookie", "a=b", None, 0)],
    };
    let status = Some(Status::default());
    let consent = check::verdict(CheckResponse { status, http_response: Some(HttpResponse::Ok(ok)) });
    let consent = consent.unwrap().unwrap();
    assert_eq!(consent.remove, ["x-secret"]);
    assert_eq!(consent.to_client, [change("set-cookie", "a=b", How::Append)]);
    let mut headers = HeaderMap::new();
    for name in ["x-unsaid", "x-append", "x-set", "x-absent", "x-present"] {
        headers.insert(name, HeaderValue::from_static("old"));
    }
    consent.changes.iter().for_each(|change| change.apply(&mut headers));
    let mut now: Vec<_> = headers.iter().map(|(name, value)| format!("{name}={}", value.to_str().unwrap())).collect();
    now.sort();
    let expected = ["x-absent=old", "x-append=new", "x-append=old", "x-present=new", "x-set=new", "x-unsaid=new"];
    assert_eq!(now, expected);
    for (name, value) in [("x y", "new"), ("x-bad", "a\nb")] {
        assert!(Change::read(name, value.as_bytes(), How::Append).is_err(), "{name}");
    }
}

#[test]
fn answers_of_http_are_read() {
    let http = HttpCheck {
        to_upstream: vec![Pattern::Prefix("x-user".into())],
        to_client_on_allow: vec![Pattern::Exact("set-cookie".into())],
        ..HttpCheck::default()
    };
    let some = HttpCheck { to_client_on_deny: vec![Pattern::Exact("x-why".into())], ..http.clone() };
    let answer = |status: u16| {
        let response = Response::builder()
            .status(status)
            .header("x-user-id", "7")
            .header("x-why", "because")
            .header("set-cookie", "a=b")
            .header("location", "/login")
            .header("content-length", "2")
            .header("x-envoy-auth-headers-to-remove", "x-secret, host");
        Answer { head: response.body(()).unwrap().into_parts().0, body: "no".into(), trailers: HeaderMap::new() }
    };
    let consent = by_http::verdict(&http, answer(200)).unwrap().unwrap();
    assert_eq!(consent.changes, [change("x-user-id", "7", How::Overwrite)]);
    assert_eq!(consent.to_client, [change("set-cookie", "a=b", How::Append)]);
    assert_eq!(consent.remove, ["x-secret"]);
    for (http, status, count) in [(&http, 302, 5), (&some, 403, 2), (&http, 204, 5)] {
        let denial = by_http::verdict(http, answer(status)).unwrap().unwrap_err();
        assert_eq!((denial.status.as_u16(), denial.headers.len(), &*denial.body), (status, count, &b"no"[..]));
    }
    assert!(matches!(by_http::verdict(&http, answer(503)), Err(AskError::Call(CallError::Status(_)))));
}

#[tokio::test]
async fn an_authorizer_sees_as_much_of_a_body_as_said_and_the_backend_all_of_it() {
    let request = Request::post("http://web/").body(()).unwrap();
    let head = Head::read(request.into_parts().0, PathNormalization::default(), "web").unwrap();
    for (max_bytes, allow_partial, expected) in [
        (8, false, Some(("onetwo", false))),
        (6, false, Some(("onetwo", false))),
        (5, false, None),
        (8, true, Some(("onetwo", false))),
        (5, true, Some(("onetw", true))),
        (3, true, Some(("one", true))),
    ] {
        let authorizer = ExternalAuthorizer {
            name: "a".into(),
            service: ServiceKey { namespace: "shop".into(), hostname: "a".into() },
            port: 80,
            timeout: std::time::Duration::from_secs(5),
            fail_open: false,
            status_on_error: StatusCode::FORBIDDEN,
            body: Some(BodyForAuthorizer { max_bytes, allow_partial, as_bytes: false }),
            protocol: AuthorizerProtocol::Grpc,
        };
        let trailers = HeaderMap::from_iter([(PARTIAL_BODY, HeaderValue::from_static("x"))]);
        let frames = [Frame::data("one".into()), Frame::data("two".into()), Frame::trailers(trailers)];
        let body = Body::new(StreamBody::new(stream::iter(frames.map(Ok))));
        let read = seen_body::read(&authorizer, &head, body).await;
        let Some((bytes, is_cut)) = expected else {
            assert!(matches!(read, Err(BodyRefusal::TooLong)), "{max_bytes}");
            continue;
        };
        let (seen, whole) = read.unwrap();
        assert_eq!((&*seen.bytes, seen.is_cut), (bytes.as_bytes(), is_cut), "{max_bytes} {allow_partial}");
        let whole = whole.collect().await.unwrap();
        assert!(whole.trailers().is_some());
        assert_eq!(whole.to_bytes(), "onetwo");
    }
}
