//! A server at pod `raw` that is a script of bytes, and remembers all it heard.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::runtime::{self, Runtime};
use tokio_rustls::TlsAcceptor;

use crate::scene::{RAW_POD, Scene};

/// An answer that says nothing.
pub(crate) const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// The server.
pub(crate) struct Raw {
    heard: Arc<Mutex<Vec<Heard>>>,
    // Its tasks end with it.
    _runtime: Runtime,
}

/// What was heard on one connection.
#[derive(Debug, Clone, Default)]
pub(crate) struct Heard {
    /// What came.
    pub(crate) bytes: Vec<u8>,
    /// Whether it is over.
    pub(crate) is_over: bool,
    /// What the script noted.
    pub(crate) notes: Vec<String>,
}

impl Heard {
    /// What came, as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

impl Raw {
    /// Serves HTTP at 7000, or bytes at 7001, by a script for each connection.
    pub(crate) fn start<F>(scene: &Scene, port: u16, script: impl Fn(Talk) -> F + Send + Sync + 'static) -> Result<Self>
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let listener = scene.netns().run(|| TcpListener::bind(SocketAddr::from((RAW_POD, port))))??;
        listener.set_nonblocking(true)?;
        let _entered = runtime.enter();
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let heard = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&heard);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let talk = Talk::new(Box::new(stream), Arc::clone(&all));
                let (at, all) = (talk.at, Arc::clone(&all));
                let talking = script(talk);
                tokio::spawn(async move {
                    let end = talking.await;
                    if let Some(heard) = lock(&all).get_mut(at) {
                        heard.is_over = true;
                        heard.notes.extend(end.err().map(|error| error.to_string()));
                    }
                });
            }
        });
        Ok(Self { heard, _runtime: runtime })
    }

    /// What was heard so far, by connection.
    pub(crate) fn heard(&self) -> Vec<Heard> {
        lock(&self.heard).clone()
    }

    /// All of it.
    pub(crate) fn text(&self) -> String {
        self.heard().iter().map(Heard::text).collect()
    }
}

/// Answers each request with [`OK`].
pub(crate) async fn answer_all(mut talk: Talk) -> io::Result<()> {
    while talk.request().await? {
        talk.say(OK).await?;
    }
    Ok(())
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Io for S {}

/// One connection, in the hands of a script.
pub(crate) struct Talk {
    io: Box<dyn Io>,
    at: usize,
    all: Arc<Mutex<Vec<Heard>>>,
}

impl Talk {
    fn new(io: Box<dyn Io>, all: Arc<Mutex<Vec<Heard>>>) -> Self {
        let mut heard = lock(&all);
        heard.push(Heard::default());
        let at = heard.len() - 1;
        drop(heard);
        Self { io, at, all }
    }

    fn change(&self, change: impl FnOnce(&mut Heard)) {
        if let Some(heard) = lock(&self.all).get_mut(self.at) {
            change(heard);
        }
    }

    /// Takes something down.
    pub(crate) fn note(&self, note: impl Into<String>) {
        self.change(|heard| heard.notes.push(note.into()));
    }

    /// Goes on inside of TLS, and notes the server name asked for and whether a certificate was shown.
    pub(crate) async fn in_tls(self, config: Arc<ServerConfig>) -> io::Result<Self> {
        let Self { io, at, all } = self;
        let stream = TlsAcceptor::from(config).accept(io).await?;
        let (_, connection) = stream.get_ref();
        let name = connection.server_name().unwrap_or("no name").to_owned();
        let shown = if connection.peer_certificates().is_some() { "certificate" } else { "no certificate" };
        let talk = Self { io: Box::new(stream), at, all };
        talk.note(name);
        talk.note(shown);
        Ok(talk)
    }

    /// Hears more; nothing at the end.
    pub(crate) async fn hear(&mut self) -> io::Result<Vec<u8>> {
        let mut buffer = vec![0; 16 << 10];
        let length = self.io.read(&mut buffer).await?;
        buffer.truncate(length);
        self.change(|heard| heard.bytes.extend_from_slice(&buffer));
        Ok(buffer)
    }

    /// Hears so many bytes.
    pub(crate) async fn exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.io.read_exact(&mut bytes).await?;
        self.change(|heard| heard.bytes.extend_from_slice(&bytes));
        Ok(bytes)
    }

    /// Hears until these bytes; nothing where the end comes before them.
    pub(crate) async fn until(&mut self, end: &[u8]) -> io::Result<Option<String>> {
        let mut bytes = Vec::new();
        while !bytes.ends_with(end) {
            match self.io.read_u8().await {
                Ok(byte) => bytes.push(byte),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    self.change(|heard| heard.bytes.extend_from_slice(&bytes));
                    return Ok(None);
                }
                Err(error) => return Err(error),
            }
        }
        self.change(|heard| heard.bytes.extend_from_slice(&bytes));
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Hears a request of HTTP/1 with its body; says whether there was one.
    pub(crate) async fn request(&mut self) -> io::Result<bool> {
        let Some(head) = self.until(b"\r\n\r\n").await? else { return Ok(false) };
        let head = head.to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        self.exactly(length.unwrap_or(0)).await?;
        if head.contains("transfer-encoding: chunked") {
            self.chunks().await?;
        }
        Ok(true)
    }

    async fn chunks(&mut self) -> io::Result<()> {
        let mut is_last = false;
        while let Some(line) = self.until(b"\r\n").await? {
            if is_last && line.trim().is_empty() {
                return Ok(());
            }
            let length = usize::from_str_radix(line.trim(), 16).unwrap_or(0);
            is_last |= length == 0;
            if !is_last {
                self.exactly(length + 2).await?;
            }
        }
        Err(io::ErrorKind::UnexpectedEof.into())
    }

    /// Says something.
    pub(crate) async fn say(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.io.write_all(bytes.as_ref()).await?;
        self.io.flush().await
    }

    /// Echoes until the end.
    pub(crate) async fn echo(&mut self) -> io::Result<()> {
        loop {
            let heard = self.hear().await?;
            if heard.is_empty() {
                return Ok(());
            }
            self.say(heard).await?;
        }
    }
}

fn lock(all: &Mutex<Vec<Heard>>) -> MutexGuard<'_, Vec<Heard>> {
    all.lock().unwrap_or_else(PoisonError::into_inner)
}
