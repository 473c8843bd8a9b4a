//! HTTP/2 by its frames: what breaks the protocol ends the stream or the connection, and reaches no server; floods
//! are bounded; the end of the waypoint is announced.

use ambit_hbone::TunnelStream;
use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::backend::release;
use crate::case::{Shop, run};
use crate::raw::{Raw, answer_all};
use crate::scene::{RAW, WEB};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

/// A request that is good.
const GOOD: [(&str, &str); 4] = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "raw")];

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or_default().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Header fields, none of them compressed.
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| {
        let length = text.len();
        let mut bytes = if length < 127 {
            vec![u8::try_from(length).unwrap_or_default()]
        } else {
            let rest = length - 127;
            vec![127, u8::try_from(rest & 127).unwrap_or_default() | 128, u8::try_from(rest >> 7).unwrap_or_default()]
        };
        bytes.extend_from_slice(text.as_bytes());
        bytes
    };
    fields.iter().flat_map(|(name, value)| [vec![0], text(name), text(value)].concat()).collect()
}

fn headers(stream: u32, flags: u8, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, flags | END_HEADERS, stream, &block(fields))
}

/// What becomes of frames.
#[derive(Debug, Clone, PartialEq, Eq)]
enum End {
    /// The connection ends, by this error.
    GoAway(u32),
    /// The stream does.
    Reset(u32),
    /// An answer: 200, 400, or another.
    Answer(&'static str),
    /// The connection ends without a word.
    Closed,
}

const PROTOCOL: &[End] = &[End::GoAway(1)];
/// By the error's own number or the general one: the connection ends.
const FLOW: &[End] = &[End::GoAway(3), End::GoAway(1)];
const SIZE: &[End] = &[End::GoAway(6), End::GoAway(1)];
const COMPRESSION: &[End] = &[End::GoAway(9), End::GoAway(1)];
/// Of one request: it is reset, or answered so; or its connection ends.
const MALFORMED: &[End] = &[End::Reset(1), End::Answer("400"), End::GoAway(1)];

#[test]
fn frames_that_break_the_protocol_end_the_connection() -> Result<()> {
    let get = || headers(1, END_STREAM, &GOOD);
    play(vec![
        ("data of no stream", frame(DATA, 0, 0, b"a"), PROTOCOL),
        ("data of a stream that is idle", frame(DATA, 0, 1, b"a"), PROTOCOL),
        ("headers of no stream", headers(0, END_STREAM, &GOOD), PROTOCOL),
        ("a stream of the server's", headers(2, END_STREAM, &GOOD), PROTOCOL),
        ("a promise", frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2]), PROTOCOL),
        ("a continuation of nothing", frame(CONTINUATION, END_HEADERS, 1, &block(&GOOD)), PROTOCOL),
        (
            "something between headers and their end",
            [frame(HEADERS, END_STREAM, 1, &block(&GOOD)), frame(PING, 0, 0, &[0; 8])].concat(),
            PROTOCOL,
        ),
        ("padding longer than the frame", frame(HEADERS, END_HEADERS | 8, 1, &[200, 0]), PROTOCOL),
        ("the end of a stream that is idle", frame(RST_STREAM, 0, 1, &[0; 4]), PROTOCOL),
        ("the end of no stream", frame(RST_STREAM, 0, 0, &[0; 4]), PROTOCOL),
        ("an end that is too short", frame(RST_STREAM, 0, 1, &[0; 3]), SIZE),
        ("settings of a stream", frame(SETTINGS, 0, 1, &[]), PROTOCOL),
        ("half a setting", frame(SETTINGS, 0, 0, &[0; 5]), SIZE),
        ("an acknowledgement that says more", frame(SETTINGS, ACK, 0, &[0; 6]), SIZE),
        ("push, neither on nor off", frame(SETTINGS, 0, 0, &[0, 2, 0, 0, 0, 2]), PROTOCOL),
        ("a window too large", frame(SETTINGS, 0, 0, &[0, 4, 0x80, 0, 0, 0]), FLOW),
        ("frames too small", frame(SETTINGS, 0, 0, &[0, 5, 0, 0, 0, 1]), PROTOCOL),
        ("a ping of a stream", frame(PING, 0, 1, &[0; 8]), PROTOCOL),
        ("a short ping", frame(PING, 0, 0, &[0; 7]), SIZE),
        ("no more window", frame(WINDOW_UPDATE, 0, 0, &[0; 4]), PROTOCOL),
        ("more window than there is", frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]), FLOW),
        ("a window of a stream that is idle", frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]), PROTOCOL),
        ("a frame too long", frame(PING, 0, 0, &[0; 20_000]), SIZE),
        (
            "a field that is not in the table",
            frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0xff, 0xff, 0xff, 0x0f]),
            COMPRESSION,
        ),
        ("text beyond the end", frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0, 100, b'a']), COMPRESSION),
        ("a table too large", frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0x3f, 0xe1, 0xff, 0x03]), COMPRESSION),
        (
            "a priority without its bytes",
            frame(PRIORITY, 0, 1, &[0; 4]),
            &[End::GoAway(6), End::GoAway(1), End::Reset(6)],
        ),
        ("a stream number that goes back", [headers(3, 0, &GOOD), headers(1, END_STREAM, &GOOD)].concat(), PROTOCOL),
        (
            "data after the end",
            [get(), frame(DATA, 0, 1, b"a")].concat(),
            &[End::GoAway(5), End::GoAway(1), End::Reset(5), End::Answer("200")],
        ),
    ])
}

#[test]
fn requests_that_are_malformed_reach_no_server() -> Result<()> {
    let but = |name: &str, value: &'static str| -> Vec<u8> {
        let fields = GOOD.map(|field| if field.0 == name { (field.0, value) } else { field });
        headers(1, END_STREAM, &fields)
    };
    let without = |name: &str| -> Vec<u8> {
        headers(1, END_STREAM, &GOOD.into_iter().filter(|field| field.0 != name).collect::<Vec<_>>())
    };
    let with = |field: (&'static str, &'static str)| headers(1, END_STREAM, &[&GOOD[..], &[field]].concat());
    let long = "b".repeat(9_000);
    let many: Vec<_> = GOOD.into_iter().chain((0..8).map(|_| ("x-a", long.as_str()))).collect();
    let many = block(&many);
    let mut too_long = frame(HEADERS, END_STREAM, 1, &many[..16_000]);
    let last = many.len().div_ceil(16_000) - 1;
    for (at, part) in many.chunks(16_000).enumerate().skip(1) {
        too_long.extend(frame(CONTINUATION, if at == last { END_HEADERS } else { 0 }, 1, part));
    }
    play(vec![
        ("no method", without(":method"), MALFORMED),
        ("no path", without(":path"), MALFORMED),
        ("no scheme", without(":scheme"), &[End::Reset(1), End::Answer("400"), End::Answer("200")]),
        ("no authority", without(":authority"), MALFORMED),
        ("an empty path", but(":path", ""), MALFORMED),
        ("a path that is none", but(":path", "a b"), MALFORMED),
        ("a method that is none", but(":method", "GE T"), MALFORMED),
        ("an authority with a user", but(":authority", "u@raw"), MALFORMED),
        ("two paths", with((":path", "/admin")), MALFORMED),
        ("two methods", with((":method", "POST")), MALFORMED),
        ("a status", with((":status", "200")), MALFORMED),
        ("a pseudo field nobody knows", with((":foo", "a")), MALFORMED),
        (
            "a pseudo field after others",
            headers(1, END_STREAM, &[GOOD[0], ("x-a", "b"), GOOD[1], GOOD[2], GOOD[3]]),
            MALFORMED,
        ),
        ("capital letters", with(("X-A", "b")), MALFORMED),
        ("a name that is none", with(("x a", "b")), MALFORMED),
        ("CR and LF in a value", with(("x-a", "b\r\nx-evil: 1")), MALFORMED),
        ("NUL in a value", with(("x-a", "b\0")), MALFORMED),
        ("connection", with(("connection", "close")), MALFORMED),
        ("keep-alive", with(("keep-alive", "1")), MALFORMED),
        ("upgrade", with(("upgrade", "websocket")), MALFORMED),
        ("transfer-encoding", with(("transfer-encoding", "chunked")), MALFORMED),
        ("te that is not trailers", with(("te", "gzip")), MALFORMED),
        ("another host", with(("host", "other")), MALFORMED),
        ("a length and no body", with(("content-length", "5")), MALFORMED),
        (
            "two lengths",
            headers(1, END_STREAM, &[&GOOD[..], &[("content-length", "0"), ("content-length", "1")]].concat()),
            MALFORMED,
        ),
        ("a fragment in the path", but(":path", "/#a"), &[End::Reset(1), End::Answer("400"), End::Answer("200")]),
        (
            "CONNECT",
            headers(1, END_STREAM, &[(":method", "CONNECT"), (":authority", "raw:80")]),
            &[End::Reset(1), End::Answer("another")],
        ),
        ("a head too long", too_long, &[End::Answer("another"), End::GoAway(11), End::Reset(1)]),
    ])
}

#[test]
fn a_body_that_is_not_as_long_as_it_says_never_looks_complete_to_the_server() -> Result<()> {
    run("", |shop: &mut Shop| {
        let raw = Raw::start(&shop.scene, 7000, answer_all)?;
        let post = |length: &'static str| {
            let fields = [(":method", "POST"), GOOD[1], GOOD[2], GOOD[3], ("content-length", length)];
            headers(1, 0, &fields)
        };
        for (what, sent) in [
            ("less", [post("5"), frame(DATA, END_STREAM, 1, b"hi")].concat()),
            ("more", [post("1"), frame(DATA, END_STREAM, 1, b"hi")].concat()),
            ("reset", [post("5"), frame(DATA, 0, 1, b"hi"), frame(RST_STREAM, 0, 1, &[0, 0, 0, 8])].concat()),
        ] {
            let before = raw.heard().len();
            shop.client.block_on(async {
                let mut stream = begin(shop, RAW).await?;
                stream.write_all(&sent).await?;
                stream.write_all(&frame(PING, 0, 0, b"how far?")).await?;
                // Once that is answered, what came before it has been read.
                loop {
                    match read(&mut stream).await? {
                        Some((PING, ACK, ..)) | None => return Ok(()),
                        Some((HEADERS, _, _, payload)) => ensure!(status(&payload) != "200", "{what}: answered"),
                        Some(_) => {}
                    }
                }
            })?;
            shop.client.until(what, || raw.heard().iter().skip(before).all(|heard| heard.is_over).then_some(()))?;
            for heard in raw.heard().iter().skip(before) {
                let body = heard.text().split("\r\n\r\n").nth(1).unwrap_or_default().len();
                let whole = if what == "more" { 1 } else { 5 };
                ensure!(body < whole, "{what}: the server heard {:?}", heard.text());
            }
        }
        shop.get("/").to(RAW, 80).answers(200).map(drop)
    })
}

#[test]
fn floods_are_bounded() -> Result<()> {
    run("", |shop: &mut Shop| {
        let raw = Raw::start(&shop.scene, 7000, answer_all)?;
        let before = shop.scene.resident()?;
        let reset: Vec<u8> = (0..20_000_u32)
            .flat_map(|at| {
                [headers(2 * at + 1, END_STREAM, &GOOD), frame(RST_STREAM, 0, 2 * at + 1, &[0, 0, 0, 8])].concat()
            })
            .collect();
        let mut endless = frame(HEADERS, END_STREAM, 1, &block(&GOOD));
        (0..4_000).for_each(|_| endless.extend(frame(CONTINUATION, 0, 1, &block(&[("x-a", &"b".repeat(1000))]))));
        let mut empty = frame(HEADERS, END_STREAM, 1, &block(&GOOD));
        (0..100_000).for_each(|_| empty.extend(frame(CONTINUATION, 0, 1, &[])));
        for (what, flood) in [
            ("streams that are reset at once", reset),
            ("headers without end", endless),
            ("empty continuations", empty),
            ("pings", frame(PING, 0, 0, &[0; 8]).repeat(200_000)),
            ("settings", frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 9]).repeat(200_000)),
            ("windows", frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]).repeat(200_000)),
        ] {
            // Nothing of what comes back is read: who floods does not look.
            shop.client.block_on(async {
                let mut stream = begin(shop, RAW).await?;
                let writing = stream.write_all(&flood);
                // Refused, hung up on, or stuck: all the same to the others.
                tokio::time::timeout(std::time::Duration::from_secs(2), writing).await.ok();
                anyhow::Ok(())
            })?;
            shop.get("/").to(RAW, 80).answers(200).with_context(|| what)?;
        }
        let heard: usize = raw.heard().iter().map(|heard| heard.text().matches("GET / ").count()).sum();
        ensure!(heard < 2_000, "the server was asked {heard} times");
        let grown = shop.scene.resident()?.saturating_sub(before);
        ensure!(grown < 48 << 10, "{grown} KiB more");
        Ok(())
    })
}

#[test]
fn the_end_is_announced_and_what_is_under_way_is_finished() -> Result<()> {
    run("", |shop: &mut Shop| {
        let before = shop.scene.backend("web-v1").requests() + shop.scene.backend("web-v2").requests();
        let mut stream = shop.client.block_on(async {
            let mut stream = begin(shop, WEB).await?;
            let fields = [&GOOD[..3], &[(":authority", "web"), ("x-test-hold", "goaway")]].concat();
            stream.write_all(&headers(1, END_STREAM, &fields)).await?;
            anyhow::Ok(stream)
        })?;
        shop.client.until("the request", || {
            (shop.scene.backend("web-v1").requests() + shop.scene.backend("web-v2").requests() > before).then_some(())
        })?;
        shop.scene.program().signal(Signal::SIGTERM)?;
        let frames = shop.client.block_on(async {
            let mut seen = Vec::new();
            while let Some((kind, _, stream_id, payload)) = read(&mut stream).await? {
                match kind {
                    GOAWAY => {
                        ensure!(code(payload.get(4..)) == 0, "an error");
                        release("goaway");
                        seen.push("GOAWAY");
                    }
                    HEADERS if stream_id == 1 => seen.push(status(&payload)),
                    // Ours is needed before a server says which stream is its last.
                    PING => stream.write_all(&frame(PING, ACK, 0, &payload)).await?,
                    _ => {}
                }
            }
            Ok(seen)
        })?;
        ensure!(frames.first() == Some(&"GOAWAY") && frames.contains(&"200"), "{frames:?}");
        Ok(())
    })
}

/// Sends frames, each time on a connection of its own, and sees what becomes of them; the server hears nothing of it.
fn play(cases: Vec<(&'static str, Vec<u8>, &[End])>) -> Result<()> {
    run("", |shop: &mut Shop| {
        let raw = Raw::start(&shop.scene, 7000, answer_all)?;
        let mut odd = Vec::new();
        for (what, sent, expected) in cases {
            let before = raw.text().len();
            let end = shop.client.block_on(async {
                let mut stream = begin(shop, RAW).await?;
                stream.write_all(&sent).await?;
                end_of(&mut stream).await
            });
            let end = end.with_context(|| what)?;
            if !expected.contains(&end) {
                odd.push(format!("{what}: {end:?}"));
            }
            let may_be_heard = expected.contains(&End::Answer("200"));
            if !may_be_heard && raw.text().len() != before {
                odd.push(format!("{what}: the server heard {:?}", raw.text().get(before..)));
            }
        }
        ensure!(odd.is_empty(), "{}", odd.join("\n"));
        Ok(())
    })
}

async fn begin(shop: &Shop, to: std::net::Ipv4Addr) -> Result<TunnelStream> {
    let mut stream = shop.client.open((to, 80)).await?;
    stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await?;
    Ok(stream)
}

/// A frame: kind, flags, stream, payload.
type Frame = (u8, u8, u32, Vec<u8>);

/// The next frame; none at the end.
async fn read(stream: &mut TunnelStream) -> Result<Option<Frame>> {
    let mut head = [0; 9];
    let reading = async {
        match stream.read_exact(&mut head).await {
            Ok(_) => {}
            // Ended or cut: there are no more frames.
            Err(_) => return Ok(None),
        }
        let [a, b, c, kind, flags, id @ ..] = head;
        let mut payload = vec![0; usize::try_from(u32::from_be_bytes([0, a, b, c]))?];
        stream.read_exact(&mut payload).await?;
        Ok(Some((kind, flags, u32::from_be_bytes(id), payload)))
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), reading).await.context("no frame came")?
}

/// What becomes of the frames sent.
async fn end_of(stream: &mut TunnelStream) -> Result<End> {
    while let Some((kind, flags, _, payload)) = read(stream).await? {
        match kind {
            GOAWAY => return Ok(End::GoAway(code(payload.get(4..)))),
            RST_STREAM => return Ok(End::Reset(code(Some(&payload)))),
            HEADERS => return Ok(End::Answer(status(&payload))),
            SETTINGS if flags == 0 => stream.write_all(&frame(SETTINGS, ACK, 0, &[])).await.unwrap_or(()),
            _ => {}
        }
    }
    Ok(End::Closed)
}

fn code(bytes: Option<&[u8]>) -> u32 {
    bytes.and_then(|bytes| bytes.first_chunk()).map_or(u32::MAX, |code| u32::from_be_bytes(*code))
}

/// The status of an answer, where it is in HPACK's table.
fn status(block: &[u8]) -> &'static str {
    // A server may say first how large its table is.
    match block.iter().find(|byte| **byte & 0xe0 != 0x20) {
        Some(0x88) => "200",
        Some(0x8c) => "400",
        _ => "another",
    }
}
