use std::sync::Mutex;

use super::*;

const REFRESH: Duration = Duration::from_secs(30);

/// What the name servers of a test say.
#[derive(Clone, Default)]
struct Servers {
    answers: Arc<Mutex<BTreeMap<String, Answer>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Servers {
    fn say(&self, name: &str, answer: Answer) {
        self.answers.lock().unwrap().insert(name.to_owned(), answer);
    }

    fn look_up(&self, name: &Arc<str>) -> std::future::Ready<Answer> {
        self.asked.lock().unwrap().push(name.to_string());
        let answer = self.answers.lock().unwrap().get(&**name).cloned();
        std::future::ready(answer.unwrap_or_else(unavailable))
    }

    fn asked(&self) -> usize {
        std::mem::take(&mut *self.asked.lock().unwrap()).len()
    }
}

fn ips(text: &str) -> Answer {
    Ok(text.split_whitespace().map(|ip| ip.parse().unwrap()).collect())
}

fn unavailable() -> Answer {
    Err(ResolveError::Unavailable { reason: "nobody answers".to_owned() })
}

fn names(all: &[&str]) -> BTreeSet<Arc<str>> {
    all.iter().map(|name| Arc::from(*name)).collect()
}

fn shown(found: Option<Found>) -> Option<String> {
    let texts = |found: Found| found.addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    found.map(texts)
}

#[tokio::test(start_paused = true)]
async fn an_answer_stays_until_there_is_another() {
    let servers = Servers::default();
    let asking = servers.clone();
    let mut book = Book::new(REFRESH, move |name| asking.look_up(&name));
    book.want(&names(&["x.org"]));
    let nobodys = "127.0.0.1 0.0.0.0 224.0.0.1 ::1 ::ffff:127.0.0.1 169.254.169.254 ::ffff:169.254.169.254 fe80::1";
    servers.say("x.org", ips(&format!("192.0.2.2 192.0.2.1 {nobodys} 192.0.2.2")));
    assert!(!book.is_complete());
    assert_eq!(shown(book.next().await).as_deref(), Some("192.0.2.1 192.0.2.2"), "in order, and only others'");
    assert!(book.is_complete());
    for (answer, expected) in [
        (ips("192.0.2.1 192.0.2.2"), None),
        (ips("192.0.2.3"), Some("192.0.2.3")),
        (unavailable(), None),
        (Err(ResolveError::NoSuchName), Some("")),
        (unavailable(), None),
        (ips("192.0.2.3"), Some("192.0.2.3")),
    ] {
        servers.say("x.org", answer.clone());
        servers.asked();
        let found = tokio::time::timeout(REFRESH + FIRST_PAUSE, book.next()).await.ok();
        assert_eq!(found.map(shown), expected.map(|text| Some(text.to_owned())), "{answer:?}");
        assert!(servers.asked() > 0, "{answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_looked_up_in_vain_is_tried_again_ever_less_often() {
    let servers = Servers::default();
    let asking = servers.clone();
    let mut book = Book::new(REFRESH, move |name| asking.look_up(&name));
    book.want(&names(&["x.org"]));
    assert_eq!(book.next().await, None, "the first time in vain is told");
    assert!(book.is_complete() && servers.asked() == 1);
    let seconds = |seconds| Duration::from_secs(seconds);
    for (until, expected) in [(seconds(8), 3), (seconds(8), 1), (seconds(300), 10)] {
        assert!(tokio::time::timeout(until, book.next()).await.is_err());
        assert_eq!(servers.asked(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn names_come_and_go_and_wait_for_their_turn() {
    let servers = Servers::default();
    let asking = servers.clone();
    let mut book = Book::new(REFRESH, move |name| asking.look_up(&name));
    let many: Vec<_> = (0..3 * MOST_AT_ONCE).map(|n| format!("host-{n:02}.org")).collect();
    many.iter().for_each(|name| servers.say(name, ips("192.0.2.1")));
    let all: Vec<_> = many.iter().map(String::as_str).collect();
    assert_eq!(book.want(&names(&all)), []);
    book.start();
    assert_eq!(servers.asked(), MOST_AT_ONCE);
    for _ in &many {
        assert_eq!(shown(book.next().await).as_deref(), Some("192.0.2.1"));
    }
    assert_eq!(book.want(&names(&all[1..])), [Arc::from(all[0])]);
    servers.asked();
    assert!(tokio::time::timeout(REFRESH + FIRST_PAUSE, book.next()).await.is_err());
    assert_eq!(servers.asked(), many.len() - 1);
}

#[tokio::test(start_paused = true)]
async fn names_that_nobody_answers_take_no_turns_of_others() {
    let asked = Mutex::new(Vec::new());
    let mut book = Book::new(REFRESH, |name| {
        asked.lock().unwrap().push(name);
        async {
            tokio::time::sleep(REFRESH).await;
            unavailable()
        }
    });
    let many: BTreeSet<Arc<str>> = (0..5 * MOST_AT_ONCE).map(|n| Arc::from(format!("host-{n:02}.org"))).collect();
    book.want(&many);
    let turns = async { while book.next().await.is_none() {} };
    assert!(tokio::time::timeout(REFRESH * 20, turns).await.is_err(), "nobody answers");
    let asked = asked.into_inner().unwrap();
    assert!(asked.len() > 2 * many.len());
    for turn in asked.chunks_exact(many.len()) {
        assert_eq!(turn.iter().cloned().collect::<BTreeSet<_>>(), many, "each once before any again");
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_answers_are_not_waited_for_for_ever() {
    let mut book = Book::new(REFRESH, |_name| std::future::pending());
    book.want(&names(&["x.org"]));
    assert!(!book.is_complete());
    assert_eq!(tokio::time::timeout(REFRESH, book.next()).await.ok(), Some(None), "told that it is enough");
    assert!(book.is_complete());
}
