use std::future::{pending, ready};
use std::os::unix::fs::MetadataExt;
use std::sync::Mutex;

use tokio::sync::Notify;

use super::*;

/// Answers by the pod's name, and remembers what it was asked.
#[derive(Default)]
struct Known {
    asked: Mutex<Vec<(Command, String)>>,
    waiting: Notify,
}

impl Known {
    fn note(&self, request: &Request) {
        self.asked.lock().unwrap().push((request.command, request.pod.clone()));
    }
}

impl Pods for Known {
    async fn added(&self, pod: Request) -> Answer {
        self.note(&pod);
        match pod.pod.as_str() {
            "slow" => {
                self.waiting.notify_one();
                pending().await
            }
            "meshed" => Answer::Enrolled,
            _ => Answer::NotMeshed,
        }
    }

    async fn checked(&self, pod: Request) -> Answer {
        self.note(&pod);
        Answer::Refused { reason: "it is not captured".to_owned(), retry: false }
    }

    async fn deleted(&self, pod: Request) {
        self.note(&pod);
    }
}

fn request(command: Command, pod: &str) -> Request {
    Request {
        netns: Some("/run/netns/cni-1".into()),
        addresses: vec![[10, 0, 0, 1].into()],
        ..Request::new(command, "shop", pod, "c0ffee", "eth0")
    }
}

/// As the plugin asks, from a thread of its own.
async fn ask(socket: &Path, request: Request) -> Result<Answer, ambit_cni::AskError> {
    let socket = socket.to_owned();
    tokio::task::spawn_blocking(move || ambit_cni::ask(&socket, &request, Duration::from_secs(60))).await.unwrap()
}

#[tokio::test]
async fn the_plugin_gets_the_word_of_who_knows_the_pods() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("run/cni.sock");
    let (pods, drain) = (Arc::<Known>::default(), Drain::default());
    drop(listen(&socket).unwrap());
    assert!(ask(&socket, request(Command::Add, "meshed")).await.is_err(), "a socket that an earlier agent left");
    let listener = listen(&socket).unwrap();
    assert_eq!(fs::metadata(&socket).unwrap().mode() & 0o777, 0o600);
    let server = tokio::spawn(serve(listener, Arc::clone(&pods), drain.clone()));

    let refused = Answer::Refused { reason: "it is not captured".to_owned(), retry: false };
    for (command, pod, expected) in [
        (Command::Add, "meshed", Answer::Enrolled),
        (Command::Add, "other", Answer::NotMeshed),
        (Command::Check, "meshed", refused),
        (Command::Delete, "meshed", Answer::Released),
    ] {
        assert_eq!(ask(&socket, request(command, pod)).await.unwrap(), expected);
        assert_eq!(pods.asked.lock().unwrap().pop(), Some((command, pod.to_owned())));
    }

    // Whoever waits when the agent stops is told so, and nobody is let in any more.
    let waiting = tokio::spawn({
        let socket = socket.clone();
        async move { ask(&socket, request(Command::Add, "slow")).await }
    });
    pods.waiting.notified().await;
    assert_eq!(drain.finish(Duration::from_secs(60), pending()).await, ambit_runtime::Outcome::Drained);
    let told = waiting.await.unwrap().unwrap();
    assert!(matches!(&told, Answer::Refused { reason, retry: true } if reason.contains("stopping")), "{told:?}");
    server.await.unwrap();
    assert!(ask(&socket, request(Command::Add, "meshed")).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn an_answer_comes_before_the_plugin_gives_up() {
    let begun = tokio::time::Instant::now();
    let told = answer(request(Command::Add, "slow"), &Known::default(), pending()).await;
    assert!(matches!(told, Answer::Refused { retry: true, .. }), "{told:?}");
    assert!(begun.elapsed() < ANSWER_WITHIN);
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_or_too_much_or_nonsense_is_done_with() {
    for (said, ends, expected) in [
        (&b""[..], false, Err(io::ErrorKind::TimedOut)),
        (&[b' '; MAX_MESSAGE + 1], true, Err(io::ErrorKind::InvalidData)),
        (b"", true, Ok("not a request")),
        (b"\xff\xfe{", true, Ok("not a request")),
        (b"{\"version\":9}", true, Ok("version 9")),
        (b"{\"version\":1}", true, Ok("not a request")),
    ] {
        let (mut plugin, agent) = UnixStream::pair().unwrap();
        let pods = Known::default();
        let talk = async {
            plugin.write_all(said).await.unwrap();
            if ends {
                plugin.shutdown().await.unwrap();
            }
            let mut answer = String::new();
            // Where the agent hangs up there is none.
            let _broken = plugin.read_to_string(&mut answer).await;
            answer
        };
        let (served, told) = tokio::join!(call(agent, &pods, pending()), talk);
        match expected {
            Err(kind) => assert_eq!(served.unwrap_err().kind(), kind),
            Ok(words) => assert!(told.contains("refused") && told.contains(words), "{told}"),
        }
        assert!(pods.asked.lock().unwrap().is_empty());
    }
    let told = answer(request(Command::Add, "slow"), &Known::default(), ready(())).await;
    assert!(matches!(told, Answer::Refused { .. }));
}
