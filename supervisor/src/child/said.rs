//! What a child says about one call: notifications as they come, and its answer last.
//!
//! One small allocation for each call, where two channels would take 2 kB: every call has one, and few have notifications.

use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};

use super::{Answer, Note, lock};

/// Notifications of one call that wait to be read by its client; more are dropped.
const NOTES: usize = 64;

/// What a child said about a call.
#[derive(Clone, Debug)]
pub enum Said {
    Note(Note),
    /// Nothing comes after it.
    Answer(Answer),
}

#[derive(Debug, Default)]
struct State {
    notes: VecDeque<Note>,
    answer: Option<Answer>,
    /// The speaker is gone.
    is_over: bool,
    listener: Option<Waker>,
}

/// Hands on what is said. Dropped without an answer, it says that there will be none.
#[derive(Debug)]
pub(super) struct Speaker(Arc<Mutex<State>>);

#[derive(Debug)]
pub(super) struct Listener(Arc<Mutex<State>>);

pub(super) fn channel() -> (Speaker, Listener) {
    let state = Arc::<Mutex<State>>::default();
    (Speaker(Arc::clone(&state)), Listener(state))
}

impl Speaker {
    pub(super) fn note(&self, note: Note) {
        let mut state = lock(&self.0);
        if state.notes.len() == NOTES {
            return;
        }
        state.notes.push_back(note);
        let listener = state.listener.take();
        drop(state);
        wake(listener);
    }

    pub(super) fn answer(self, answer: Answer) {
        lock(&self.0).answer = Some(answer);
    }
}

impl Drop for Speaker {
    fn drop(&mut self) {
        let mut state = lock(&self.0);
        state.is_over = true;
        let listener = state.listener.take();
        drop(state);
        wake(listener);
    }
}

fn wake(listener: Option<Waker>) {
    if let Some(listener) = listener {
        listener.wake();
    }
}

impl Listener {
    /// The next word, in the order in which they were said; `None` when there will be none. A caller who stops waiting
    /// misses nothing.
    pub(super) async fn next(&mut self) -> Option<Said> {
        poll_fn(|context| self.poll_next(context)).await
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Said>> {
        let mut state = lock(&self.0);
        if let Some(note) = state.notes.pop_front() {
            return Poll::Ready(Some(Said::Note(note)));
        }
        if let Some(answer) = state.answer.take() {
            return Poll::Ready(Some(Said::Answer(answer)));
        }
        if state.is_over {
            return Poll::Ready(None);
        }
        match &mut state.listener {
            Some(listener) => listener.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn note(number: usize) -> Note {
        Note {
            method: number.to_string(),
            params: bytes::Bytes::new(),
        }
    }

    #[tokio::test]
    async fn notes_come_before_the_answer_and_nothing_after_it() {
        let (speaker, mut listener) = channel();
        speaker.note(note(1));
        speaker.note(note(2));
        speaker.answer(Answer::Result("{}".into()));
        for number in ["1", "2"] {
            let said = listener.next().await;
            assert!(matches!(said, Some(Said::Note(note)) if note.method == number));
        }
        assert!(matches!(listener.next().await, Some(Said::Answer(_))));
        assert!(listener.next().await.is_none());
    }

    #[tokio::test]
    async fn who_waits_is_woken_by_a_word_and_by_the_end() {
        let (speaker, mut listener) = channel();
        let waiting = tokio::spawn(async move {
            let first = listener.next().await;
            (first, listener.next().await)
        });
        tokio::task::yield_now().await;
        speaker.note(note(1));
        tokio::task::yield_now().await;
        drop(speaker);
        let (first, second) = waiting.await.unwrap();
        assert!(matches!(first, Some(Said::Note(_))) && second.is_none());
    }

    #[test]
    fn notes_that_nobody_reads_do_not_pile_up() {
        let (speaker, mut listener) = channel();
        assert!(listener.next().now_or_never().is_none());
        for number in 0..10 * NOTES {
            speaker.note(note(number));
        }
        speaker.answer(Answer::Error("{}".into()));
        let mut read = 0;
        while let Some(Some(Said::Note(_))) = listener.next().now_or_never() {
            read += 1;
        }
        assert_eq!(read, NOTES);
    }
}
