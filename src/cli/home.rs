//! Where the instance lives.
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use clap::{ArgMatches, Args, Command, FromArgMatches};

use crate::home::Home;

/// The option that all commands on an instance have.
#[derive(Args, Clone, Debug, Default)]
#[group(skip)]
pub struct Options {
    /// Directory of the instance.
    ///
    /// Default: $MINI_BUILDD_HOME; else your home directory, if it is an instance itself (as that of the system user
    /// mini-buildd); else mini-buildd in $XDG_DATA_HOME (~/.local/share).
    #[arg(short = 'H', long, value_name = "DIR")]
    pub home: Option<PathBuf>,
}

/// The same of a command with subcommands: it may stand behind these, too.
#[derive(Clone, Debug, Default)]
pub struct OfAll(Options);

/// What clap calls it: under the name of the daemon's own option, it would count as that.
const OF_ALL: &str = "home-of-all";

impl Args for OfAll {
    fn augment_args(command: Command) -> Command {
        let one = Options::augment_args(Command::new(OF_ALL));
        let option = one.get_arguments().cloned();
        command.args(option.map(|option| option.id(OF_ALL).global(true)))
    }
    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for OfAll {
    fn from_arg_matches(matches: &ArgMatches) -> Result<OfAll, clap::Error> {
        let home = matches.get_one(OF_ALL).cloned();
        Ok(OfAll(Options { home }))
    }
    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl OfAll {
    /// See [`Options::own`].
    pub fn own(&self) -> Result<Home, Error> {
        self.0.own()
    }
}

/// Why a command on an instance does not begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error(transparent)]
    Unknown(#[from] Unknown),
    #[error(transparent)]
    Home(#[from] crate::home::Error),
    #[error("{path} holds no instance; make one with: mini-buildd up --home {path}", path = .0.display())]
    NoInstance(PathBuf),
    #[error(
        "{path} belongs to another user; run this as that user: setpriv --reuid={uid} --regid={gid} --clear-groups \
         mini-buildd …",
        path = path.display()
    )]
    OtherUser { path: PathBuf, uid: u32, gid: u32 },
}

/// Nothing tells where the instance is.
#[derive(Debug, thiserror::Error)]
#[error("no home directory is known; name the instance's with --home")]
pub struct Unknown;

impl Options {
    /// Absolute, so that it means the same in every process.
    pub fn home(&self) -> Result<Home, Unknown> {
        let directory = match &self.home {
            Some(directory) => directory.clone(),
            None => default(
                |name| std::env::var_os(name).filter(|value| !value.is_empty()),
                is_instance,
            )?,
        };
        let directory = std::path::absolute(&directory).unwrap_or(directory);
        Ok(Home::new(directory))
    }

    /// The home of an instance that belongs to the caller: the daemon could not read what another user wrote there.
    pub fn own(&self) -> Result<Home, Error> {
        let home = self.home()?;
        home.refuse_stock()?;
        let path = home.root().to_owned();
        match std::fs::metadata(home.database()) {
            Err(_) => Err(Error::NoInstance(path)),
            Ok(owner) if owner.uid() != rustix::process::geteuid().as_raw() => {
                Err(Error::OtherUser {
                    path,
                    uid: owner.uid(),
                    gid: owner.gid(),
                })
            }
            Ok(_) => Ok(home),
        }
    }
}

fn default(
    variable: impl Fn(&str) -> Option<OsString>,
    is_instance: impl Fn(&Path) -> bool,
) -> Result<PathBuf, Unknown> {
    if let Some(home) = variable("MINI_BUILDD_HOME") {
        return Ok(home.into());
    }
    let user = variable("HOME").map(PathBuf::from);
    if let Some(user) = user.as_deref().filter(|user| is_instance(user)) {
        return Ok(user.into());
    }
    let data = variable("XDG_DATA_HOME").map(PathBuf::from);
    let data = data.or_else(|| user.map(|user| user.join(".local/share")));
    data.map(|data| data.join("mini-buildd")).ok_or(Unknown)
}

/// An instance of this program, or of stock's, which is refused later with a word on how to take it over.
fn is_instance(directory: &Path) -> bool {
    let home = Home::new(directory);
    home.database().exists() || home.refuse_stock().is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(variables: &[(&str, &str)], instance: &str) -> Option<PathBuf> {
        let variable = |name: &str| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| OsString::from(value))
        };
        default(variable, |directory| directory == Path::new(instance)).ok()
    }

    #[test]
    fn home_is_the_users_only_if_it_is_an_instance() {
        let user = ("HOME", "/var/lib/mini-buildd");
        assert_eq!(
            with(&[user], "/var/lib/mini-buildd"),
            Some("/var/lib/mini-buildd".into())
        );
        assert_eq!(
            with(&[user], ""),
            Some("/var/lib/mini-buildd/.local/share/mini-buildd".into())
        );
    }

    #[test]
    fn variables_come_first() {
        let user = ("HOME", "/home/u");
        let own = ("MINI_BUILDD_HOME", "/srv/m");
        let data = ("XDG_DATA_HOME", "/data");
        assert_eq!(with(&[user, own, data], "/home/u"), Some("/srv/m".into()));
        assert_eq!(with(&[user, data], ""), Some("/data/mini-buildd".into()));
        assert_eq!(with(&[], ""), None);
    }
}
