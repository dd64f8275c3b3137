//! For the targets in `fuzz/` alone: a child that is no process; the target speaks for it.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::{Child, Inner, input::Input, output::deliver};

/// A child, and what is written to it.
#[derive(Debug)]
pub struct Played {
    pub child: Child,
    pub written: mpsc::Receiver<Bytes>,
}

impl Played {
    pub fn begin() -> Self {
        let (input, written) = Input::without_pipe();
        let child = Child(Arc::new(Inner::new(input, 0)));
        Self { child, written }
    }

    pub fn says(&self, line: &[u8]) {
        deliver(&Bytes::copy_from_slice(line), &self.child.0);
    }
}
