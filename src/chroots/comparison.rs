//! What is other in one source package than in another; both are unpacked in a throw-away session only.
use std::path::PathBuf;

use sandbox::Network;

use super::tree::{Owner, Tree};
use super::{Chroots, Error, process};
use crate::model::Chroot;

/// Of the difference; more is cut off.
const OUTPUT: u64 = 16 << 20;
const DIRECTORY: &str = "/compare";
/// Seconds for all of it.
const TIME: &str = "300";
/// diff(1) ends with 1 where there are differences.
const SCRIPT: &str = "set -e\n\
    dpkg-source --no-check -x \"a/$1\" \"$2\" >&2\n\
    dpkg-source --no-check -x \"b/$3\" \"$4\" >&2\n\
    diff -Nru \"$2\" \"$4\" || [ $? -eq 1 ]\n";

/// A source package on this host.
#[derive(Clone, Debug)]
pub struct SourceFiles {
    /// Name of its directory in the difference.
    pub title: String,
    /// Its .dsc first.
    pub files: Vec<PathBuf>,
}

impl Chroots {
    /// Unified differences, as `diff -Nru` writes them.
    pub fn compare(&self, chroot: &Chroot, [old, new]: [&SourceFiles; 2]) -> Result<String, Error> {
        let backend = self.backend(chroot);
        let session = self.begin(chroot, backend.as_ref(), None, Network::None)?;
        let mut tree = Tree::default();
        tree.directory(DIRECTORY, Owner::BuildUser);
        for (side, package) in [("a", old), ("b", new)] {
            tree.directory(&format!("{DIRECTORY}/{side}"), Owner::BuildUser);
            for file in &package.files {
                let name = file.file_name().unwrap_or_default().to_string_lossy();
                let path = format!("{DIRECTORY}/{side}/{name}");
                tree.file(&path, Owner::BuildUser, file);
            }
        }
        session.unpack(&tree)?;
        let [old_dsc, new_dsc] = [old, new].map(|package| {
            let dsc = package.files.first().and_then(|file| file.file_name());
            dsc.unwrap_or_default().to_string_lossy().into_owned()
        });
        let new_title = if old.title == new.title {
            format!("{}.new", new.title)
        } else {
            new.title.clone()
        };
        let words = [
            "timeout", TIME, "sh", "-c", SCRIPT, "compare", &old_dsc, &old.title, &new_dsc,
            &new_title,
        ];
        let process = process::of_build_user(&words, DIRECTORY.as_ref(), &[("TZ", "UTC")]);
        let (exit, output) = session.output(&process, None, OUTPUT)?;
        session.close()?;
        if exit.success() || output.len() as u64 >= OUTPUT {
            return Ok(output);
        }
        Err(Error::Failed {
            command: "dpkg-source or diff".to_owned(),
            exit,
            said: output,
        })
    }
}
