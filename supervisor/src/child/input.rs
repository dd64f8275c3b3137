//! What a process is told: lines, one after another and each whole.
//!
//! Who alone asks something writes the line itself, as most do. Else lines wait, and as many as there are go together.

use std::{
    io,
    pin::pin,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use tokio::{net::unix::pipe::Sender, process::ChildStdin, sync::mpsc};

use super::{Inner, lock};

/// Lines that wait to be written; more callers wait for room.
const QUEUE: usize = 256;
/// Lines that are written together, at most.
const TOGETHER: usize = 32;

/// Takes lines for a process.
#[derive(Debug)]
pub(super) struct Input {
    queue: mpsc::Sender<Bytes>,
    pipe: Mutex<Pipe>,
}

#[derive(Debug)]
struct Pipe {
    /// `None` once no line may come any more.
    open: Option<Arc<Sender>>,
    /// Lines that wait, or are being written.
    queued: usize,
}

/// What waits, for the task that writes it.
#[derive(Debug)]
pub(super) struct Waiting {
    queue: mpsc::Receiver<Bytes>,
    pipe: Arc<Sender>,
}

/// Why a line was not written at once; nothing of it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Not {
    /// Others wait, or the process does not read.
    Now,
    /// No line may come any more, or nobody is there to read it.
    Ever,
}

impl Input {
    pub(super) fn new(input: ChildStdin) -> io::Result<(Self, Waiting)> {
        let pipe = Arc::new(Sender::from_owned_fd(input.into_owned_fd()?)?);
        let (sender, queue) = mpsc::channel(QUEUE);
        let input = Self {
            queue: sender,
            pipe: Mutex::new(Pipe {
                open: Some(Arc::clone(&pipe)),
                queued: 0,
            }),
        };
        Ok((input, Waiting { queue, pipe }))
    }

    /// Hands the line to the process, or to the queue once there is room; whether that was possible. Who is alone need
    /// not wait for the task that writes: others' lines can only go together there.
    pub(super) async fn send(&self, line: Vec<u8>, is_alone: bool) -> bool {
        if is_alone {
            match self.write(&line) {
                Ok(()) => return true,
                Err(Not::Ever) => return false,
                Err(Not::Now) => {}
            }
        }
        match self.queue.reserve().await {
            Ok(place) => {
                lock(&self.pipe).queued += 1;
                place.send(line.into());
                true
            }
            Err(_) => false,
        }
    }

    /// Queues the line, if there is room. Where there is none the process is busy, and is told that much less.
    pub(super) fn offer(&self, line: String) {
        if let Ok(place) = self.queue.try_reserve() {
            lock(&self.pipe).queued += 1;
            place.send(line.into());
        }
    }

    /// Writes as much as the process takes now. A rest is queued before anything else can be.
    fn write(&self, line: &[u8]) -> Result<(), Not> {
        let mut pipe = lock(&self.pipe);
        if pipe.queued > 0 {
            return Err(Not::Now);
        }
        let open = pipe.open.as_ref().ok_or(Not::Ever)?;
        let rest = match open.try_write(line) {
            Ok(written) => &line[written..],
            Err(problem) if problem.kind() == io::ErrorKind::WouldBlock => return Err(Not::Now),
            Err(_) => return Err(Not::Ever),
        };
        if !rest.is_empty() {
            // There is room: nothing waits.
            let queued = self.queue.try_send(Bytes::copy_from_slice(rest));
            queued.map_err(|_| Not::Ever)?;
            pipe.queued += 1;
        }
        Ok(())
    }

    /// All lines wait, for whoever takes them.
    #[cfg(fuzzing)]
    pub(super) fn without_pipe() -> (Self, mpsc::Receiver<Bytes>) {
        let (sender, queue) = mpsc::channel(QUEUE);
        let pipe = Pipe {
            open: None,
            queued: 1,
        };
        let input = Self {
            queue: sender,
            pipe: Mutex::new(pipe),
        };
        (input, queue)
    }

    /// Takes no more lines. When those that wait are written, the process's input ends.
    fn close(&self) {
        lock(&self.pipe).open = None;
    }
}

/// Writes what waits until there will be nothing more, or nobody to read it. The process's input ends with it, which asks
/// the process to end.
pub(super) async fn write(mut waiting: Waiting, inner: Arc<Inner>) {
    if waiting.written(&inner).await.is_err() {
        inner.ended.cancel();
    }
    inner.input.close();
}

impl Waiting {
    async fn written(&mut self, inner: &Inner) -> io::Result<()> {
        let mut batch = Vec::with_capacity(TOGETHER);
        let mut text = Vec::new();
        let mut ended = pin!(inner.ended.cancelled());
        let mut closing = pin!(inner.closing.cancelled());
        loop {
            let received = tokio::select! {
                received = self.queue.recv_many(&mut batch, TOGETHER) => received,
                () = &mut ended => return Ok(()),
                // What was taken before is written yet; whoever comes now is told that it was not.
                () = &mut closing, if !self.queue.is_closed() => {
                    inner.input.close();
                    self.queue.close();
                    continue;
                }
            };
            if received == 0 {
                return Ok(());
            }
            text.clear();
            for line in batch.drain(..) {
                text.extend_from_slice(&line);
            }
            self.write_all(&text).await?;
            lock(&inner.input.pipe).queued -= received;
        }
    }

    async fn write_all(&self, mut text: &[u8]) -> io::Result<()> {
        while !text.is_empty() {
            self.pipe.writable().await?;
            match self.pipe.try_write(text) {
                Ok(written) => text = &text[written..],
                Err(problem) if problem.kind() == io::ErrorKind::WouldBlock => {}
                Err(problem) => return Err(problem),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use tokio::{
        io::AsyncReadExt,
        process::{Child, Command},
    };

    use super::*;

    /// A process that says what it is told, and what hands lines to it.
    fn echo() -> (Child, Arc<Inner>) {
        let mut cat = Command::new("cat");
        let cat = cat.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut cat = cat.kill_on_drop(true).spawn().unwrap();
        let (input, waiting) = Input::new(cat.stdin.take().unwrap()).unwrap();
        let inner = Arc::new(Inner::new(input, 0));
        tokio::spawn(write(waiting, Arc::clone(&inner)));
        (cat, inner)
    }

    #[tokio::test]
    async fn lines_stay_whole_and_in_order_however_they_go() {
        let (mut cat, inner) = echo();
        // The later ones are longer than a pipe holds.
        let lines: Vec<String> = (0..60)
            .map(|number| format!("{number} {}\n", "x".repeat(number * 3000)))
            .collect();
        let sending = async {
            for (number, line) in lines.iter().enumerate() {
                let is_alone = number % 3 > 0;
                assert!(inner.send(line.clone().into_bytes(), is_alone).await);
            }
            inner.closing.cancel();
        };
        let mut said = String::new();
        let mut output = cat.stdout.take().unwrap();
        let (read, ()) = tokio::join!(output.read_to_string(&mut said), sending);
        read.unwrap();
        assert!(said == lines.concat(), "{} bytes came", said.len());
        for is_alone in [true, false] {
            assert!(!inner.send(b"late\n".to_vec(), is_alone).await);
        }
    }

    #[tokio::test]
    async fn who_reads_no_more_is_ended() {
        for is_alone in [true, false] {
            let (mut cat, inner) = echo();
            cat.kill().await.unwrap();
            // What waits is written by another task, which notices.
            while inner.send(b"line\n".to_vec(), is_alone).await {
                tokio::task::yield_now().await;
            }
            assert!(inner.ended.is_cancelled());
        }
    }
}
