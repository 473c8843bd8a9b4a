//! The body of a request, for as many attempts as are made: read from the client once, kept while it may be
//! needed again, within bounds.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use crate::body::{Body, BodyError};

/// Most memory that a body is kept in for another attempt. A longer one is sent once.
const MAX_KEPT: usize = 64 << 10;

/// The body of a request. Nothing is allocated for an empty one.
pub(super) struct Replay(Option<Rc<RefCell<State>>>);

struct State {
    incoming: Body,
    /// As it was before anything was read.
    size: SizeHint,
    /// What was read, in order, as far as it may be needed again.
    kept: Vec<Kept>,
    kept_bytes: usize,
    /// Whether `kept` is all that was read.
    is_whole: bool,
    /// Whether what is read from now on is kept.
    keeps: bool,
    progress: Progress,
    /// The attempt that may read: those before it are over, whatever still holds their bodies.
    attempt: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    Reading,
    Ended,
    /// The client broke it off.
    Broken,
}

#[derive(Clone)]
enum Kept {
    Data(Bytes),
    Trailers(HeaderMap),
}

impl Kept {
    fn frame(&self) -> Frame<Bytes> {
        match self {
            Self::Data(data) => Frame::data(data.clone()),
            Self::Trailers(trailers) => Frame::trailers(trailers.clone()),
        }
    }
}

/// The memory that a frame is kept in: a peer that sends byte by byte must not have a hundred for each.
pub(super) fn size(frame: &Frame<Bytes>) -> usize {
    let trailers = frame.trailers_ref().into_iter().flatten().map(|(name, value)| name.as_str().len() + value.len());
    size_of::<Frame<Bytes>>() + frame.data_ref().map_or(0, Bytes::len) + trailers.sum::<usize>()
}

impl Replay {
    pub(super) fn new(body: Body) -> Self {
        if body.is_end_stream() {
            return Self(None);
        }
        Self(Some(Rc::new(RefCell::new(State {
            size: body.size_hint(),
            incoming: body,
            kept: Vec::new(),
            kept_bytes: 0,
            is_whole: true,
            keeps: true,
            progress: Progress::Reading,
            attempt: 0,
        }))))
    }

    /// The body for one more attempt; the one before gets no more of it.
    pub(super) fn attempt(&self) -> AttemptBody {
        let number = self.0.as_ref().map_or(0, |state| {
            let mut state = state.borrow_mut();
            state.attempt += 1;
            state.attempt
        });
        AttemptBody { state: self.0.clone(), number, next: 0 }
    }

    /// Whether another attempt would send the same.
    pub(super) fn may_repeat(&self) -> bool {
        self.0.as_ref().is_none_or(|state| state.borrow().is_whole)
    }

    /// Whether the client broke it off.
    pub(super) fn is_broken(&self) -> bool {
        self.0.as_ref().is_some_and(|state| state.borrow().progress == Progress::Broken)
    }

    /// Says that there will be no other attempt: an answer has begun.
    pub(super) fn settle(&self) {
        if let Some(state) = &self.0 {
            let mut state = state.borrow_mut();
            (state.is_whole, state.keeps) = (false, false);
        }
    }

    /// Whether all of it has been read.
    pub(super) fn is_sent(&self) -> bool {
        self.0.as_ref().is_none_or(|state| state.borrow().progress == Progress::Ended)
    }

    /// Ends all attempts: whoever still reads, gets an error.
    pub(super) fn give_up(&self) {
        drop(self.attempt());
    }
}

/// The body of one attempt.
pub(super) struct AttemptBody {
    state: Option<Rc<RefCell<State>>>,
    number: u32,
    /// Which of the kept frames comes next.
    next: usize,
}

impl State {
    fn keep(&mut self, frame: &Frame<Bytes>) {
        if !self.keeps {
            return;
        }
        let kept = match (frame.data_ref(), frame.trailers_ref()) {
            (Some(data), _) => Kept::Data(data.clone()),
            (None, Some(trailers)) => Kept::Trailers(trailers.clone()),
            (None, None) => return,
        };
        self.kept_bytes += size(frame);
        if self.kept_bytes > MAX_KEPT {
            (self.is_whole, self.keeps) = (false, false);
            self.kept.clear();
        } else {
            self.kept.push(kept);
        }
    }
}

impl HttpBody for AttemptBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let Some(state) = &this.state else { return Poll::Ready(None) };
        let mut state = state.borrow_mut();
        if state.attempt != this.number {
            return Poll::Ready(Some(Err(BodyError::GivenUp)));
        }
        if let Some(kept) = state.kept.get(this.next) {
            this.next += 1;
            return Poll::Ready(Some(Ok(kept.frame())));
        }
        match state.progress {
            Progress::Ended => return Poll::Ready(None),
            Progress::Broken => return Poll::Ready(Some(Err(BodyError::GivenUp))),
            Progress::Reading => {}
        }
        let frame = ready!(Pin::new(&mut state.incoming).poll_frame(cx));
        match &frame {
            None => state.progress = Progress::Ended,
            Some(Err(_)) => state.progress = Progress::Broken,
            Some(Ok(frame)) => {
                state.keep(frame);
                if state.incoming.is_end_stream() {
                    state.progress = Progress::Ended;
                }
                if !state.keeps {
                    state.kept.clear();
                }
                this.next = state.kept.len();
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        let Some(state) = &self.state else { return true };
        let state = state.borrow();
        state.attempt == self.number && state.progress == Progress::Ended && self.next >= state.kept.len()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.state {
            None => SizeHint::with_exact(0),
            Some(state) if self.next == 0 => state.borrow().size,
            Some(_) => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use http_body_util::BodyExt;

    use super::*;

    /// A client's body, frame by frame.
    struct Frames(VecDeque<Result<Frame<Bytes>, BodyError>>);

    impl HttpBody for Frames {
        type Data = Bytes;
        type Error = BodyError;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
            Poll::Ready(self.0.pop_front())
        }
    }

    fn replay(frames: impl IntoIterator<Item = Result<&'static [u8], BodyError>>) -> Replay {
        let mut frames: VecDeque<_> = frames.into_iter().map(|data| data.map(|d| Frame::data(d.into()))).collect();
        frames.push_back(Ok(Frame::trailers(HeaderMap::from_iter([(
            http::header::ETAG,
            http::HeaderValue::from_static("x"),
        )]))));
        Replay::new(Body::new(Frames(frames)))
    }

    async fn read(body: AttemptBody) -> Result<(Bytes, bool), BodyError> {
        let all = body.collect().await?;
        let trailers = all.trailers().is_some();
        Ok((all.to_bytes(), trailers))
    }

    #[tokio::test]
    async fn each_attempt_sends_the_same() {
        let replay = replay([Ok(&b"ab"[..]), Ok(b"cd")]);
        let mut first = replay.attempt();
        assert_eq!(first.frame().await.unwrap().unwrap().into_data().unwrap(), "ab");
        assert!(replay.may_repeat() && !replay.is_sent());
        let second = replay.attempt();
        assert!(matches!(first.frame().await, Some(Err(BodyError::GivenUp))));
        assert_eq!(read(second).await.unwrap(), ("abcd".into(), true));
        assert!(replay.is_sent());
        assert_eq!(read(replay.attempt()).await.unwrap(), ("abcd".into(), true));
    }

    #[tokio::test]
    async fn a_long_body_is_sent_once() {
        const LONG: &[u8] = &[b'a'; MAX_KEPT + 1];
        let replay = replay([Ok(&b"ab"[..]), Ok(LONG), Ok(b"cd")]);
        let (bytes, trailers) = read(replay.attempt()).await.unwrap();
        assert_eq!((bytes.len(), trailers), (MAX_KEPT + 5, true));
        assert!(!replay.may_repeat());
    }

    #[tokio::test]
    async fn small_frames_count_what_they_take() {
        let frames = MAX_KEPT / size_of::<Frame<Bytes>>();
        let replay = replay((0..=frames).map(|_| Ok(&b"a"[..])));
        assert_eq!(read(replay.attempt()).await.unwrap().0.len(), frames + 1);
        assert!(!replay.may_repeat());
    }

    #[tokio::test]
    async fn nothing_is_lost_when_the_answer_comes_first() {
        let replay = replay([Ok(&b"ab"[..]), Ok(b"cd")]);
        replay.attempt().frame().await.unwrap().unwrap();
        let second = replay.attempt();
        replay.settle();
        assert!(!replay.may_repeat());
        assert_eq!(read(second).await.unwrap(), ("abcd".into(), true));
    }

    #[tokio::test]
    async fn a_client_that_breaks_off_is_known() {
        let replay = replay([Ok(&b"ab"[..]), Err(BodyError::TimedOut)]);
        assert!(read(replay.attempt()).await.is_err());
        assert!(replay.is_broken());
        let empty = Replay::new(Body::empty());
        assert!(empty.attempt().is_end_stream() && empty.may_repeat() && empty.is_sent());
    }
}
