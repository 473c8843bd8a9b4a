//! One case: objects, requests, what is to be seen.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Version};
use tokio::task::JoinHandle;

use crate::client::{Answer, As, Client};
use crate::scene::{Scene, WEB};

/// Makes a test of each case, and the list of what each shows.
macro_rules! cases {
    ($($name:ident [$($field:literal),* $(,)?] $objects:expr => $check:expr;)*) => {
        $(
            #[test]
            fn $name() -> anyhow::Result<()> {
                crate::case::run(&$objects, $check)
            }
        )*

        /// Which case shows which fields.
        pub(crate) const SHOWN: &[(&str, &[&str])] = &[$((stringify!($name), &[$($field),*])),*];
    };
}
pub(crate) use cases;

/// Plays one case.
pub(crate) fn run(objects: &str, check: impl FnOnce(&mut Shop) -> Result<()>) -> Result<()> {
    play(Scene::with(objects)?, objects, check)
}

/// Plays a case in a scene that is there.
pub(crate) fn play(scene: Scene, objects: &str, check: impl FnOnce(&mut Shop) -> Result<()>) -> Result<()> {
    let client = Client::of(&scene, As::Client)?;
    let stranger = Client::of(&scene, As::Stranger)?;
    let mut shop = Shop { scene, client, stranger };
    check(&mut shop).with_context(|| {
        format!("objects:\n{objects}\naccess log:\n{}\nlog:\n{}", shop.scene.access_log(), shop.scene.log())
    })
}

/// The scene and those who ask.
pub(crate) struct Shop {
    pub(crate) scene: Scene,
    pub(crate) client: Client,
    pub(crate) stranger: Client,
}

impl Shop {
    /// A request to be made, of `web` at port 80 by the client unless it says otherwise.
    pub(crate) fn get(&self, path: &str) -> Ask<'_> {
        let request = Request::get(path).header("host", "web.shop.svc.cluster.local");
        Ask { shop: self, to: (WEB, 80), whose: As::Client, request: request.body(Bytes::new()) }
    }

    /// Where so many requests land, by pod.
    pub(crate) fn share(&self, requests: usize, of: &str) -> Result<f64> {
        let mut hits = 0.0;
        for _ in 0..requests {
            if self.get("/").send()?.pod() == of {
                hits += 1.0;
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "a few hundred")]
        let all = requests as f64;
        Ok(hits / all)
    }
}

/// A request to be made.
pub(crate) struct Ask<'a> {
    shop: &'a Shop,
    to: (Ipv4Addr, u16),
    whose: As,
    request: http::Result<Request<Bytes>>,
}

impl<'a> Ask<'a> {
    fn change(mut self, change: impl FnOnce(&mut Request<Bytes>)) -> Self {
        if let Ok(request) = &mut self.request {
            change(request);
        }
        self
    }

    /// A header more.
    pub(crate) fn with(self, name: &'static str, value: &str) -> Self {
        let value = HeaderValue::from_str(value);
        self.change(|request| {
            if let Ok(value) = value {
                request.headers_mut().append(HeaderName::from_static(name), value);
            }
        })
    }

    /// Another authority.
    pub(crate) fn host(self, host: &str) -> Self {
        let value = HeaderValue::from_str(host);
        self.change(|request| {
            if let Ok(value) = value {
                request.headers_mut().insert(http::header::HOST, value);
            }
        })
    }

    /// Another method, with a body.
    pub(crate) fn method(self, method: Method, body: &'static str) -> Self {
        self.change(|request| {
            *request.method_mut() = method;
            *request.body_mut() = Bytes::from_static(body.as_bytes());
        })
    }

    /// In HTTP/2.
    pub(crate) fn http2(self) -> Self {
        self.change(|request| {
            *request.version_mut() = Version::HTTP_2;
            let host = request.headers_mut().remove(http::header::HOST);
            let authority = host.as_ref().and_then(|host| host.to_str().ok()).unwrap_or("web");
            let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
            if let Ok(uri) = format!("http://{authority}{path}").parse() {
                *request.uri_mut() = uri;
            }
        })
    }

    /// To another address.
    pub(crate) fn to(mut self, address: Ipv4Addr, port: u16) -> Self {
        self.to = (address, port);
        self
    }

    /// By the stranger.
    pub(crate) fn by_stranger(mut self) -> Self {
        self.whose = As::Stranger;
        self
    }

    /// Makes it.
    pub(crate) fn send(self) -> Result<Answer> {
        let client = match self.whose {
            As::Client => &self.shop.client,
            As::Stranger => &self.shop.stranger,
        };
        client.ask(self.to, self.request?)
    }

    /// Begins it; it goes on as long as the client waits for anything.
    pub(crate) fn begin(self) -> Result<Begun<'a>> {
        let client = &self.shop.client;
        Ok(Begun { client, answer: client.begin(self.to, self.request?) })
    }

    /// It is answered 200, by a pod whose name begins so.
    pub(crate) fn lands_on(self, pod: &str) -> Result<Answer> {
        let what = self.describe();
        let answer = self.send().with_context(|| what.clone())?;
        ensure!(answer.status == 200, "{what} was answered {}: {:?}", answer.status, answer.body);
        ensure!(answer.pod().starts_with(pod), "{what} landed on {}, not on {pod}", answer.pod());
        Ok(answer)
    }

    /// It is answered with this status.
    pub(crate) fn answers(self, status: u16) -> Result<Answer> {
        let what = self.describe();
        let answer = self.send().with_context(|| what.clone())?;
        ensure!(answer.status == status, "{what} was answered {}, not {status}: {:?}", answer.status, answer.body);
        Ok(answer)
    }

    fn describe(&self) -> String {
        match &self.request {
            Ok(request) => format!("{} {} {:?}", request.method(), request.uri(), request.headers()),
            Err(error) => error.to_string(),
        }
    }
}

/// A request that was begun.
pub(crate) struct Begun<'a> {
    client: &'a Client,
    answer: JoinHandle<Result<Answer>>,
}

impl Begun<'_> {
    /// Whether it is answered.
    pub(crate) fn is_answered(&self) -> bool {
        self.answer.is_finished()
    }

    /// Its answer.
    pub(crate) fn answer(self) -> Result<Answer> {
        self.client.block_on(self.answer)?
    }
}

/// A VirtualService of `web` with this spec, written in one line, beside its hosts.
pub(crate) fn virtual_service(spec: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: web, namespace: shop}}\n\
         spec: {{hosts: [web], {spec}}}\n"
    )
}

/// A VirtualService that sends what a rule matches to `api`, all else to `web`.
pub(crate) fn to_api(rule: &str) -> String {
    let (api, web) = ("route: [{destination: {host: api}}]", "route: [{destination: {host: web}}]");
    virtual_service(&format!("http: [{{{rule}, {api}}}, {{{web}}}]"))
}

/// A VirtualService that sends everything to `web`, with more to say about that.
pub(crate) fn to_web(more: &str) -> String {
    virtual_service(&format!("http: [{{route: [{{destination: {{host: web}}}}], {more}}}]"))
}

/// A DestinationRule of `web` with this spec, beside its host.
pub(crate) fn destination_rule(spec: &str) -> String {
    rule_of("web", spec)
}

/// A DestinationRule of another service.
pub(crate) fn rule_of(host: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: {host}, namespace: shop}}\n\
         spec: {{host: {host}, {spec}}}\n"
    )
}

/// The two versions of `web`, as subsets.
pub(crate) const SUBSETS: &str = "subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]";

/// Long enough for a fault of 300 ms to be in it.
pub(crate) const DELAY: Duration = Duration::from_millis(300);
