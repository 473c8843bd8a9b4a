//! A TCP client inside a namespace, and how its attempts end.

use std::io::{self, BufRead as _, BufReader, ErrorKind, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Result, anyhow};

use crate::Netns;

/// How long a connection may take to open, and an answer to come.
const PATIENCE: Duration = Duration::from_secs(5);

/// How an attempt ended, as an application sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The server answered with this line.
    Answered(String),
    /// The connection opened, and was closed without an answer.
    Closed,
    /// The connection opened, and was reset.
    Reset,
    /// The connection was refused.
    Refused,
    /// The network said that there is no way.
    Unreachable,
    /// Neither an answer nor an end.
    TimedOut,
    /// Some other error.
    Failed(ErrorKind),
}

impl Outcome {
    /// The answer.
    ///
    /// # Errors
    /// Fails with what happened instead.
    pub fn answer(self) -> Result<String> {
        if let Self::Answered(line) = self { Ok(line) } else { Err(anyhow!("no answer: {self:?}")) }
    }

    /// Whether the attempt was turned down at once, in whatever way: never an answer, never silence.
    #[must_use]
    pub fn is_turned_down(&self) -> bool {
        matches!(self, Self::Closed | Self::Reset | Self::Refused)
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "every other kind is kept as it is")]
    fn of(error: &io::Error) -> Self {
        match error.kind() {
            ErrorKind::ConnectionRefused => Self::Refused,
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted => Self::Reset,
            ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => Self::Unreachable,
            ErrorKind::TimedOut | ErrorKind::WouldBlock => Self::TimedOut,
            other => Self::Failed(other),
        }
    }
}

/// Opens a connection, sends a line and waits for one line of answer.
///
/// # Errors
/// Fails only when the namespace cannot be entered; all else is an [`Outcome`].
pub fn ask(from: &Netns, to: SocketAddr, line: &str) -> Result<Outcome> {
    Ok(match Connection::open(from, to)? {
        Ok(mut connection) => connection.ask(line),
        Err(outcome) => outcome,
    })
}

/// Opens a connection, sends a line and reads on until the end, whatever comes: for talking to what
/// is no line-wise server.
///
/// # Errors
/// Fails only when the namespace cannot be entered; all else is an [`Outcome`].
pub fn knock(from: &Netns, to: SocketAddr, line: &str) -> Result<Outcome> {
    Ok(match Connection::open(from, to)? {
        Ok(mut connection) => match connection.send(line) {
            Ok(()) => connection.read_to_end(),
            Err(error) => Outcome::of(&error),
        },
        Err(outcome) => outcome,
    })
}

/// An open connection to a line-wise server.
#[derive(Debug)]
pub struct Connection {
    lines: BufReader<TcpStream>,
}

impl Connection {
    /// Connects from inside a namespace; the inner error says how the attempt ended.
    ///
    /// # Errors
    /// Fails when the namespace cannot be entered.
    pub fn open(from: &Netns, to: SocketAddr) -> Result<Result<Self, Outcome>> {
        let opened = from.run(|| {
            let stream = TcpStream::connect_timeout(&to, PATIENCE)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            stream.set_nodelay(true)?;
            Ok(Self { lines: BufReader::new(stream) })
        })?;
        Ok(opened.map_err(|error: io::Error| Outcome::of(&error)))
    }

    /// Connects from inside a namespace and exchanges a first line, so that the connection surely
    /// stands from end to end.
    ///
    /// # Errors
    /// Fails when there is no answer.
    pub fn established(from: &Netns, to: SocketAddr) -> Result<Self> {
        let mut connection = Self::open(from, to)?.map_err(|outcome| anyhow!("connect to {to}: {outcome:?}"))?;
        connection.ask("hello").answer()?;
        Ok(connection)
    }

    /// Sends a line and waits for one line of answer.
    pub fn ask(&mut self, line: &str) -> Outcome {
        match self.send(line) {
            Ok(()) => self.read(),
            Err(error) => Outcome::of(&error),
        }
    }

    /// Waits for a line, or for the end.
    pub fn read(&mut self) -> Outcome {
        let mut answer = String::new();
        match self.lines.read_line(&mut answer) {
            Ok(0) => Outcome::Closed,
            Ok(_) => Outcome::Answered(answer.trim_end().to_owned()),
            Err(error) => Outcome::of(&error),
        }
    }

    /// Reads on, whatever comes, until the end.
    pub fn read_to_end(&mut self) -> Outcome {
        match io::copy(&mut self.lines, &mut io::sink()) {
            Ok(_) => Outcome::Closed,
            Err(error) => Outcome::of(&error),
        }
    }

    /// Ends this side; the other one may go on.
    ///
    /// # Errors
    /// Fails when the connection is gone.
    pub fn finish(&self) -> Result<()> {
        Ok(self.lines.get_ref().shutdown(Shutdown::Write)?)
    }

    /// This side's address.
    ///
    /// # Errors
    /// Fails when the kernel does not tell.
    pub fn local(&self) -> Result<SocketAddr> {
        Ok(self.lines.get_ref().local_addr()?)
    }

    /// The other side's address as the kernel tells it to the application.
    ///
    /// # Errors
    /// Fails when the connection is gone.
    pub fn peer(&self) -> Result<SocketAddr> {
        Ok(self.lines.get_ref().peer_addr()?)
    }

    fn send(&mut self, line: &str) -> io::Result<()> {
        self.lines.get_mut().write_all(format!("{line}\n").as_bytes())
    }

    /// The stream itself, for what is not line by line.
    pub fn stream(&mut self) -> &mut TcpStream {
        self.lines.get_mut()
    }
}
