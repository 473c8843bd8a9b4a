//! What happens when others fail, are slow, or are many.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ambit_tests::{Process, until};
use anyhow::{Context as _, Result, ensure};
use http_body_util::BodyExt as _;
use nix::sys::signal::Signal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::backend::release;
use crate::case::{Shop, run, to_api, to_web, virtual_service};
use crate::client::{As, Client, connect, open, send};
use crate::raw::{Raw, Talk};
use crate::scene::{RAW, WEB};

const PATIENCE: Duration = Duration::from_secs(90);

#[test]
fn an_answer_that_breaks_off_is_not_made_complete() -> Result<()> {
    run("", |shop: &mut Shop| {
        for head in ["content-length: 10\r\n\r\n", "transfer-encoding: chunked\r\n\r\n5\r\n"] {
            let raw = Raw::start(&shop.scene, 7000, move |mut talk: Talk| async move {
                talk.request().await?;
                talk.say(format!("HTTP/1.1 200 OK\r\n{head}hel")).await
            })?;
            for version in [http::Version::HTTP_11, http::Version::HTTP_2] {
                let request = http::Request::get("http://raw/").version(version).header("host", "raw");
                let request = request.body(bytes::Bytes::new())?;
                let body = shop.client.block_on(async {
                    let response = send(shop.client.open((RAW, 80)).await?, request).await?;
                    ensure!(response.status() == 200, "{}", response.status());
                    Ok(response.into_body().collect().await)
                })?;
                ensure!(body.is_err(), "{version:?} {head:?}: it looks complete");
            }
            drop(raw);
        }
        Ok(())
    })
}

#[test]
fn a_server_that_hangs_up_without_an_answer_is_a_503_and_is_not_asked_twice() -> Result<()> {
    run(&(to_web("retries: {attempts: 0}")), |shop: &mut Shop| {
        let raw = Raw::start(&shop.scene, 7000, |mut talk: Talk| async move { talk.request().await.map(drop) })?;
        shop.get("/").to(RAW, 80).method(http::Method::POST, "order").answers(503)?;
        ensure!(raw.text().matches("order").count() == 1, "{}", raw.text());
        shop.client.until("the log", || shop.scene.access_log().contains("UC").then_some(()))
    })
}

#[test]
fn a_client_that_is_gone_without_a_word_is_noticed_and_its_request_given_up() -> Result<()> {
    run("", |shop: &mut Shop| {
        let raw = Raw::start(&shop.scene, 7000, |mut talk: Talk| async move {
            talk.request().await?;
            // No answer: until the waypoint hangs up.
            talk.hear().await.map(drop)
        })?;
        let _begun = shop.get("/").to(RAW, 80).begin()?;
        shop.client.until("the request", || raw.text().contains("GET / ").then_some(()))?;
        shop.scene.drop_packets("ip saddr 10.1.0.9 tcp dport 15008")?;
        until("the end of its request", PATIENCE, || raw.heard().first()?.is_over.then_some(()))
    })
}

/// Of a large body.
const BYTES: usize = 16 << 20;

#[test]
fn who_reads_slowly_is_waited_for_in_little_memory() -> Result<()> {
    const STREAMS: usize = 20;
    run("", |shop: &mut Shop| {
        let go_on = Arc::new(Semaphore::new(0));
        let told = Arc::clone(&go_on);
        let _raw = Raw::start(&shop.scene, 7000, move |talk: Talk| large(talk, Arc::clone(&told)))?;
        let before = shop.scene.resident()?;
        let (mut down, mut up) = (Vec::new(), Vec::new());
        shop.client.block_on(async {
            for _ in 0..STREAMS {
                let mut stream = shop.client.open((RAW, 80)).await?;
                stream.write_all(b"GET /down HTTP/1.1\r\nhost: raw\r\nconnection: close\r\n\r\n").await?;
                down.push(stream);
                let mut stream = shop.client.open((RAW, 80)).await?;
                let head =
                    format!("POST /up HTTP/1.1\r\nhost: raw\r\nconnection: close\r\ncontent-length: {BYTES}\r\n\r\n");
                stream.write_all(head.as_bytes()).await?;
                up.push((stream, 0));
            }
            for (stream, sent) in &mut up {
                // As much as is taken of it, until nothing more is.
                if let Ok(end) = tokio::time::timeout(Duration::from_millis(500), fill(stream, sent)).await {
                    end?;
                }
            }
            anyhow::Ok(())
        })?;
        let grown = shop.scene.resident()?.saturating_sub(before);
        let all = STREAMS * 2 * BYTES;
        println!("{grown} KiB more for {} KiB on {STREAMS} streams each way that nobody reads", all >> 10);
        ensure!(up.iter().all(|(_, sent)| *sent < BYTES), "a whole body was taken");
        ensure!(grown < 100 << 10, "{grown} KiB more");
        go_on.add_permits(STREAMS);
        shop.client.block_on(async {
            for (mut stream, mut sent) in up {
                fill(&mut stream, &mut sent).await?;
                let mut answer = String::new();
                stream.read_to_string(&mut answer).await?;
                ensure!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("ok"), "{answer:?}");
            }
            for mut stream in down {
                let mut answer = Vec::new();
                stream.read_to_end(&mut answer).await?;
                ensure!(answer.iter().filter(|byte| **byte == b'a').count() >= BYTES, "{} bytes", answer.len());
            }
            Ok(())
        })
    })
}

/// Reads a large body once it is told to, or sends one.
async fn large(mut talk: Talk, told: Arc<Semaphore>) -> std::io::Result<()> {
    let head = talk.until(b"\r\n\r\n").await?.unwrap_or_default();
    if head.starts_with("POST /up") {
        // It is never closed.
        told.acquire().await.map(SemaphorePermit::forget).ok();
        talk.exactly(BYTES).await?;
        return talk.say(crate::raw::OK).await;
    }
    talk.say(format!("HTTP/1.1 200 OK\r\ncontent-length: {BYTES}\r\n\r\n")).await?;
    talk.say(vec![b'a'; BYTES]).await
}

/// Sends the rest of a large body, as it is taken.
async fn fill(stream: &mut ambit_hbone::TunnelStream, sent: &mut usize) -> Result<()> {
    let piece = vec![b'a'; 64 << 10];
    while *sent < BYTES {
        *sent += stream.write(piece.get(..piece.len().min(BYTES - *sent)).unwrap_or_default()).await?;
    }
    Ok(())
}

#[test]
fn ten_thousand_idle_connections_are_carried() -> Result<()> {
    const TUNNELS: usize = 100;
    const EACH: usize = 100;
    run("", |shop: &mut Shop| {
        shop.get("/").lands_on("web")?;
        let before = shop.scene.resident()?;
        let mut idle = shop.client.block_on(async {
            let mut idle = Vec::new();
            for _ in 0..TUNNELS {
                let tunnel = connect(&shop.scene, As::Client).await?;
                let mut streams = Vec::new();
                for _ in 0..EACH {
                    streams.push(open(&tunnel, As::Client, (WEB, 80)).await?);
                }
                // One of them has been of use before.
                once(streams.first_mut().context("none")?).await?;
                idle.push(streams);
            }
            anyhow::Ok(idle)
        })?;
        let grown = shop.scene.resident()?.saturating_sub(before);
        println!("{grown} KiB for {} idle connections: {} KiB each", TUNNELS * EACH, grown / 10_000);
        shop.client.block_on(async {
            for streams in &mut idle {
                once(streams.first_mut().context("none")?).await?;
                once(streams.last_mut().context("none")?).await?;
            }
            anyhow::Ok(())
        })?;
        shop.get("/").lands_on("web").map(drop)
    })
}

/// A request on a connection that is kept.
async fn once(stream: &mut ambit_hbone::TunnelStream) -> Result<()> {
    stream.write_all(b"HEAD / HTTP/1.1\r\nhost: web\r\n\r\n").await?;
    let mut answer = String::new();
    while !answer.ends_with("\r\n\r\n") {
        answer.push(char::from(stream.read_u8().await?));
    }
    ensure!(answer.starts_with("HTTP/1.1 200"), "{answer:?}");
    Ok(())
}

#[test]
fn a_hundred_changes_a_second_fail_no_request() -> Result<()> {
    const CHANGES: usize = 400;
    run(&to_web("timeout: 10s"), |shop: &mut Shop| {
        let is_over = AtomicBool::new(false);
        let (scene, client) = (&shop.scene, &shop.client);
        std::thread::scope(|scope| {
            let changing = scope.spawn(|| -> Result<()> {
                for change in 0..CHANGES {
                    let rule = format!("match: [{{uri: {{prefix: /{change}}}}}]");
                    scene.write(
                        &(to_api(&rule) + &crate::case::destination_rule(&format!("subsets: [{{name: s{change}}}]"))),
                    )?;
                    // The pace that is asked for.
                    std::thread::sleep(Duration::from_millis(10));
                }
                is_over.store(true, Ordering::SeqCst);
                Ok(())
            });
            let mut requests = 0;
            while !is_over.load(Ordering::SeqCst) && !changing.is_finished() {
                let request = http::Request::get("/").header("host", "web").body(bytes::Bytes::new())?;
                let answer = client.ask((WEB, 80), request)?;
                ensure!(answer.status == 200, "request {requests} was answered {}", answer.status);
                requests += 1;
            }
            changing.join().map_err(|_| anyhow::anyhow!("the changes broke off"))??;
            ensure!(requests > 50, "only {requests} requests were made meanwhile");
            Ok(())
        })?;
        let last = format!("/{}", CHANGES - 1);
        shop.client.until("the last change", || shop.get(&last).lands_on("api").ok().map(drop))
    })
}

#[test]
fn another_process_takes_over_while_the_old_one_finishes() -> Result<()> {
    run(&to_web("timeout: 60s"), |shop: &mut Shop| {
        let begun = shop.get("/").with("x-test-hold", "take-over").begin()?;
        let requests = || shop.scene.backend("web-v1").requests() + shop.scene.backend("web-v2").requests();
        shop.client.until("the request", || (requests() > 0).then_some(()))?;
        let ports = ["--admin", "127.0.0.1:15010", "--metrics", "[::]:15030", "--readiness", "[::]:15031"];
        let mut command = shop.scene.waypoint()?;
        command.args(ports);
        let new = Process::start(command, shop.scene.folder.path(), "new-waypoint")?;
        until("the new one's readiness", PATIENCE, || {
            (shop.scene.http(15031, "/healthz/ready").ok()?.0 == 200).then_some(())
        })
        .with_context(|| new.errors())?;
        shop.scene.program().signal(Signal::SIGTERM)?;
        until("the old one's end of readiness", PATIENCE, || {
            (!shop.scene.http(15021, "/healthz/ready").is_ok_and(|(status, _)| status == 200)).then_some(())
        })?;
        // Until the old one has closed its listener, the kernel may give it new connections.
        let client = until("a client of the new one", PATIENCE, || Client::of(&shop.scene, As::Client).ok())?;
        for _ in 0..20 {
            let request = http::Request::get("/").header("host", "web").body(bytes::Bytes::new())?;
            let answer = client.ask((WEB, 80), request)?;
            ensure!(answer.status == 200, "the new one answered {}", answer.status);
        }
        ensure!(!begun.is_answered(), "it was not waited for");
        release("take-over");
        ensure!(begun.answer()?.status == 200, "what was under way failed");
        let status = shop.scene.process().wait(PATIENCE)?;
        ensure!(status.success(), "{status}");
        drop(new);
        Ok(())
    })
}

#[test]
fn an_authorizer_that_is_away_denies_unless_users_say_otherwise() -> Result<()> {
    for (more, status) in [("", 403), (", statusOnError: '503'", 503), (", failOpen: true", 200)] {
        for provider in ["envoyExtAuthzHttp", "envoyExtAuthzGrpc"] {
            let objects = format!(
                "apiVersion: ambit.io/v1alpha1\nkind: MeshConfig\nmetadata: {{name: default, namespace: istio-system}}\n\
                 spec: {{extensionProviders: [{{name: away, {provider}: {{service: raw.shop.svc.cluster.local, port: 90, timeout: 1s{more}}}}}]}}\n---\n\
                 apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: ask, namespace: shop}}\n\
                 spec: {{targetRefs: [{{kind: Service, name: web}}], action: CUSTOM, provider: {{name: away}}, rules: [{{to: [{{operation: {{paths: ['/judged*']}}}}]}}]}}\n"
            );
            run(&objects, |shop: &mut Shop| {
                shop.get("/judged").answers(status).context(provider)?;
                shop.get("/free").lands_on("web")?;
                // It takes connections and says nothing.
                let _silent =
                    Raw::start(&shop.scene, 7001, |mut talk: Talk| async move { talk.hear().await.map(drop) })?;
                shop.get("/judged").answers(status).context(provider)?;
                shop.get("/free").lands_on("web").map(drop)
            })?;
        }
    }
    Ok(())
}

#[test]
fn every_endpoint_away_is_a_503_that_says_so_and_their_return_is_seen() -> Result<()> {
    run(&virtual_service("http: [{route: [{destination: {host: raw}}], retries: {attempts: 0}}]"), |shop: &mut Shop| {
        shop.get("/").answers(503)?;
        shop.client.until("the log", || shop.scene.access_log().contains("UF").then_some(()))?;
        let _raw = Raw::start(&shop.scene, 7000, crate::raw::answer_all)?;
        shop.client.until("its return", || shop.get("/").answers(200).ok().map(drop))
    })
}
