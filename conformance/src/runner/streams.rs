//! The pipes of a process, in a folder of the run, as containerd's clients make them.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use form_urlencoded::byte_serialize;
use nix::sys::stat::Mode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe::{OpenOptions, Receiver, Sender};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::case::model::{Reader, Stdin, pattern};
use crate::client::Containerd;
use crate::client::tasks::Streams;

/// A slow reader takes so many bytes at a time, so long apart: 16 MiB in three seconds.
const SLOWLY: (usize, Duration) = (1 << 16, Duration::from_millis(12));

/// What came out of a pipe so far.
#[derive(Debug, Default)]
pub struct Collected {
    bytes: Mutex<Vec<u8>>,
    ended: Mutex<bool>,
    news: Notify,
}

impl Collected {
    /// The bytes so far.
    pub fn bytes(&self) -> Vec<u8> {
        lock(&self.bytes).clone()
    }

    /// Whether nothing more can come.
    pub fn ended(&self) -> bool {
        *lock(&self.ended)
    }

    /// Waits until `enough`, or the end.
    pub async fn until(&self, enough: impl Fn(&[u8]) -> bool) {
        loop {
            let mut news = std::pin::pin!(self.news.notified());
            news.as_mut().enable();
            if enough(&lock(&self.bytes)) || self.ended() {
                return;
            }
            news.await;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The pipes of one process.
#[derive(Debug)]
pub struct Pipes {
    /// Their paths.
    pub streams: Streams,
    /// Standard output.
    pub stdout: Arc<Collected>,
    /// Standard error.
    pub stderr: Arc<Collected>,
    stdin: Option<Sender>,
    /// Writing ends of the output's pipes: without any a pipe reads as ended before its process is there.
    keepers: Vec<Sender>,
    reader: Reader,
    tasks: Vec<JoinHandle<()>>,
}

impl Pipes {
    /// Makes them in `folder`, whose name begins with `prefix`.
    ///
    /// # Errors
    /// One can't be made.
    pub fn new(folder: &Path, prefix: &str, stdin: bool, reader: Reader, terminal: bool) -> io::Result<Self> {
        let make = |name: &str| {
            let path = folder.join(format!("{prefix}{name}"));
            nix::unistd::mkfifo(&path, Mode::S_IRWXU).map_err(io::Error::from)?;
            Ok::<_, io::Error>(path.display().to_string())
        };
        let (stdout, stderr) = (Arc::new(Collected::default()), Arc::new(Collected::default()));
        let mut pipes = Self {
            streams: Streams { terminal, ..Streams::default() },
            stdout: Arc::clone(&stdout),
            stderr: Arc::clone(&stderr),
            stdin: None,
            keepers: Vec::new(),
            reader,
            tasks: Vec::new(),
        };
        pipes.streams.stdout = make("stdout")?;
        let path = pipes.streams.stdout.clone();
        pipes.collect(&path, stdout, reader)?;
        if terminal {
            *lock(&stderr.ended) = true;
        } else {
            pipes.streams.stderr = make("stderr")?;
            let path = pipes.streams.stderr.clone();
            pipes.collect(&path, stderr, Reader::Normal)?;
        }
        if reader == Reader::Program {
            // One for both: containerd's clients give the same address twice.
            pipes.streams.stdout = program(&pipes.streams);
            pipes.streams.stderr = pipes.streams.stdout.clone();
        }
        if stdin {
            pipes.streams.stdin = make("stdin")?;
            // Both ways, so that it opens without a reader.
            pipes.stdin = Some(OpenOptions::new().read_write(true).open_sender(&pipes.streams.stdin)?);
        }
        Ok(pipes)
    }

    fn collect(&mut self, path: &str, into: Arc<Collected>, reader: Reader) -> io::Result<()> {
        let receiver = OpenOptions::new().open_receiver(path)?;
        self.keepers.push(OpenOptions::new().open_sender(path)?);
        self.tasks.push(tokio::spawn(read(receiver, into, reader)));
        Ok(())
    }

    /// The task is there and holds its ends.
    pub fn created(&mut self) {
        // Whoever wants to write must find that nobody reads.
        if self.reader == Reader::Closed
            && let Some(task) = self.tasks.first()
        {
            task.abort();
            *lock(&self.stdout.ended) = true;
        }
    }

    /// The task runs, or never will: from now on a pipe ends with its process.
    pub fn started(&mut self) {
        self.keepers.clear();
    }

    /// Writes what the process shall find on standard input, and ends it, while the process runs.
    pub fn feed(&mut self, stdin: &Stdin, containerd: &Containerd, id: &str, exec: &str) {
        let bytes = match stdin {
            Stdin::Text(text) => text.clone().into_bytes(),
            Stdin::Bytes(count) => pattern(*count),
            Stdin::Open(_) => return,
        };
        let Some(mut sender) = self.stdin.take() else { return };
        let (containerd, id, exec) = (containerd.clone(), id.to_owned(), exec.to_owned());
        self.tasks.push(tokio::spawn(async move {
            // A process that ends before it has read all takes no more, and knows no end of it.
            if sender.write_all(&bytes).await.is_ok() {
                drop(sender);
                let _ = containerd.close_stdin(&id, &exec).await;
            }
        }));
    }

    /// Writes to standard input.
    ///
    /// # Errors
    /// It is closed, or can't be written to.
    pub async fn write(&mut self, text: &str) -> io::Result<()> {
        match &mut self.stdin {
            Some(sender) => sender.write_all(text.as_bytes()).await,
            None => Err(io::Error::other("standard input is closed already")),
        }
    }

    /// Closes this side of standard input.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }
}

impl Drop for Pipes {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// The address of a program that hands on to `pipes` what it gets: standard output is its descriptor 3, standard error 4, and
/// by closing 5 it says that it is ready (containerd's core/runtime/v2/README.md, "Logging").
fn program(pipes: &Streams) -> String {
    let stderr = if pipes.terminal { "/dev/null" } else { &pipes.stderr };
    let script = format!(
        "exec 6>'{}' 7>'{stderr}' 5>&-; cat <&3 >&6 & cat <&4 >&7 & exec 3<&- 4<&- 6>&- 7>&-; wait",
        pipes.stdout
    );
    format!("binary:///bin/sh?-c={}", byte_serialize(script.as_bytes()).collect::<String>())
}

async fn read(mut pipe: Receiver, into: Arc<Collected>, reader: Reader) {
    let mut buffer = vec![0; SLOWLY.0];
    while let Ok(n @ 1..) = pipe.read(&mut buffer).await {
        lock(&into.bytes).extend_from_slice(&buffer[..n]);
        into.news.notify_waiters();
        if reader == Reader::Slow {
            tokio::time::sleep(SLOWLY.1).await;
        }
    }
    *lock(&into.ended) = true;
    into.news.notify_waiters();
}
