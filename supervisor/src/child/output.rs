//! What a process writes: lines, each the answer to a call or a notification about one.
//!
//! It is read into room that belongs to the thread: between lines none is needed, and most processes say nothing most
//! of the time.

use std::{
    borrow::Cow,
    cell::RefCell,
    future::poll_fn,
    io,
    pin::Pin,
    sync::Arc,
    task::{Poll, ready},
};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::{
    io::{AsyncRead, ReadBuf},
    process::ChildStdout,
};

use super::{Answer, Inner, Note, lock};
use crate::skim;

/// Longest line a child may write, in bytes.
const LINE: usize = 8 * 1024 * 1024;
/// As much as a pipe holds.
const PIPE: usize = 64 * 1024;

thread_local! {
    static ROOM: RefCell<Vec<u8>> = RefCell::new(vec![0; PIPE]);
}

/// Hands on what the process says until it ends, or says what nobody can read; then everyone who waits is told.
pub(super) async fn read(mut output: ChildStdout, inner: Arc<Inner>) {
    let mut lines = Lines::default();
    loop {
        match piece(&mut output, |piece| {
            lines.take(piece, |line| deliver(line, &inner))
        })
        .await
        {
            Ok(Piece::Taken) => {}
            Ok(Piece::End) if lines.begun.is_empty() => break,
            Ok(Piece::End | Piece::TooLong) => {
                tracing::warn!(
                    process = inner.process,
                    "a child ended within a line, or wrote one that is too long"
                );
                break;
            }
            Err(_) => break,
        }
    }
    inner.ended.cancel();
    // Whoever waits is told by the end of its channel.
    lock(&inner.waiting).clear();
}

/// What became of what was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    Taken,
    /// There was nothing, and will be nothing.
    End,
    TooLong,
}

/// Waits until there is something to read, and hands it on.
async fn piece(
    output: &mut ChildStdout,
    mut take: impl FnMut(&[u8]) -> Piece,
) -> io::Result<Piece> {
    poll_fn(|context| {
        ROOM.with_borrow_mut(|room| {
            let mut read = ReadBuf::new(room);
            ready!(Pin::new(&mut *output).poll_read(context, &mut read))?;
            Poll::Ready(Ok(match read.filled() {
                [] => Piece::End,
                piece => take(piece),
            }))
        })
    })
    .await
}

/// Puts lines together that come in pieces.
#[derive(Debug, Default)]
struct Lines {
    /// A line whose end has not come yet.
    begun: Vec<u8>,
}

impl Lines {
    /// Hands on each line that ends here, with its end.
    fn take(&mut self, mut piece: &[u8], mut line: impl FnMut(&Bytes)) -> Piece {
        while let Some(end) = memchr::memchr(b'\n', piece) {
            let (rest, after) = piece.split_at(end + 1);
            if self.begun.len() + rest.len() > LINE {
                return Piece::TooLong;
            }
            let whole = if self.begun.is_empty() {
                Bytes::copy_from_slice(rest)
            } else {
                self.begun.extend_from_slice(rest);
                std::mem::take(&mut self.begun).into()
            };
            line(&whole);
            piece = after;
        }
        self.begun.extend_from_slice(piece);
        if self.begun.len() < LINE {
            Piece::Taken
        } else {
            Piece::TooLong
        }
    }
}

/// A line of the child: the answer to a call, or a notification about one.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    method: Option<Cow<'a, str>>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

/// What stands around the id and the result in a line of sf-mcp, in this order and with nothing else; its tests hold it to
/// that.
const BEGIN: &[u8] = br#"{"jsonrpc":"2.0","id":"#;
const RESULT: &[u8] = br#","result":"#;
const END: &[u8] = b"}\n";

/// Takes a result out of a line of that form, without reading it. It ends where the line does and no earlier, so that
/// its client's envelope holds whatever it says; what it says is between the child and that client.
fn result(line: &[u8]) -> Option<(u64, &[u8])> {
    let rest = line.strip_prefix(BEGIN)?.strip_suffix(END)?;
    let comma = memchr::memchr(b',', rest)?;
    let (id, rest) = rest.split_at(comma);
    let result = rest.strip_prefix(RESULT)?;
    let is_number = id.first().is_some_and(|first| matches!(first, b'1'..=b'9'));
    let id = std::str::from_utf8(id).ok()?.parse().ok()?;
    let is_object = result.starts_with(b"{") && skim::closes_at_end(result);
    (is_number && is_object).then_some((id, result))
}

pub(super) fn deliver(text: &Bytes, inner: &Inner) {
    if let Some((id, raw)) = result(text) {
        return answer(inner, Some(id), Answer::Result(text.slice_ref(raw)));
    }
    let Ok(line) = serde_json::from_slice::<Line<'_>>(text) else {
        dropped("not JSON");
        return;
    };
    let part = |raw: &RawValue| text.slice_ref(raw.get().as_bytes());
    if let Some(id) = line.id.filter(|_| line.method.is_none()) {
        let id = id.get().parse().ok();
        return match (line.result, line.error) {
            (Some(result), None) => answer(inner, id, Answer::Result(part(result))),
            (None, Some(error)) => answer(inner, id, Answer::Error(part(error))),
            _ => dropped("neither result nor error"),
        };
    }
    match (line.id, line.method, line.params) {
        (None, Some(method), Some(params)) => note(inner, &method, part(params)),
        _ => dropped("a request"),
    }
}

/// Hands an answer to the call with that id.
fn answer(inner: &Inner, id: Option<u64>, answer: Answer) {
    let waiting = id.and_then(|id| lock(&inner.waiting).remove(&id));
    match waiting {
        Some(mut waiting) => {
            // Free before its client can ask again.
            drop(waiting.place.take());
            waiting.speaker.answer(answer);
        }
        // Cancelled meanwhile, or never asked.
        None => dropped("nobody asked"),
    }
}

/// Hands a notification to the call it is about.
fn note(inner: &Inner, method: &str, params: Bytes) {
    #[derive(Deserialize)]
    struct About {
        #[serde(rename = "progressToken")]
        progress: Option<u64>,
        #[serde(rename = "_meta")]
        meta: Option<Meta>,
    }
    #[derive(Deserialize)]
    struct Meta {
        #[serde(rename = "io.modelcontextprotocol/subscriptionId")]
        subscription: Option<u64>,
    }
    let about = serde_json::from_slice::<About>(&params).ok();
    let id = about.and_then(|about| {
        let subscription = about.meta.and_then(|meta| meta.subscription);
        about.progress.or(subscription)
    });
    let waiting = lock(&inner.waiting);
    match id.and_then(|id| waiting.get(&id)) {
        Some(waiting) => {
            let method = method.to_owned();
            waiting.speaker.note(Note { method, params });
        }
        None => dropped("a notification about nothing"),
    }
}

fn dropped(what: &'static str) {
    metrics::counter!("sf_supervisor_child_lines_dropped_total", "what" => what).increment(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines that these pieces are, and what became of the last piece.
    fn lines(pieces: &[&[u8]]) -> (Vec<String>, Piece) {
        let (mut lines, mut found, mut last) = (Lines::default(), Vec::new(), Piece::Taken);
        for piece in pieces {
            last = lines.take(piece, |line| {
                found.push(String::from_utf8(line.to_vec()).unwrap());
            });
        }
        (found, last)
    }

    #[test]
    fn lines_come_in_any_pieces() {
        for pieces in [
            &[&b"one\ntwo\n\nthree\n"[..]][..],
            &[b"o", b"ne", b"\ntwo\n", b"\n", b"thr", b"ee\n"],
            &[b"one\ntwo\n\nthree\nbegun"],
        ] {
            let (found, last) = lines(pieces);
            assert_eq!(found, ["one\n", "two\n", "\n", "three\n"]);
            assert_eq!(last, Piece::Taken);
        }
    }

    #[test]
    fn a_result_is_taken_out_where_it_alone_is_said() {
        let line = |rest: &str| format!("{{\"jsonrpc\":\"2.0\",\"id\":{rest}\n");
        let said = line(r#"17,"result":{"a":["}"]}}"#);
        assert_eq!(result(said.as_bytes()), Some((17, &br#"{"a":["}"]}"#[..])));
        for rest in [
            r#"17,"result":{},"id":18}"#,
            r#"17,"result":{},"error":{}}"#,
            r#"17,"result":{}},{}"#,
            r#"17,"result":7}"#,
            r#"17,"result":{"}"#,
            r#"17,"error":{}}"#,
            r#"017,"result":{}}"#,
            r#""17","result":{}}"#,
            "17",
        ] {
            assert_eq!(result(line(rest).as_bytes()), None, "{rest}");
        }
    }

    #[test]
    fn a_line_may_be_long_but_not_without_end() {
        let quarter = vec![b'x'; LINE / 4 - 1];
        let quarter: &[u8] = &quarter;
        let (found, last) = lines(&[quarter, quarter, quarter, quarter, b"\n"]);
        assert_eq!((found.len(), last), (1, Piece::Taken));
        let (found, last) = lines(&[quarter, quarter, quarter, quarter, b"12345\n"]);
        assert_eq!((found.len(), last), (0, Piece::TooLong));
        let (_, last) = lines(&[quarter, quarter, quarter, quarter, b"12345"]);
        assert_eq!(last, Piece::TooLong);
    }
}
