//! HTTP/1 by its bytes: what a client sends, what it gets, and what of it the server behind heard. What can be read
//! in two ways is refused, or passed on in one way that is left.

use std::io;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Notify;

use crate::case::{Shop, run};
use crate::raw::{OK, Raw, Talk, answer_all};
use crate::scene::RAW;

/// One conversation.
struct Case {
    what: &'static str,
    sent: String,
    /// The statuses that come back, until the waypoint ends the connection.
    answers: &'static [u16],
    /// The request lines that the server heard; where it is none, not a byte may come.
    heard: &'static [&'static str],
}

/// A request with these lines in its head, of `METHOD`, and this after it.
fn request(method: &str, lines: &str, body: &str) -> String {
    format!("{method} / HTTP/1.1\r\nhost: raw\r\nconnection: close\r\n{lines}\r\n{body}")
}

fn refused(what: &'static str, sent: impl Into<String>) -> Case {
    Case { what, sent: sent.into(), answers: &[400], heard: &[] }
}

fn taken(what: &'static str, sent: impl Into<String>, heard: &'static [&'static str]) -> Case {
    let answers = if heard.len() == 2 { &[200, 200][..] } else { &[200] };
    Case { what, sent: sent.into(), answers, heard }
}

#[test]
fn a_head_that_can_be_read_in_two_ways_reaches_no_server() -> Result<()> {
    let post = |lines: &str| request("POST", lines, "0\r\n\r\n");
    play(vec![
        refused("two lengths", post("content-length: 5\r\ncontent-length: 6\r\n")),
        refused("a list of lengths", post("content-length: 5, 5\r\n")),
        refused("a length with a sign", post("content-length: +5\r\n")),
        refused("a negative length", post("content-length: -5\r\n")),
        refused("a length in hex", post("content-length: 0x5\r\n")),
        refused("an empty length", post("content-length: \r\n")),
        refused("a length beyond numbers", post("content-length: 99999999999999999999\r\n")),
        refused("a coding that is not known", post("transfer-encoding: gzip, chunked\r\n")),
        refused("chunked not last", post("transfer-encoding: chunked, identity\r\n")),
        refused("something like chunked", post("transfer-encoding: xchunked\r\n")),
        refused("chunked twice", post("transfer-encoding: chunked, chunked\r\n")),
        refused("chunked in two lines", post("transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n")),
        refused("chunked and another line", post("transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n")),
        refused("chunked in quotes", post("transfer-encoding: \"chunked\"\r\n")),
        refused("chunked in HTTP/1.0", "POST / HTTP/1.0\r\nhost: raw\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
    ])
}

#[test]
fn a_head_that_is_malformed_reaches_no_server() -> Result<()> {
    let post = |lines: &str| request("POST", lines, "0\r\n\r\n");
    play(vec![
        refused("space before the colon", post("transfer-encoding : chunked\r\n")),
        refused("a folded line", post("x-a: b\r\n c: d\r\n")),
        refused("a folded line by tab", post("x-a: b\r\n\tc: d\r\n")),
        refused("a folded coding", post("transfer-encoding:\r\n chunked\r\n")),
        refused("space before the first line", "GET / HTTP/1.1\r\n host: raw\r\n\r\n"),
        refused("a name that is none", post("x(y: 1\r\n")),
        refused("a line without a colon", post("host\r\n")),
        refused("no name", post(": 1\r\n")),
        refused("NUL in a value", post("x-a: a\0b\r\n")),
        refused("CR in a value", post("x-a: a\rb\r\n")),
        refused("CR in place of a line's end", "GET / HTTP/1.1\rhost: raw\r\r"),
        refused("no host", "GET / HTTP/1.1\r\nconnection: close\r\n\r\n"),
        refused("two hosts", request("GET", "host: other\r\n", "")),
        refused("a host with a user", "GET / HTTP/1.1\r\nhost: a@raw\r\nconnection: close\r\n\r\n"),
        refused("a host with a path", "GET / HTTP/1.1\r\nhost: raw/x\r\nconnection: close\r\n\r\n"),
        refused("a method that is none", request("GE(T", "", "")),
        refused("a later version", "GET / HTTP/1.2\r\nhost: raw\r\n\r\n"),
        refused("no version", "GET /\r\n\r\n"),
        refused("two spaces", "GET  / HTTP/1.1\r\nhost: raw\r\n\r\n"),
        refused("a space in the path", "GET /a b HTTP/1.1\r\nhost: raw\r\n\r\n"),
        refused("a NUL in the path", "GET /%00 HTTP/1.1\r\nhost: raw\r\nconnection: close\r\n\r\n"),
        Case {
            what: "CONNECT",
            sent: "CONNECT raw:80 HTTP/1.1\r\nhost: raw:80\r\nconnection: close\r\n\r\n".into(),
            answers: &[405],
            heard: &[],
        },
        Case {
            what: "101 header lines",
            sent: request("GET", &"x-a: b\r\n".repeat(101), ""),
            answers: &[431],
            heard: &[],
        },
        Case {
            what: "a long header line",
            sent: request("GET", &format!("x-a: {}\r\n", "b".repeat(70 << 10)), ""),
            answers: &[431],
            heard: &[],
        },
        Case {
            what: "a long path",
            sent: format!("GET /{} HTTP/1.1\r\nhost: raw\r\n\r\n", "a".repeat(70 << 10)),
            answers: &[431],
            heard: &[],
        },
    ])
}

#[test]
fn what_is_clear_is_passed_on_in_one_reading() -> Result<()> {
    let smuggled = "GET /admin HTTP/1.1\r\nhost: raw\r\n\r\n";
    play(vec![
        taken(
            "the same length twice",
            request("POST", "content-length: 2\r\ncontent-length: 2\r\n", "hi"),
            &["POST / HTTP/1.1"],
        ),
        // RFC 9112 §6.3: the coding counts, the length is dropped, and nothing that follows is a request.
        taken(
            "length, then coding",
            format!(
                "POST / HTTP/1.1\r\nhost: raw\r\ncontent-length: 99\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n{smuggled}"
            ),
            &["POST / HTTP/1.1"],
        ),
        taken(
            "coding, then length",
            format!(
                "POST / HTTP/1.1\r\nhost: raw\r\ntransfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n2\r\nhi\r\n0\r\n\r\n{smuggled}"
            ),
            &["POST / HTTP/1.1"],
        ),
        taken(
            "a request in a body",
            request("POST", &format!("content-length: {}\r\n", smuggled.len()), smuggled),
            &["POST / HTTP/1.1"],
        ),
        taken(
            "a request in a chunk",
            request(
                "POST",
                "transfer-encoding: chunked\r\n",
                &format!("{:x}\r\n{smuggled}\r\n0\r\n\r\n", smuggled.len()),
            ),
            &["POST / HTTP/1.1"],
        ),
    ])
}

#[test]
fn requests_in_a_row_and_of_old_are_passed_on() -> Result<()> {
    let after = "GET /after HTTP/1.1\r\nhost: raw\r\n\r\n";
    play(vec![
        taken("lines that end in LF alone", "GET / HTTP/1.1\nhost: raw\nconnection: close\n\n", &["GET / HTTP/1.1"]),
        taken("empty lines before it", format!("\r\n\r\n{}", request("GET", "", "")), &["GET / HTTP/1.1"]),
        taken(
            "two in a row",
            format!("GET /1 HTTP/1.1\r\nhost: raw\r\n\r\n{}", request("GET", "", "")),
            &["GET /1 HTTP/1.1", "GET / HTTP/1.1"],
        ),
        taken(
            "two in a row, the first with a body",
            format!("POST /1 HTTP/1.1\r\nhost: raw\r\ncontent-length: 4\r\n\r\nhi\r\n{}", request("GET", "", "")),
            &["POST /1 HTTP/1.1", "GET / HTTP/1.1"],
        ),
        taken("after the last one", format!("{}{after}", request("GET", "", "")), &["GET / HTTP/1.1"]),
        taken("HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", &["GET / HTTP/1.1"]),
        taken(
            "HTTP/1.0 kept alive",
            "GET /1 HTTP/1.0\r\nconnection: keep-alive\r\n\r\nGET / HTTP/1.0\r\n\r\n",
            &["GET /1 HTTP/1.1", "GET / HTTP/1.1"],
        ),
        taken(
            "an absolute target",
            "GET http://raw/a HTTP/1.1\r\nhost: other\r\nconnection: close\r\n\r\n",
            &["GET /a HTTP/1.1"],
        ),
        taken(
            "another protocol in passing",
            request("GET", "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n", ""),
            &["GET / HTTP/1.1"],
        ),
        taken(
            "a chunk's extension",
            request("POST", "transfer-encoding: chunked\r\n", "2;a=b\r\nhi\r\n0\r\n\r\n"),
            &["POST / HTTP/1.1"],
        ),
    ])
}

#[test]
fn a_body_that_is_malformed_never_looks_complete_to_the_server() -> Result<()> {
    run("", |shop: &mut Shop| {
        let raw = Raw::start(&shop.scene, 7000, answer_all)?;
        let chunked = |body: &str| request("POST", "transfer-encoding: chunked\r\n", body);
        for (what, sent) in [
            ("no number", chunked("zz\r\nhi\r\n0\r\n\r\n")),
            ("a sign", chunked("+2\r\nhi\r\n0\r\n\r\n")),
            ("a prefix", chunked("0x2\r\nhi\r\n0\r\n\r\n")),
            ("beyond numbers", chunked("fffffffffffffffff\r\nhi\r\n0\r\n\r\n")),
            ("LF alone after the size", chunked("2\nhi\r\n0\r\n\r\n")),
            ("LF in an extension", chunked("2;a\nb\r\nhi\r\n0\r\n\r\n")),
            ("LF alone after the data", chunked("2\r\nhi\n0\r\n\r\n")),
            ("more than the size", chunked("2\r\nhiho\r\n0\r\n\r\n")),
            ("trailers without end", chunked(&format!("0\r\nx-a: {}", "b".repeat(100 << 10)))),
            ("broken off in a chunk", chunked("a\r\nhi")),
            ("broken off after a chunk", chunked("2\r\nhi\r\n")),
            ("broken off before the length", request("POST", "content-length: 10\r\n", "hi")),
        ] {
            let before = raw.heard().len();
            let got = converse(shop, sent.as_bytes(), true)?;
            ensure!(!statuses(&got).contains(&200), "{what}: {got:?}");
            shop.client.until(what, || raw.heard().iter().skip(before).all(|heard| heard.is_over).then_some(()))?;
            for heard in raw.heard().iter().skip(before) {
                let text = heard.text();
                ensure!(!text.ends_with("0\r\n\r\n") && !text.contains("hiho"), "{what}: the server heard {text:?}");
            }
            shop.get("/").to(RAW, 80).answers(200).with_context(|| what)?;
        }
        Ok(())
    })
}

#[test]
fn a_server_that_breaks_the_rules_is_answered_for_with_502_and_its_rest_is_nobodys_answer() -> Result<()> {
    run(&crate::case::rule_of("raw", ""), |shop: &mut Shop| {
        let answers = Arc::new(std::sync::Mutex::new(String::new()));
        let script = Arc::clone(&answers);
        let _raw = Raw::start(&shop.scene, 7000, move |mut talk: Talk| {
            let script = Arc::clone(&script);
            async move {
                while talk.request().await? {
                    let answer = script.lock().map(|answer| answer.clone()).unwrap_or_default();
                    talk.say(answer).await?;
                }
                Ok(())
            }
        })?;
        let tell =
            |answer: &str| *answers.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = answer.to_owned();
        for (what, answer, status) in [
            ("two lengths", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nhi", 502),
            ("no HTTP", "SSH-2.0-OpenSSH\r\n", 502),
            ("a folded line", "HTTP/1.1 200 OK\r\nx-a: b\r\n c\r\ncontent-length: 0\r\n\r\n", 502),
            ("a name that is none", "HTTP/1.1 200 OK\r\nx(a: b\r\ncontent-length: 0\r\n\r\n", 502),
            ("a status that is none", "HTTP/1.1 2000 OK\r\ncontent-length: 0\r\n\r\n", 502),
            ("too many headers", &format!("HTTP/1.1 200 OK\r\n{}\r\n", "x-a: b\r\n".repeat(200)), 502),
            ("switched unasked", "HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n", 502),
            (
                "a hint before it",
                "HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
                200,
            ),
        ] {
            tell(answer);
            shop.get("/").to(RAW, 80).answers(status).with_context(|| what)?;
        }
        tell(&format!("{OK}HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil"));
        for _ in 0..6 {
            let answer = shop.get("/").to(RAW, 80).answers(200)?;
            ensure!(answer.body == "ok", "an answer that nobody asked for: {:?}", answer.body);
        }
        Ok(())
    })
}

#[test]
fn a_client_that_waits_to_be_asked_for_its_body_is_asked() -> Result<()> {
    run("", |shop: &mut Shop| {
        let raw = Raw::start(&shop.scene, 7000, answer_all)?;
        let rest = shop.client.block_on(async {
            let mut stream = shop.client.open((RAW, 80)).await?;
            stream.write_all(request("PUT", "content-length: 5\r\nexpect: 100-continue\r\n", "").as_bytes()).await?;
            let mut go_on = [0; 25];
            stream.read_exact(&mut go_on).await?;
            ensure!(&go_on == b"HTTP/1.1 100 Continue\r\n\r\n", "{}", go_on.escape_ascii());
            stream.write_all(b"hello").await?;
            let mut rest = String::new();
            stream.read_to_string(&mut rest).await?;
            Ok(rest)
        })?;
        ensure!(statuses(&rest) == [200] && raw.text().ends_with("hello"), "{rest:?} {:?}", raw.text());
        Ok(())
    })
}

#[test]
fn trailers_go_both_ways() -> Result<()> {
    run("", |shop: &mut Shop| {
        let raw = Raw::start(&shop.scene, 7000, |mut talk: Talk| async move {
            talk.request().await?;
            talk.say("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-after\r\n\r\n2\r\nhi\r\n0\r\nx-after: a\r\n\r\n").await
        })?;
        let sent = request(
            "POST",
            "te: trailers\r\ntransfer-encoding: chunked\r\ntrailer: x-before\r\n",
            "2\r\nhi\r\n0\r\nx-before: b\r\n\r\n",
        );
        let got = converse(shop, sent.as_bytes(), false)?;
        ensure!(raw.text().contains("0\r\nx-before: b\r\n\r\n"), "the server heard {:?}", raw.text());
        ensure!(got.contains("0\r\nx-after: a\r\n\r\n"), "{got:?}");
        Ok(())
    })
}

#[test]
fn a_websocket_is_bytes_both_ways_and_nothing_else_is() -> Result<()> {
    run("", |shop: &mut Shop| {
        let raw = Raw::start(&shop.scene, 7000, |mut talk: Talk| async move {
            talk.request().await?;
            talk.say("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nearly ")
                .await?;
            talk.echo().await
        })?;
        let head = "GET /chat HTTP/1.1\r\nhost: raw\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: a2V5\r\n\r\n";
        let got = converse(shop, format!("{head}at once").as_bytes(), true)?;
        ensure!(statuses(&got) == [101] && got.ends_with("early at once"), "{got:?}");
        ensure!(raw.text().contains("\r\nupgrade: websocket\r\n"), "{:?}", raw.text());
        Ok(())
    })
}

#[test]
fn events_are_passed_on_as_they_come() -> Result<()> {
    run("", |shop: &mut Shop| {
        let go_on = Arc::new(Notify::new());
        let told = Arc::clone(&go_on);
        let _raw = Raw::start(&shop.scene, 7000, move |mut talk: Talk| {
            let told = Arc::clone(&told);
            async move {
                talk.request().await?;
                talk.say("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: 1\n\n").await?;
                told.notified().await;
                talk.say("data: 2\n\n").await
            }
        })?;
        let rest = shop.client.block_on(async {
            let mut stream = shop.client.open((RAW, 80)).await?;
            stream.write_all(request("GET", "accept: text/event-stream\r\n", "").as_bytes()).await?;
            let mut got = String::new();
            while !got.contains("data: 1") {
                got.push(char::from(stream.read_u8().await?));
            }
            go_on.notify_one();
            stream.read_to_string(&mut got).await?;
            anyhow::Ok(got)
        })?;
        ensure!(rest.contains("data: 2"), "{rest:?}");
        Ok(())
    })
}

/// Plays conversations, each on a connection of its own, with a server that answers everything.
fn play(cases: Vec<Case>) -> Result<()> {
    run("", |shop: &mut Shop| {
        let raw = Raw::start(&shop.scene, 7000, answer_all)?;
        for Case { what, sent, answers, heard } in cases {
            let before: Vec<usize> = raw.heard().iter().map(|heard| heard.bytes.len()).collect();
            let got = converse(shop, sent.as_bytes(), false).with_context(|| what)?;
            ensure!(statuses(&got) == answers, "{what}: {got:?}");
            let now = raw.heard();
            let new = now.iter().enumerate();
            let new = new.map(|(at, heard)| heard.text().split_off(before.get(at).copied().unwrap_or(0)));
            let new = new.collect::<String>();
            let lines: Vec<_> = new.lines().filter(|line| line.ends_with(" HTTP/1.1")).collect();
            ensure!(lines.starts_with(heard), "{what}: the server heard {new:?}");
            ensure!(!heard.is_empty() || new.is_empty(), "{what}: the server heard {new:?}");
            let heads = new.split("\r\n\r\n").filter(|part| part.contains("\r\nhost: ")).count();
            // A request in a body is a body.
            ensure!(heads <= heard.len() + usize::from(what.starts_with("a request in")), "{what}: {new:?}");
            for odd in ["http2-settings", "upgrade:", "\ncontent-length: 99", "\ncontent-length: 4\r\ntransfer"] {
                ensure!(!new.contains(odd), "{what}: {new:?}");
            }
        }
        shop.get("/").to(RAW, 80).answers(200).map(drop)
    })
}

/// Sends bytes, and their end where that is wanted; gives all that comes back.
fn converse(shop: &Shop, sent: &[u8], ends: bool) -> Result<String> {
    shop.client.block_on(async {
        let mut stream = shop.client.open((RAW, 80)).await?;
        // The waypoint may have hung up before it took all.
        let written: io::Result<()> = async {
            stream.write_all(sent).await?;
            stream.flush().await
        }
        .await;
        if ends && written.is_ok() {
            stream.shutdown().await.ok();
        }
        let mut got = Vec::new();
        let reading = tokio::time::timeout(std::time::Duration::from_secs(20), stream.read_to_end(&mut got));
        let end = reading.await.with_context(|| format!("no end after {:?}", String::from_utf8_lossy(&got)))?;
        // Cut off, but only after an answer or where there is none to be had.
        ensure!(end.is_ok() || ends || !got.is_empty(), "cut off: {end:?}");
        Ok(String::from_utf8_lossy(&got).into_owned())
    })
}

/// The statuses of answers.
fn statuses(got: &str) -> Vec<u16> {
    let answers = got.split("HTTP/1.").skip(1);
    answers.filter_map(|answer| answer.split(' ').nth(1)?.get(..3)?.parse().ok()).collect()
}
