//! DestinationRule's connection pools and retry budgets, field by field.

use std::io;

use anyhow::{Context as _, Result, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::backend::release;
use crate::case::{Begun, SUBSETS, Shop, cases, destination_rule, rule_of, to_web, virtual_service};
use crate::raw::{Raw, Talk, answer_all};
use crate::scene::{RAW, WEB};

/// All requests go to one pod.
fn one_pod(more: &str) -> String {
    virtual_service(&format!("http: [{{route: [{{destination: {{host: web, subset: v1}}}}], {more}}}]"))
}

fn pool(settings: &str) -> String {
    destination_rule(&format!("trafficPolicy: {{connectionPool: {settings}}}, {SUBSETS}"))
}

cases! {
    h2_upgrade ["spec.trafficPolicy.connectionPool.http.h2UpgradePolicy"]
    pool("{http: {h2UpgradePolicy: UPGRADE}}") => |shop: &mut Shop| {
        ensure!(shop.get("/").lands_on("web")?.seen()["version"] == "HTTP/2.0", "not upgraded");
        shop.scene.write(&pool("{http: {h2UpgradePolicy: DO_NOT_UPGRADE}}"))?;
        shop.client.until("HTTP/1.1", || {
            (shop.get("/").lands_on("web").ok()?.seen()["version"] == "HTTP/1.1").then_some(())
        })
    };
    protocol_of_the_client ["spec.trafficPolicy.connectionPool.http.useClientProtocol"]
    pool("{http: {useClientProtocol: true}}") => |shop: &mut Shop| {
        ensure!(shop.get("/").http2().lands_on("web")?.seen()["version"] == "HTTP/2.0", "not as the client");
        ensure!(shop.get("/").lands_on("web")?.seen()["version"] == "HTTP/1.1", "not as the client");
        shop.scene.write("")?;
        shop.client.until("as the port says", || {
            (shop.get("/").http2().lands_on("web").ok()?.seen()["version"] == "HTTP/1.1").then_some(())
        })
    };
    pending_requests ["spec.trafficPolicy.connectionPool.http.http1MaxPendingRequests"]
    one_pod("retries: {attempts: 0}") + &pool("{tcp: {maxConnections: 1}, http: {http1MaxPendingRequests: 1}}") => |shop: &mut Shop| {
        let first = held(shop, "pending")?;
        let others = [shop.get("/").begin()?, shop.get("/").begin()?];
        shop.client.until("one too many", || others.iter().any(Begun::is_answered).then_some(()))?;
        release("pending");
        ensure!(first.answer()?.status == 200, "the first failed");
        let mut statuses = others.into_iter().map(|one| Ok(one.answer()?.status.as_u16())).collect::<Result<Vec<_>>>()?;
        statuses.sort_unstable();
        ensure!(statuses == [200, 503], "one waits and one is too many: {statuses:?}");
        ensure!(shop.scene.backend("web-v1").connections() == 1, "more than one connection");
        ensure!(shop.scene.access_log().contains("UO"), "the log does not say so");
        Ok(())
    };
    requests ["spec.trafficPolicy.connectionPool.http.http2MaxRequests"]
    one_pod("retries: {attempts: 0}") + &pool("{http: {http2MaxRequests: 1}}") => |shop: &mut Shop| {
        let first = held(shop, "requests")?;
        shop.get("/").answers(503)?;
        release("requests");
        ensure!(first.answer()?.status == 200, "the first failed");
        shop.get("/").lands_on("web-v1").map(drop)
    };
    streams_share_a_connection []
    one_pod("timeout: 20s") + &pool("{http: {h2UpgradePolicy: UPGRADE}}") => |shop: &mut Shop| streams(shop, "shared", 1);
    streams_of_a_connection ["spec.trafficPolicy.connectionPool.http.maxConcurrentStreams"]
    one_pod("timeout: 20s") + &pool("{http: {h2UpgradePolicy: UPGRADE, maxConcurrentStreams: 1}}") => |shop: &mut Shop| streams(shop, "apart", 2);
    idle_connections ["spec.trafficPolicy.connectionPool.http.idleTimeout"]
    rule_of("raw", "trafficPolicy: {connectionPool: {http: {idleTimeout: 200ms}}}") => |shop: &mut Shop| {
        let raw = Raw::start(&shop.scene, 7000, answer_all)?;
        shop.get("/").to(RAW, 80).answers(200)?;
        shop.client.until("its end", || raw.heard().first()?.is_over.then_some(()))
    };
    pings ["spec.trafficPolicy.connectionPool.http.http2KeepAlive"]
    rule_of("raw", "trafficPolicy: {connectionPool: {http: {http2KeepAlive: {interval: 100ms, timeout: 300ms}}}}") => |shop: &mut Shop| {
        let raw = Raw::start(&shop.scene, 7000, deaf_to_pings)?;
        shop.get("/").http2().to(RAW, 81).answers(200)?;
        shop.client.until("the end of a connection that answers no PING", || raw.heard().first()?.is_over.then_some(()))?;
        ensure!(raw.heard().iter().any(|heard| heard.notes.iter().any(|note| note == "PING")), "no PING came");
        Ok(())
    };
    retries_at_a_time ["spec.trafficPolicy.connectionPool.http.maxRetries"]
    to_web("retries: {attempts: 2, retryOn: 5xx, backoff: 1ms}") + &pool("{http: {maxRetries: 1}}") => |shop: &mut Shop| {
        one_retry_at_a_time(shop, "max-retries")
    };
    retry_budget ["spec.trafficPolicy.retryBudget.minRetryConcurrency", "spec.trafficPolicy.retryBudget.percent"]
    to_web("retries: {attempts: 2, retryOn: 5xx, backoff: 1ms}")
        + &destination_rule("trafficPolicy: {retryBudget: {percent: 0, minRetryConcurrency: 1}}") => |shop: &mut Shop| {
        one_retry_at_a_time(shop, "budget")?;
        shop.scene.write(&(to_web("retries: {attempts: 2, retryOn: 5xx, backoff: 1ms}")
            + &destination_rule("trafficPolicy: {retryBudget: {percent: 0, minRetryConcurrency: 0}}")))?;
        shop.client.until("no retries at all", || shop.get("/").with("x-test-fail", &fresh("budget-none")).answers(503).ok())?;
        shop.scene.write(&(to_web("retries: {attempts: 2, retryOn: 5xx, backoff: 1ms}")
            + &destination_rule("trafficPolicy: {retryBudget: {percent: 100, minRetryConcurrency: 0}}")))?;
        shop.client.until("retries", || shop.get("/").with("x-test-fail", &fresh("budget-all")).lands_on("web").ok().map(drop))
    };
    retry_budget_over_time ["spec.trafficPolicy.retryBudget.budgetInterval"]
    to_web("retries: {attempts: 1, retryOn: 5xx, backoff: 1ms}")
        + &destination_rule("trafficPolicy: {retryBudget: {percent: 20, minRetryConcurrency: 0, budgetInterval: 600s}}") => |shop: &mut Shop| {
        for _ in 0..10 {
            shop.get("/").lands_on("web")?;
        }
        // A fifth of 11, 12, 13 requests is more than the 0, 1, 2 retries before; of 14 it is less than 3.
        for _ in 0..3 {
            shop.get("/").with("x-test-fail", &fresh("interval")).lands_on("web")?;
        }
        shop.get("/").with("x-test-fail", &fresh("interval")).answers(503).map(drop)
    };
    connections_of_tcp ["spec.trafficPolicy.connectionPool.tcp.maxConnections"]
    pool("{tcp: {maxConnections: 1}}") => |shop: &mut Shop| {
        let first = shop.client.block_on(async {
            let mut first = shop.client.open((WEB, 90)).await?;
            ensure!(first.read_u8().await? == b'w', "not its name");
            // It is reset, before or after it is said to be open.
            let second = async { anyhow::Ok(shop.client.open((WEB, 90)).await?.read_u8().await?) };
            ensure!(second.await.is_err(), "more than one connection");
            Ok(first)
        })?;
        drop(first);
        shop.client.until("room again", || {
            shop.client.block_on(async { shop.client.open((WEB, 90)).await.ok()?.read_u8().await.ok() })
        })
        .map(drop)
    };
    connect_timeout ["spec.trafficPolicy.connectionPool.tcp.connectTimeout"]
    format!("{NOWHERE}{}", rule_of("nowhere", "trafficPolicy: {connectionPool: {tcp: {connectTimeout: 200ms}}}")) => |shop: &mut Shop| {
        // Whatever is sent there is gone, and nobody says so.
        shop.scene.drop_packets("ip daddr 10.1.0.41")?;
        shop.get("/").to([10, 96, 0, 40].into(), 80).answers(503)?;
        shop.client.until("the reason", || shop.scene.access_log().contains("not connected within 200ms").then_some(()))
    };
    connection_duration ["spec.trafficPolicy.connectionPool.tcp.maxConnectionDuration"]
    pool("{tcp: {maxConnectionDuration: 300ms}}") => |shop: &mut Shop| ends_by_itself(shop, true);
    idle_tcp ["spec.trafficPolicy.connectionPool.tcp.idleTimeout"]
    pool("{tcp: {idleTimeout: 300ms}}") => |shop: &mut Shop| ends_by_itself(shop, false);
    keepalive ["spec.trafficPolicy.connectionPool.tcp.tcpKeepalive"]
    rule_of("raw", "trafficPolicy: {connectionPool: {tcp: {tcpKeepalive: {time: 1s, interval: 1s, probes: 2}}}}") => |shop: &mut Shop| {
        let _raw = Raw::start(&shop.scene, 7001, |mut talk: Talk| async move { talk.echo().await })?;
        let mut stream = shop.client.block_on(async {
            let mut stream = shop.client.open((RAW, 90)).await?;
            stream.write_all(b"a").await?;
            ensure!(stream.read_u8().await? == b'a', "no echo");
            Ok(stream)
        })?;
        // The pod is gone without a word: nothing that the connection carries comes through.
        shop.scene.drop_packets("tcp dport 7001")?;
        let end = shop.client.block_on(async { tokio::time::timeout(GONE, stream.read_u8()).await });
        ensure!(end.context("nobody noticed")?.is_err(), "bytes out of nowhere");
        Ok(())
    };
}

/// A service whose only pod is nowhere.
const NOWHERE: &str = "apiVersion: v1
kind: Service
metadata: {name: nowhere, namespace: shop}
spec: {clusterIP: 10.96.0.40, selector: {app: nowhere}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: nowhere, namespace: shop, labels: {app: nowhere}}
spec: {serviceAccountName: web, nodeName: node-1, containers: []}
status: {phase: Running, podIP: 10.1.0.41, conditions: [{type: Ready, status: \"True\"}]}
";

/// A third of what the kernel takes with its own defaults.
const GONE: std::time::Duration = std::time::Duration::from_secs(60);

/// A request that is at its server and stays there.
fn held<'a>(shop: &'a Shop, key: &str) -> Result<Begun<'a>> {
    let before = seen_by_web(shop);
    let begun = shop.get("/").with("x-test-hold", key).begin()?;
    shop.client.until("a request at its server", || (seen_by_web(shop) > before).then_some(()))?;
    Ok(begun)
}

fn seen_by_web(shop: &Shop) -> usize {
    ["web-v1", "web-v2"].map(|name| shop.scene.backend(name).requests()).iter().sum()
}

/// Two requests at a time take so many connections.
fn streams(shop: &Shop, key: &str, connections: usize) -> Result<()> {
    let both = [held(shop, key)?, held(shop, key)?];
    ensure!(
        shop.scene.backend("web-v1").connections() == connections,
        "{}",
        shop.scene.backend("web-v1").connections()
    );
    release(key);
    for one in both {
        ensure!(one.answer()?.status == 200, "a request failed");
    }
    Ok(())
}

/// A key that fails once, and was not seen before.
fn fresh(name: &str) -> String {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    format!("{name}-{} 1 503", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// While one request is tried again, another's failure is its answer.
fn one_retry_at_a_time(shop: &Shop, key: &str) -> Result<()> {
    let first = shop.get("/").with("x-test-fail", &fresh(key)).with("x-test-hold", key).begin()?;
    shop.client.until("the second attempt", || (seen_by_web(shop) == 2).then_some(()))?;
    shop.get("/").with("x-test-fail", &fresh(key)).answers(503)?;
    release(key);
    ensure!(first.answer()?.status == 200, "the first failed");
    shop.get("/").with("x-test-fail", &fresh(key)).lands_on("web").map(drop)
}

/// A connection whose ends both stay as they are ends all the same.
fn ends_by_itself(shop: &Shop, is_used: bool) -> Result<()> {
    shop.client.block_on(async {
        let mut stream = shop.client.open((WEB, 90)).await?;
        ensure!(stream.read_u8().await? == b'w', "not its name");
        let mut rest = [0; 64];
        while let Ok(1..) = stream.read(&mut rest).await {
            // An echo of each byte: it is never idle.
            if is_used && stream.write_all(b"a").await.is_err() {
                break;
            }
        }
        Ok(())
    })
}

/// A server of HTTP/2 that answers its first request, and no PING.
async fn deaf_to_pings(mut talk: Talk) -> io::Result<()> {
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    const SETTINGS_ACK: [u8; 9] = [0, 0, 0, 4, 1, 0, 0, 0, 0];
    /// `:status: 200`, end of headers and of the stream.
    const ANSWER: [u8; 10] = [0, 0, 1, 1, 5, 0, 0, 0, 1, 0x88];
    talk.exactly(24).await?;
    talk.say(SETTINGS).await?;
    loop {
        let head = talk.exactly(9).await?;
        let number = |from: usize, to: usize| {
            head.get(from..to).unwrap_or_default().iter().fold(0, |all, byte| all << 8 | usize::from(*byte))
        };
        let (length, kind, flags) = (number(0, 3), number(3, 4), number(4, 5));
        talk.exactly(length).await?;
        match kind {
            1 => talk.say(ANSWER).await?,
            4 if flags == 0 => talk.say(SETTINGS_ACK).await?,
            6 => talk.note("PING"),
            _ => {}
        }
    }
}
