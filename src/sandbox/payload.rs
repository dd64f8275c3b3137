//! What the sandbox answers: a whole body, or one that breaks off halfway.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, SizeHint};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::Value;

pub(crate) type Answer = Response<Payload>;

#[derive(Debug)]
pub(crate) struct Payload {
    bytes: Bytes,
    announced: usize,
    ending: Ending,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Ending {
    Whole,
    /// What was written must reach the socket before the error closes it.
    FlushThenBreak,
    Break,
}

impl Payload {
    pub(crate) fn whole(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self {
            announced: bytes.len(),
            bytes,
            ending: Ending::Whole,
        }
    }

    /// Announces the full length, sends half of it and breaks the connection.
    pub(crate) fn truncated(self) -> Self {
        let half = self.bytes.slice(..self.bytes.len() / 2);
        Self {
            announced: self.bytes.len().max(1),
            bytes: half,
            ending: Ending::FlushThenBreak,
        }
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        if !this.bytes.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut this.bytes)))));
        }
        match this.ending {
            Ending::Whole => Poll::Ready(None),
            Ending::FlushThenBreak => {
                this.ending = Ending::Break;
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Ending::Break => Poll::Ready(Some(Err(io::ErrorKind::ConnectionAborted.into()))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_empty() && self.ending == Ending::Whole
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.announced as u64)
    }
}

pub(crate) fn json(status: StatusCode, value: &Value) -> Answer {
    json_bytes(status, value.to_string().into_bytes())
}

pub(crate) fn json_bytes(status: StatusCode, body: Vec<u8>) -> Answer {
    with_type(status, "application/json; charset=UTF-8", body)
}

pub(crate) fn html(status: StatusCode, body: String) -> Answer {
    with_type(status, "text/html; charset=UTF-8", body.into_bytes())
}

/// The page a web server shows by itself, as unknown paths and crashes do.
pub(crate) fn error_page(status: StatusCode) -> Answer {
    let title = format!(
        "{} {}",
        status.as_str(),
        status.canonical_reason().unwrap_or("Error")
    );
    let page = format!(
        "<!DOCTYPE html>\n<html>\n<head><title>{title}</title></head>\n\
         <body>\n<h1>{title}</h1>\n<p>The above error occurred while the Web server was processing your request.</p>\n\
         </body>\n</html>\n"
    );
    html(status, page)
}

fn with_type(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Answer {
    let mut answer = Response::new(Payload::whole(body));
    *answer.status_mut() = status;
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}
