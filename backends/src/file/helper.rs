//! Packing and unpacking as root of the user namespace that has the trees' ids, by this program itself.
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Command, exit};

use sandbox::Launcher;

use super::entry::Fault;
use super::{Compression, pack, unpack};

/// First argument of the helper, before its role.
const HELPER: &str = "backends-helper";
/// Packs the tree that is named to standard output.
pub(crate) const PACK: &str = "pack";
/// Unpacks standard input as the tree that is named.
pub(crate) const UNPACK: &str = "unpack";

const BUFFER: usize = 1 << 20;

/// The helper's command line, but for the tree.
pub(super) fn command(launcher: &Launcher, role: &str, compression: Compression) -> Command {
    let mut command = launcher.storage_command(&launcher.helper.to_string_lossy());
    command.args([HELPER, role, compression.as_str()]);
    command
}

/// Runs the helper's part when `arguments` (without the program name) begin with its name.
pub(crate) fn main(arguments: &[OsString]) {
    let [helper, arguments @ ..] = arguments else {
        return;
    };
    if helper != HELPER {
        return;
    }
    let [role, compression, tree] = arguments else {
        exit(2);
    };
    if let Err(error) = run(role, compression, Path::new(tree)) {
        let mut line = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(error) = cause {
            line = format!("{line}: {error}");
            cause = error.source();
        }
        let _ = writeln!(io::stderr(), "{line}");
        exit(1);
    }
    exit(0)
}

fn run(role: &OsStr, compression: &OsStr, tree: &Path) -> Result<(), Fault> {
    let compression: Compression = compression
        .to_string_lossy()
        .parse()
        .map_err(io::Error::other)?;
    // Modes are as in the archive.
    rustix::process::umask(rustix::fs::Mode::empty());
    if role == PACK {
        let to = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        let to = BufWriter::with_capacity(BUFFER, to);
        return compression.write(to, |to| pack::pack(tree, to));
    }
    let from = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut from = compression.reader(BufReader::with_capacity(BUFFER, from))?;
    unpack::unpack(&mut from, tree)?;
    // What is behind the archive is checked with it.
    io::copy(&mut from, &mut io::sink())?;
    Ok(())
}
