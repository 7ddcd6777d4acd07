//! An apt that knows nothing but one repository, and checks dates whatever the host's apt.conf says.
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::repository::{COMPONENTS, DIST, ROLLBACK, Repository, architectures};

pub(crate) struct Apt {
    directory: TempDir,
}

impl Apt {
    pub(crate) fn new(repository: &Repository, uri: &str) -> Apt {
        let apt = Apt {
            directory: tempfile::tempdir().unwrap(),
        };
        for directory in [
            "etc/sources.list.d",
            "etc/apt.conf.d",
            "etc/preferences.d",
            "etc/trusted.gpg.d",
            "state/lists/partial",
            "cache/archives/partial",
            "download",
        ] {
            fs::create_dir_all(apt.path(directory)).unwrap();
        }
        fs::write(apt.path("status"), "").unwrap();
        apt.trust(&repository.key.public_armored());
        let sources = format!(
            "Types: deb deb-src\nURIs: {uri}\nSuites: {DIST} {ROLLBACK}\nComponents: {}\nSigned-By: {}\n",
            COMPONENTS.join(" "),
            apt.path("key.asc").display()
        );
        fs::write(apt.path("etc/sources.list.d/test.sources"), sources).unwrap();
        let root = apt.directory.path().display();
        let [own, _] = architectures();
        let configuration = format!(
            "Dir::Etc \"{root}/etc\";\nDir::Etc::main \"/dev/null\";\nDir::Etc::parts \"{root}/etc/apt.conf.d\";\n\
             Dir::State \"{root}/state\";\nDir::State::status \"{root}/status\";\nDir::Cache \"{root}/cache\";\n\
             APT::Sandbox::User \"root\";\nAPT::Architecture \"{own}\";\nAPT::Architectures {{ \"{own}\"; }};\n\
             Acquire::Check-Valid-Until \"true\";\nAcquire::Check-Date \"true\";\nAcquire::Languages \"en\";\n\
             Acquire::AllowInsecureRepositories \"false\";\nAcquire::Retries \"0\";\n\
             Acquire::http::Proxy \"DIRECT\";\n"
        );
        fs::write(apt.path("apt.conf"), configuration).unwrap();
        apt
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Downloads of the current directory.
    pub(crate) fn downloads(&self) -> PathBuf {
        self.path("download")
    }

    /// Takes an armored key for the one that signs the repository.
    pub(crate) fn trust(&self, key: &str) {
        fs::write(self.path("key.asc"), key).unwrap();
    }

    /// Forgets all indices.
    pub(crate) fn forget(&self) {
        let lists = self.path("state/lists");
        fs::remove_dir_all(&lists).unwrap();
        fs::create_dir_all(lists.join("partial")).unwrap();
    }

    pub(crate) fn command(&self, program: impl AsRef<Path>, arguments: &[&str]) -> Command {
        let mut command = Command::new(program.as_ref());
        command
            .args(arguments)
            .env("APT_CONFIG", self.path("apt.conf"))
            .env("LC_ALL", "C.UTF-8")
            .current_dir(self.downloads());
        command
    }

    /// Runs what must succeed.
    pub(crate) fn run(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.command(program, arguments).output().unwrap();
        assert!(
            output.status.success(),
            "{program} {arguments:?}: {}",
            said(&output)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// Tells what an `apt-get update` complains about; even a warning is a complaint.
    pub(crate) fn try_update(&self, options: &[&str]) -> Result<(), String> {
        let arguments = [&["update", "--error-on=any"], options].concat();
        let output = self.command("apt-get", &arguments).output().unwrap();
        if output.status.success() && output.stderr.is_empty() {
            return Ok(());
        }
        Err(said(&output))
    }

    pub(crate) fn update(&self) {
        self.try_update(&[]).unwrap();
    }

    pub(crate) fn policy(&self, package: &str) -> String {
        self.run("apt-cache", &["policy", package])
    }
}

fn said(output: &Output) -> String {
    let text = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    text.concat()
}
