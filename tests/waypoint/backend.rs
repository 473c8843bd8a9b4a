//! Backends that say what they were asked, and behave as the request tells them to.
//!
//! | header of the request | what the backend does |
//! | --- | --- |
//! | `x-test-status: 503` | answers so |
//! | `x-test-fail: KEY 2 503` | answers so the first two times it sees the key, all backends of the scene together |
//! | `x-test-reset: KEY 1` | hangs up without an answer, so often |
//! | `x-test-delay: 300` | waits so many milliseconds before it answers |
//! | `x-test-hold: KEY` | waits until the test says [`release`], where it would answer 200 |
//! | `x-test-fail-on: POD 503` | answers so if it is that pod, 500 where no status is said |
//! | `x-test-reset-on: POD` | hangs up if it is that pod |
//! | `x-test-headers: a=b` | puts a header into its answer |

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use ambit_tests::Netns;
use anyhow::Result;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::runtime::{self, Runtime};
use tokio::sync::watch;

/// How often each key was seen, by all backends of all scenes: keys are unique to their case.
static SEEN: LazyLock<Mutex<HashMap<String, u32>>> = LazyLock::new(Mutex::default);

/// Which requests are held no longer, by their key.
static RELEASED: LazyLock<Mutex<HashMap<String, watch::Sender<bool>>>> = LazyLock::new(Mutex::default);

/// Lets the requests that are held by a key go on, and those that are to come.
pub(crate) fn release(key: &str) {
    let mut released = RELEASED.lock().unwrap_or_else(PoisonError::into_inner);
    released.entry(key.to_owned()).or_default().send_replace(true);
}

/// A pod behind a service.
pub(crate) struct Backend {
    name: String,
    counts: Arc<Counts>,
    // Its tasks end with it.
    _runtime: Runtime,
}

/// What a backend has seen.
#[derive(Default)]
struct Counts {
    connections: AtomicUsize,
    requests: AtomicUsize,
}

impl Backend {
    /// Serves HTTP/1 and HTTP/2 on 8080, and on 9090 and 8443 a line with its name before an echo: what is passed
    /// through need not be understood at its end.
    pub(crate) fn start(netns: &Netns, name: &str, ip: Ipv4Addr) -> Result<Self> {
        let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let counts = Arc::new(Counts::default());
        let _entered = runtime.enter();
        let listen = |port| -> Result<tokio::net::TcpListener> {
            let listener = netns.run(|| TcpListener::bind(SocketAddr::from((ip, port))))??;
            listener.set_nonblocking(true)?;
            Ok(tokio::net::TcpListener::from_std(listener)?)
        };
        runtime.spawn(serve_http(listen(8080)?, name.to_owned(), Arc::clone(&counts)));
        for port in [9090, 8443] {
            runtime.spawn(serve_tcp(listen(port)?, name.to_owned()));
        }
        Ok(Self { name: name.to_owned(), counts, _runtime: runtime })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Connections of HTTP accepted so far.
    pub(crate) fn connections(&self) -> usize {
        self.counts.connections.load(Ordering::SeqCst)
    }

    /// Requests seen so far.
    pub(crate) fn requests(&self) -> usize {
        self.counts.requests.load(Ordering::SeqCst)
    }
}

async fn serve_http(listener: tokio::net::TcpListener, name: String, counts: Arc<Counts>) {
    while let Ok((stream, peer)) = listener.accept().await {
        counts.connections.fetch_add(1, Ordering::SeqCst);
        let (name, counts) = (name.clone(), Arc::clone(&counts));
        tokio::spawn(async move {
            let service = service_fn(|request| {
                counts.requests.fetch_add(1, Ordering::SeqCst);
                answer(name.clone(), peer, request)
            });
            let server = auto::Builder::new(TokioExecutor::new());
            // How a connection ends is for the client to see.
            server.serve_connection_with_upgrades(TokioIo::new(stream), service).await.ok();
        });
    }
}

/// Why a backend hangs up.
#[derive(Debug, Clone, Copy)]
struct HungUp;

impl std::fmt::Display for HungUp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("as the request wished")
    }
}

impl std::error::Error for HungUp {}

async fn answer(name: String, peer: SocketAddr, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, HungUp> {
    let (head, body) = request.into_parts();
    let wish = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    if let Some(reset) = wish("x-test-reset")
        && let [key, times] = reset.split(' ').collect::<Vec<_>>()[..]
        && first_times(key, times)
    {
        return Err(HungUp);
    }
    if wish("x-test-reset-on").is_some_and(|pod| pod == name) {
        return Err(HungUp);
    }
    if let Some(delay) = wish("x-test-delay").and_then(|delay| delay.parse().ok()) {
        tokio::time::sleep(Duration::from_millis(delay)).await;
    }
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let status = status(wish("x-test-fail-on").and_then(|wish| failing_on(&name, &wish)), wish);
    if status == StatusCode::OK
        && let Some(key) = wish("x-test-hold")
    {
        held(&key).await;
    }
    let authority = head.uri.authority().map(ToString::to_string).or_else(|| wish("host"));
    let mut response = Response::new(Full::new(Bytes::from(
        json!({
            "pod": name,
            "peer": peer.to_string(),
            "version": format!("{:?}", head.version),
            "method": head.method.as_str(),
            "path": head.uri.path_and_query().map(ToString::to_string),
            "authority": authority,
            "headers": text_of(&head.headers),
            "body": String::from_utf8_lossy(&body),
        })
        .to_string(),
    )));
    *response.status_mut() = status;
    response.headers_mut().insert("x-pod", HeaderValue::from_str(&name).map_err(|_| HungUp)?);
    for pair in wish("x-test-headers").iter().flat_map(|all| all.split(',')) {
        if let Some((name, value)) = pair.split_once('=')
            && let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse())
        {
            response.headers_mut().append(name, value);
        }
    }
    Ok(response)
}

/// The status for a pod that is to fail, if it is this one.
fn failing_on(name: &str, wish: &str) -> Option<String> {
    let (pod, status) = wish.split_once(' ').unwrap_or((wish, "500"));
    (pod == name).then(|| status.to_owned())
}

async fn held(key: &str) {
    let mut released = {
        let mut released = RELEASED.lock().unwrap_or_else(PoisonError::into_inner);
        released.entry(key.to_owned()).or_default().subscribe()
    };
    // Its sender is kept for ever.
    released.wait_for(|released| *released).await.ok();
}

fn status(on_this_pod: Option<String>, wish: impl Fn(&str) -> Option<String>) -> StatusCode {
    let (always, at_first) = (on_this_pod.or_else(|| wish("x-test-status")), wish("x-test-fail"));
    let code = |text: &str| text.parse::<u16>().ok().and_then(|code| StatusCode::from_u16(code).ok());
    if let Some([key, times, status]) = at_first.as_deref().map(|it| it.split(' ').collect::<Vec<_>>()).as_deref()
        && first_times(key, times)
    {
        return code(status).unwrap_or(StatusCode::OK);
    }
    always.as_deref().and_then(code).unwrap_or(StatusCode::OK)
}

/// Whether a key is seen for one of the first `times` times.
fn first_times(key: &str, times: &str) -> bool {
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    let count = seen.entry(key.to_owned()).or_default();
    *count += 1;
    *count <= times.parse().unwrap_or(0)
}

fn text_of(headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut text = BTreeMap::<String, String>::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        text.entry(name.to_string()).and_modify(|all| *all = format!("{all},{value}")).or_insert(value.into_owned());
    }
    text
}

/// Says its name, then echoes: a server that speaks first.
async fn serve_tcp(listener: tokio::net::TcpListener, name: String) -> Result<Infallible> {
    loop {
        let (mut stream, _) = listener.accept().await?;
        let name = name.clone();
        tokio::spawn(async move {
            let mut buffer = vec![0; 16 << 10];
            let mut sent = stream.write_all(format!("{name}\n").as_bytes()).await;
            while let (Ok(()), Ok(length @ 1..)) = (&sent, stream.read(&mut buffer).await) {
                sent = stream.write_all(buffer.get(..length).unwrap_or_default()).await;
            }
        });
    }
}
