//! Files of one connection, complete ones only.
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions, Permissions};
use std::future::Future;
use std::io::{self, ErrorKind};
use std::mem;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

use super::{Door, Limits};
use crate::deb::FileName;

/// Name of the file that is being received; no file name of an upload begins with a dot.
const PARTIAL: &str = ".partial";
const BUFFER: usize = 256 * 1024;
/// What of a refused file is read on, so that the client gets to our answer.
const DISCARDED: Duration = Duration::from_secs(10);

pub(super) struct Staging {
    directory: Arc<Directory>,
    files: BTreeMap<FileName, Received>,
}

/// Given back to the door when the session and all that still works for it are done.
struct Directory {
    door: Arc<dyn Door>,
    path: PathBuf,
}

impl Drop for Directory {
    fn drop(&mut self) {
        self.door.closed(mem::take(&mut self.path));
    }
}

struct Received {
    size: u64,
    at: Timestamp,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("longer than {0} bytes")]
    TooLong(u64),
    #[error("no space left")]
    Full(#[source] io::Error),
    #[error("can't keep the file")]
    Keep(#[source] io::Error),
    #[error("data connection broke")]
    Broke(#[source] io::Error),
    #[error("data connection was silent for {} s", .0.as_secs())]
    Silent(Duration),
    #[error("transfer ended: {0}")]
    Ended(&'static str),
    #[error("can't take the upload: {0}")]
    Refused(Box<dyn std::error::Error + Send + Sync>),
}

impl Staging {
    pub(super) async fn open(door: Arc<dyn Door>) -> io::Result<Staging> {
        let open = move || {
            let path = door.staging()?;
            Ok::<_, io::Error>(Directory { door, path })
        };
        Ok(Staging {
            directory: Arc::new(blocking(open).await??),
            files: BTreeMap::new(),
        })
    }

    pub(super) fn contains(&self, name: &FileName) -> bool {
        self.files.contains_key(name)
    }

    pub(super) fn count(&self) -> usize {
        self.files.len()
    }

    pub(super) fn size(&self, name: &FileName) -> Option<u64> {
        Some(self.files.get(name)?.size)
    }

    /// The files as ls tells them, or just their names.
    pub(super) fn list(&self, names_only: bool) -> String {
        let line = |(name, received): (&FileName, &Received)| {
            if names_only {
                return format!("{name}\r\n");
            }
            let (size, time) = (received.size, received.at.strftime("%b %e %H:%M"));
            format!("-r--r----- 1 ftp ftp {size:>12} {time} {name}\r\n")
        };
        self.files.iter().map(line).collect()
    }

    /// Keeps a new file under its name once all of it is on disk; a .changes is told to the door, too.
    ///
    /// It leaves nothing when `interruption` comes first.
    pub(super) async fn receive(
        &mut self,
        name: FileName,
        data: &mut (impl AsyncRead + Unpin),
        limits: &Limits,
        interruption: impl Future<Output = &'static str>,
    ) -> Result<u64, Fault> {
        let directory = self.directory.clone();
        let (partial, file) = blocking(move || Partial::create(directory))
            .await
            .and_then(|created| created)
            .map_err(keep)?;
        let filled = tokio::select! {
            // A client that is gone ended both connections: then the end of its data is no end of a file.
            biased;
            reason = interruption => Err(Fault::Ended(reason)),
            filled = fill(File::from_std(file), data, limits) => filled,
        };
        let size = match filled {
            Err(fault @ (Fault::TooLong(_) | Fault::Full(_) | Fault::Keep(_))) => {
                discard(data).await;
                return Err(fault);
            }
            filled => filled?,
        };
        let keep = move || partial.keep(&name).map(|()| name);
        let name = blocking(keep).await.map_err(Fault::Keep)??;
        let at = Timestamp::now();
        self.files.insert(name, Received { size, at });
        Ok(size)
    }
}

/// The file that is being received; it goes away unless it was renamed.
struct Partial {
    directory: Arc<Directory>,
    path: PathBuf,
}

impl Drop for Partial {
    fn drop(&mut self) {
        // Missing after the rename, and nobody left to tell otherwise.
        let _ = fs::remove_file(&self.path);
    }
}

impl Partial {
    fn create(directory: Arc<Directory>) -> io::Result<(Partial, fs::File)> {
        let path = directory.path.join(PARTIAL);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        Ok((Partial { directory, path }, file))
    }

    fn keep(&self, name: &FileName) -> Result<(), Fault> {
        let Directory { door, path } = &*self.directory;
        let file = path.join(name.as_str());
        fs::rename(&self.path, &file).map_err(keep)?;
        let told = fs::File::open(path)
            .and_then(|directory| directory.sync_all())
            .map_err(keep)
            .and_then(|()| {
                if name.as_str().ends_with(".changes") {
                    return door.received(path, name).map_err(Fault::Refused);
                }
                Ok(())
            });
        if told.is_err() {
            fs::remove_file(&file).map_err(Fault::Keep)?;
        }
        told
    }
}

/// Writes the data to disk, up to their end.
async fn fill(
    mut file: File,
    data: &mut (impl AsyncRead + Unpin),
    limits: &Limits,
) -> Result<u64, Fault> {
    let mut size = 0;
    let mut buffer = vec![0; BUFFER];
    loop {
        let length = tokio::time::timeout(limits.idle, data.read(&mut buffer))
            .await
            .map_err(|_| Fault::Silent(limits.idle))?
            .map_err(Fault::Broke)?;
        if length == 0 {
            break;
        }
        size += length as u64;
        if size > limits.file_size {
            return Err(Fault::TooLong(limits.file_size));
        }
        file.write_all(&buffer[..length]).await.map_err(keep)?;
    }
    finish(file).await.map_err(keep)?;
    Ok(size)
}

async fn finish(mut file: File) -> io::Result<()> {
    file.flush().await?;
    file.set_permissions(Permissions::from_mode(0o440)).await?;
    file.sync_all().await
}

fn keep(fault: io::Error) -> Fault {
    match fault.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Fault::Full(fault),
        _ => Fault::Keep(fault),
    }
}

async fn discard(data: &mut (impl AsyncRead + Unpin)) {
    let mut nowhere = tokio::io::sink();
    // Whether the client ends or not, it has been given the time.
    let _ = tokio::time::timeout(DISCARDED, tokio::io::copy(data, &mut nowhere)).await;
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)
}
