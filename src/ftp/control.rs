//! The control connection: lines in, replies out, both bounded.
use std::io::{self, ErrorKind};
use std::mem;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

const LINE_LENGTH: usize = 1024;
/// How long a client may leave its replies unread.
const UNREAD: Duration = Duration::from_secs(30);
/// How long a client may take to agree on keys.
const HANDSHAKE: Duration = Duration::from_secs(30);

/// A connection, plain or not.
pub(super) trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// Agrees with a client on keys.
pub(super) async fn encrypted(
    wire: Box<dyn Wire>,
    acceptor: &TlsAcceptor,
) -> io::Result<Box<dyn Wire>> {
    let accepted = tokio::time::timeout(HANDSHAKE, acceptor.accept(wire)).await;
    let stream = accepted.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))?;
    Ok(Box::new(stream))
}

pub(super) struct Control {
    wire: BufReader<Box<dyn Wire>>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    Text(Vec<u8>),
    TooLong,
    End,
}

/// Why a transfer was ended from the control connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Interruption {
    /// The client asked for it.
    Abort,
    /// The client is gone.
    Gone,
}

impl Control {
    pub(super) fn new(stream: TcpStream) -> io::Result<Control> {
        stream.set_nodelay(true)?;
        Ok(Control {
            wire: buffered(Box::new(stream)),
        })
    }

    /// Goes on over TLS; what the client sent before it knew that we do is none of its own (RFC 4217, section 15.1).
    pub(super) async fn encrypt(&mut self, acceptor: &TlsAcceptor) -> io::Result<()> {
        if !self.wire.buffer().is_empty() {
            let fault = "commands came before the handshake";
            return Err(io::Error::new(ErrorKind::InvalidData, fault));
        }
        let plain = mem::replace(&mut self.wire, buffered(Box::new(tokio::io::empty())));
        self.wire = buffered(encrypted(plain.into_inner(), acceptor).await?);
        Ok(())
    }

    /// Reads one line, without its end.
    pub(super) async fn line(&mut self) -> io::Result<Line> {
        let mut line = Vec::new();
        loop {
            let buffer = self.wire.fill_buf().await?;
            if buffer.is_empty() {
                return Ok(Line::End);
            }
            let end = buffer.iter().position(|byte| *byte == b'\n');
            let taken = end.unwrap_or(buffer.len());
            line.extend_from_slice(&buffer[..taken]);
            self.wire.consume(end.map_or(taken, |end| end + 1));
            if line.len() > LINE_LENGTH {
                return Ok(Line::TooLong);
            }
            if end.is_some() {
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                return Ok(Line::Text(line));
            }
        }
    }

    /// Waits during a transfer until the client aborts it or is gone; whatever else it sends, waits.
    pub(super) async fn interruption(&mut self) -> Interruption {
        match self.wire.fill_buf().await {
            Ok([]) | Err(_) => Interruption::Gone,
            Ok(sent)
                if sent
                    .windows(4)
                    .any(|word| word.eq_ignore_ascii_case(b"ABOR")) =>
            {
                Interruption::Abort
            }
            Ok(_) => std::future::pending().await,
        }
    }

    /// Sends a reply; lines before the last one make it a multi-line reply (RFC 959, section 4.2).
    pub(super) async fn reply(&mut self, code: u16, text: &str) -> io::Result<()> {
        let last = text.lines().count().saturating_sub(1);
        let line = |(number, line): (usize, &str)| {
            let mark = if number < last { '-' } else { ' ' };
            format!("{code}{mark}{line}\r\n")
        };
        let reply: String = text.lines().enumerate().map(line).collect();
        let writer = self.wire.get_mut();
        let write = async {
            writer.write_all(reply.as_bytes()).await?;
            writer.flush().await
        };
        tokio::time::timeout(UNREAD, write)
            .await
            .unwrap_or_else(|_| Err(io::Error::new(ErrorKind::TimedOut, "replies stay unread")))
    }
}

fn buffered(wire: Box<dyn Wire>) -> BufReader<Box<dyn Wire>> {
    BufReader::with_capacity(LINE_LENGTH, wire)
}

/// Turns a client away without waiting for it.
pub(super) fn refuse(stream: &TcpStream, why: &str) {
    // What can't be written at once to a new connection is not worth more.
    let _ = stream.try_write(format!("421 {why}, try again later\r\n").as_bytes());
}
