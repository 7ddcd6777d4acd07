//! A session in a root file system, from its beginning to what becomes of its changes.
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::Path;

use backends::{Access, LayerKey, Rootfs};
use sandbox::{Ending, Exit, Network, Process, Running, Stdio};

use super::tree::Tree;
use super::{Error, process};

/// Most of an error message that is carried into an error of ours.
const SAID: usize = 4096;

/// Namespaces and mounts on a root file system; dropped, all in it ends and its changes go away.
pub struct Session {
    // Declared first: dropped before the root file system it runs in.
    namespaces: sandbox::Session,
    rootfs: Box<dyn Rootfs>,
    access: Access,
    outside: Network,
}

impl Session {
    pub(super) fn new(
        namespaces: sandbox::Session,
        rootfs: Box<dyn Rootfs>,
        access: Access,
        outside: Network,
    ) -> Session {
        Session {
            namespaces,
            rootfs,
            access,
            outside,
        }
    }

    /// The network that its processes can have beside none.
    pub fn outside(&self) -> Network {
        self.outside
    }

    /// Where its changes go, on the host.
    pub fn directory(&self) -> &Path {
        let path = self.rootfs.path();
        path.parent().unwrap_or(path)
    }

    /// For who looks after the session from another thread.
    pub fn watch(&self) -> sandbox::Watch {
        self.namespaces.watch()
    }

    /// Its limits, and what holds it to them.
    pub fn in_force(&self) -> sandbox::InForce {
        self.namespaces.in_force()
    }

    pub fn start(&self, process: &Process, stdio: Stdio) -> Result<Running, Error> {
        self.namespaces
            .run(process, stdio)
            .map_err(failed_to_run(process))
    }

    /// Runs to the end.
    pub fn run(&self, process: &Process, stdio: Stdio) -> Result<Exit, Error> {
        self.wait(process, self.start(process, stdio)?)
    }

    /// Waits for the end of what was started.
    pub fn wait(&self, process: &Process, running: Running) -> Result<Exit, Error> {
        running.wait().map_err(failed_to_run(process))
    }

    /// Runs to the end and returns what it wrote, at most `limit` bytes of it.
    pub fn output(
        &self,
        process: &Process,
        stderr: Option<OwnedFd>,
        limit: u64,
    ) -> Result<(Exit, String), Error> {
        let (reader, writer) = std::io::pipe().map_err(Error::Pipe)?;
        let stdio = Stdio {
            stdin: None,
            stdout: Some(writer.into()),
            stderr,
        };
        let running = self.start(process, stdio)?;
        let mut output = Vec::new();
        reader
            .take(limit)
            .read_to_end(&mut output)
            .map_err(Error::Pipe)?;
        let exit = running.wait().map_err(failed_to_run(process))?;
        Ok((exit, String::from_utf8_lossy(&output).into_owned()))
    }

    /// Runs to the end; anything but success is an error that carries what it said.
    pub fn succeed(&self, process: &Process) -> Result<String, Error> {
        let (reader, writer) = std::io::pipe().map_err(Error::Pipe)?;
        let said = std::thread::spawn(move || last_words(reader));
        let (exit, output) = self.output(process, Some(writer.into()), 1 << 20)?;
        if exit.success() {
            return Ok(output);
        }
        Err(Error::Failed {
            command: process.args.join(" "),
            exit,
            said: said.join().unwrap_or_default(),
        })
    }

    /// Writes files below the session's root.
    pub fn unpack(&self, tree: &Tree) -> Result<(), Error> {
        if tree.is_empty() {
            return Ok(());
        }
        let args = [
            "tar",
            "--extract",
            "--file=-",
            "--directory=/",
            "--numeric-owner",
            "--same-owner",
            "--same-permissions",
            "--keep-directory-symlink",
        ];
        let process = process::of_root(&args, Network::None);
        let (reader, writer) = std::io::pipe().map_err(Error::Pipe)?;
        let stdio = Stdio {
            stdin: Some(reader.into()),
            ..Stdio::default()
        };
        let running = self.start(&process, stdio)?;
        let written = tree.write(writer);
        let exit = running.wait().map_err(failed_to_run(&process))?;
        if !exit.success() {
            return Err(Error::Failed {
                command: "tar".to_owned(),
                exit,
                said: String::new(),
            });
        }
        written.map_err(Error::Unpack)
    }

    /// Opens a regular file for reading; links are not followed.
    pub fn open(&self, path: &Path) -> Result<File, Error> {
        self.namespaces.open(path).map_err(|source| Error::Open {
            path: path.to_owned(),
            source,
        })
    }

    /// Ends the session and makes its changes a layer.
    pub fn freeze(self, layer: &LayerKey) -> Result<(), Error> {
        self.namespaces.end().map_err(Error::End)?;
        self.rootfs.freeze(layer).map_err(|source| Error::Rootfs {
            action: "freeze",
            source,
        })
    }

    /// Ends the session; a snapshot's changes go away.
    pub fn close(self) -> Result<Option<Ending>, Error> {
        let ending = match self.access {
            Access::Source => self.namespaces.end().map(|()| None),
            // Nobody uses what it leaves.
            Access::Snapshot => self.namespaces.stop().map(Some),
        };
        let ending = ending.map_err(Error::End)?;
        self.rootfs.close().map_err(|source| Error::Rootfs {
            action: "close",
            source,
        })?;
        Ok(ending)
    }
}

/// Reads to the end; the last of it is what tells.
fn last_words(mut reader: impl Read) -> String {
    let mut said = Vec::new();
    let mut buffer = [0; SAID];
    while let Ok(count @ 1..) = reader.read(&mut buffer) {
        said.extend_from_slice(&buffer[..count]);
        said.drain(..said.len().saturating_sub(SAID));
    }
    String::from_utf8_lossy(&said).trim().to_owned()
}

fn failed_to_run(process: &Process) -> impl FnOnce(sandbox::Error) -> Error {
    let command = process.args.first().cloned().unwrap_or_default();
    move |source| Error::Run { command, source }
}
