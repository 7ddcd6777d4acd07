//! The control connection: lines in, replies out, both bounded.
use std::io::{self, ErrorKind};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

const LINE_LENGTH: usize = 1024;
/// How long a client may leave its replies unread.
const UNREAD: Duration = Duration::from_secs(30);

pub(super) struct Control {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
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
        let (reader, writer) = stream.into_split();
        Ok(Control {
            reader: BufReader::with_capacity(LINE_LENGTH, reader),
            writer,
        })
    }

    /// Reads one line, without its end.
    pub(super) async fn line(&mut self) -> io::Result<Line> {
        let mut line = Vec::new();
        loop {
            let buffer = self.reader.fill_buf().await?;
            if buffer.is_empty() {
                return Ok(Line::End);
            }
            let end = buffer.iter().position(|byte| *byte == b'\n');
            let taken = end.unwrap_or(buffer.len());
            line.extend_from_slice(&buffer[..taken]);
            self.reader.consume(end.map_or(taken, |end| end + 1));
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
        match self.reader.fill_buf().await {
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
        tokio::time::timeout(UNREAD, self.writer.write_all(reply.as_bytes()))
            .await
            .unwrap_or_else(|_| Err(io::Error::new(ErrorKind::TimedOut, "replies stay unread")))
    }
}

/// Turns a client away without waiting for it.
pub(super) fn refuse(stream: &TcpStream, why: &str) {
    // What can't be written at once to a new connection is not worth more.
    let _ = stream.try_write(format!("421 {why}, try again later\r\n").as_bytes());
}
