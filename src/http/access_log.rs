//! One line for each request, in the combined format, written by a thread of its own: no request waits for the disk.
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, Method, Uri, Version, header};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use tracing::warn;

/// Size at which a log is put aside.
const ROTATE_AT: u64 = 5_000_000;
/// Old logs that are kept: access.log.1 is the newest.
const KEPT: u32 = 9;
/// Lines that wait for the disk; beyond them, lines are dropped.
const WAITING: usize = 4096;

/// How long lines wait for others.
const TOGETHER: Duration = Duration::from_millis(100);

/// Where requests are written down; ends with its last clone.
#[derive(Clone, Debug)]
pub struct AccessLog {
    lines: SyncSender<String>,
}

/// Tells when all lines are on disk.
#[derive(Debug)]
pub struct Written(Receiver<()>);

impl Written {
    /// Waits, when the last clone of the log is gone, for the lines that it has taken.
    pub fn wait(&self, time: Duration) {
        // Nothing is ever sent: it ends with the thread.
        let _ = self.0.recv_timeout(time);
    }
}

impl AccessLog {
    pub fn start(path: PathBuf) -> io::Result<(AccessLog, Written)> {
        let log = Rotated::open(path)?;
        let (sender, lines) = sync_channel(WAITING);
        let (end, ended) = sync_channel(0);
        thread::Builder::new()
            .name("access-log".into())
            .stack_size(64 * 1024)
            .spawn(move || {
                write_all(log, &lines);
                drop(end);
            })?;
        Ok((AccessLog { lines: sender }, Written(ended)))
    }

    pub(super) fn write(&self, line: String) {
        if let Err(TrySendError::Full(_)) = self.lines.try_send(line) {
            warn!("access log: a line is lost, the disk is too slow");
        }
    }
}

fn write_all(mut log: Rotated, lines: &Receiver<String>) {
    let mut is_failing = false;
    while let Ok(first) = lines.recv() {
        // Who sends to a thread that sleeps need not wake it; of many requests, the lines come together.
        thread::sleep(TOGETHER);
        let mut text = first;
        text.extend(lines.try_iter());
        let written = log.write(&text);
        if let (Err(error), false) = (&written, is_failing) {
            warn!(path = %log.path.display(), %error, "can't write access log");
        }
        is_failing = written.is_err();
    }
}

struct Rotated {
    path: PathBuf,
    file: File,
    size: u64,
}

impl Rotated {
    fn open(path: PathBuf) -> io::Result<Rotated> {
        let file = File::options()
            .append(true)
            .create(true)
            .mode(0o640)
            .open(&path)?;
        let size = file.metadata()?.len();
        Ok(Rotated { path, file, size })
    }

    fn write(&mut self, line: &str) -> io::Result<()> {
        if self.size >= ROTATE_AT {
            rotate(&self.path)?;
            *self = Rotated::open(self.path.clone())?;
        }
        self.file.write_all(line.as_bytes())?;
        self.size += line.len() as u64;
        Ok(())
    }
}

fn rotate(path: &Path) -> io::Result<()> {
    let numbered = |number: u32| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    };
    for number in (1..KEPT).rev() {
        match fs::rename(numbered(number), numbered(number + 1)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            renamed => renamed?,
        }
    }
    fs::rename(path, numbered(1))
}

/// What is known of a request before its answer.
#[derive(Debug)]
pub(super) struct Asked {
    client: IpAddr,
    time: Timestamp,
    method: Method,
    uri: Uri,
    version: Version,
    referer: String,
    user_agent: String,
}

impl Asked {
    pub(super) fn new<B>(
        client: IpAddr,
        time: Timestamp,
        request: &axum::http::Request<B>,
    ) -> Asked {
        Asked {
            client,
            time,
            method: request.method().clone(),
            uri: request.uri().clone(),
            version: request.version(),
            referer: text(request.headers(), &header::REFERER),
            user_agent: text(request.headers(), &header::USER_AGENT),
        }
    }

    /// The line, with status and bytes of the answer.
    pub(super) fn line(&self, status: u16, bytes: u64) -> String {
        let Asked {
            client,
            time,
            method,
            uri,
            version,
            referer,
            user_agent,
        } = self;
        let time = time.to_zoned(TimeZone::UTC);
        let time = time.strftime("%d/%b/%Y:%H:%M:%S %z");
        let uri = escaped(uri.to_string().as_bytes());
        format!(
            "{client} - - [{time}] \"{method} {uri} {version:?}\" {status} {bytes} \"{referer}\" \"{user_agent}\"\n"
        )
    }
}

/// A header's value that can't break out of its quotes or line.
fn text(headers: &HeaderMap, name: &HeaderName) -> String {
    let value = headers.get(name);
    value.map_or("-".into(), |value| escaped(value.as_bytes()))
}

fn escaped(value: &[u8]) -> String {
    let mut text = String::new();
    for &byte in value {
        match byte {
            b'"' | b'\\' => text.extend(['\\', char::from(byte)]),
            b' '..=b'~' => text.push(char::from(byte)),
            _ => write!(text, "\\x{byte:02x}").expect("a String takes every write"),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_is_of_the_combined_format() {
        let request = axum::http::Request::get("/repositories/test/dists/?a=%22b")
            .header("User-Agent", "Debian APT \"x\"\\ \u{e4}")
            .body(())
            .unwrap();
        let time = "2026-11-22T05:57:58Z".parse().unwrap();
        let asked = Asked::new(IpAddr::from([127, 0, 0, 1]), time, &request);
        assert_eq!(
            asked.line(200, 17),
            "127.0.0.1 - - [22/Nov/2026:05:57:58 +0000] \"GET /repositories/test/dists/?a=%22b HTTP/1.1\" \
             200 17 \"-\" \"Debian APT \\\"x\\\"\\\\ \\xc3\\xa4\"\n"
        );
    }

    #[test]
    fn full_log_is_put_aside_and_nine_are_kept() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("access.log");
        for number in 0..12 {
            let mut log = Rotated::open(path.clone()).unwrap();
            log.size = ROTATE_AT;
            log.write(&format!("{number}\n")).unwrap();
        }
        let mut names: Vec<_> = fs::read_dir(place.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names.len(), 10);
        assert_eq!(names[0], "access.log");
        assert_eq!(fs::read_to_string(&path).unwrap(), "11\n");
        let newest = place.path().join("access.log.1");
        assert_eq!(fs::read_to_string(newest).unwrap(), "10\n");
    }
}
