//! The command line: one file a command.
//!
//! Reading order: this file takes the command line apart; [`daemon`] is what runs without a subcommand; [`home`],
//! [`log`], `backend` and `configured` are options that commands share.
mod admin;
mod api;
mod archive;
mod backend;
mod bootstrap_apt;
mod completion;
mod configured;
mod confirm;
pub mod daemon;
mod demo;
pub mod doctor;
mod documents;
mod dput;
mod events;
mod follow;
pub mod home;
mod internals;
mod item;
mod key;
mod layout;
pub mod log;
mod login;
mod man;
mod memory;
mod output;
mod password;
mod preflight;
mod progress;
mod remove;
mod repository;
mod self_signed_certificate;
mod setup;
mod supervise;
mod up;
mod user;

use std::error::Error;
use std::ffi::OsString;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{
    Arg, ArgAction, ArgMatches, Args as _, CommandFactory, FromArgMatches, Parser, Subcommand,
};

use crate::cause::with_causes;

/// Build daemon and apt repository for Debian packagers.
///
/// Without a command, runs the daemon in the foreground until SIGTERM, SIGINT or SIGHUP.
#[derive(Debug, Parser)]
#[command(name = "mini-buildd", version, disable_help_subcommand = true)]
struct CommandLine {
    #[command(flatten)]
    daemon: daemon::Options,
    #[command(flatten)]
    log: log::Options,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Options),
    Up(up::Options),
    Doctor(doctor::Options),
    Repository(repository::Options),
    Layout(layout::Options),
    Item(item::Options),
    Setup(setup::Options),
    SelfSignedCertificate(self_signed_certificate::Options),
    User(user::Options),
    Remove(remove::Options),
    Key(key::Options),
    Api(api::Options),
    Dput(dput::Options),
    Events(events::Options),
    Archive(archive::Options),
    BootstrapApt(bootstrap_apt::Options),
    Internals(internals::Options),
    Completion(completion::Options),
    Man(man::Options),
    #[command(hide = true)]
    Documents(documents::Options),
    #[command(hide = true)]
    Supervise(supervise::Options),
}

/// What ends a command before its time.
type Failure = Box<dyn Error + Send + Sync>;

/// Runs what the arguments (the program's name first) ask for.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = by_name(arguments.into_iter().collect());
    let line = match parse(arguments) {
        Ok(line) => line,
        Err(usage) => usage.exit(),
    };
    line.log.start();
    let ended = match line.command {
        None => daemon::run(&line.daemon).map(|()| ExitCode::SUCCESS),
        Some(Command::Doctor(options)) => doctor::run(&options),
        Some(Command::Dput(options)) => dput::run(&options),
        Some(Command::Events(options)) => events::run(&options),
        Some(Command::Api(options)) => api::run(&options),
        Some(Command::Archive(options)) => archive::run(&options),
        Some(Command::BootstrapApt(options)) => bootstrap_apt::run(&options),
        Some(Command::Completion(options)) => completion::run(&options, &command()),
        Some(Command::Demo(options)) => demo::run(&options),
        Some(Command::Internals(options)) => internals::run(&options),
        Some(Command::Item(options)) => item::run(&options),
        Some(Command::Key(options)) => key::run(&options),
        Some(Command::Layout(options)) => layout::run(&options),
        Some(Command::Man(options)) => man::run(&options, command()),
        Some(Command::Documents(options)) => documents::run(&options),
        Some(Command::Remove(options)) => remove::run(&options),
        Some(Command::Repository(options)) => repository::run(&options),
        Some(Command::SelfSignedCertificate(options)) => self_signed_certificate::run(&options),
        Some(Command::Setup(options)) => setup::run(&options),
        Some(Command::Supervise(options)) => Ok(supervise::run(&options)),
        Some(Command::Up(options)) => up::run(&options),
        Some(Command::User(options)) => user::run(&options),
    };
    ended.unwrap_or_else(|failure| {
        // Nobody is left to be told that standard error can't be written.
        let _ = writeln!(
            std::io::stderr(),
            "error: {}",
            with_causes(failure.as_ref())
        );
        ExitCode::FAILURE
    })
}

/// Commands that stock has as programs of their own, which say what they are; some have another `-V`.
const PROGRAMS: [&str; 5] = ["api", "bootstrap-apt", "dput", "events", "internals"];

fn command() -> clap::Command {
    PROGRAMS
        .iter()
        .fold(CommandLine::command(), |line, program| {
            line.mut_subcommand(program, with_version)
        })
}

fn with_version(command: clap::Command) -> clap::Command {
    let version = Arg::new("version").long("version");
    let version = version.action(ArgAction::Version).help("Print the version");
    command
        .version(env!("CARGO_PKG_VERSION"))
        .disable_version_flag(true)
        .arg(version)
}

/// Takes the daemon's own options only where no command follows.
fn parse(arguments: Vec<OsString>) -> Result<CommandLine, clap::Error> {
    let mut command = command();
    let matches = command.try_get_matches_from_mut(arguments)?;
    if let Some(name) = matches.subcommand_name()
        && let Some(option) = given_daemon_option(&matches)
    {
        let said = format!("--{option} goes behind the command: mini-buildd {name} --{option} …");
        return Err(command.error(ErrorKind::ArgumentConflict, said));
    }
    CommandLine::from_arg_matches(&matches)
}

fn given_daemon_option(matches: &ArgMatches) -> Option<String> {
    let options = daemon::Options::augment_args(clap::Command::new("daemon"));
    let given = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
    options
        .get_arguments()
        .filter(|option| given(option.get_id().as_str()))
        .find_map(|option| option.get_long().map(str::to_owned))
}

/// Takes stock's other program names as commands: a link `mini-buildd-api` is `mini-buildd api`.
fn by_name(mut arguments: Vec<OsString>) -> Vec<OsString> {
    let program = arguments.first().map(Path::new).and_then(Path::file_name);
    let named = program
        .and_then(|program| program.to_str()?.strip_prefix("mini-buildd-"))
        .map(OsString::from);
    if let Some(name) = named
        && command()
            .get_subcommands()
            .any(|known| *known.get_name() == *name)
    {
        arguments[0] = "mini-buildd".into();
        arguments.insert(1, name);
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    #[test]
    fn command_line_is_well_formed() {
        command().debug_assert();
    }

    #[test]
    fn log_level_may_stand_anywhere_and_options_of_the_daemon_may_not() {
        for line in [
            ["mini-buildd", "-l", "DEBUG", "doctor"],
            ["mini-buildd", "doctor", "-l", "DEBUG"],
        ] {
            assert_eq!(parse(words(&line)).unwrap().log.levels.len(), 1);
        }
        let refused = parse(words(&["mini-buildd", "--home", "/x", "up"])).unwrap_err();
        assert!(
            refused.to_string().contains("mini-buildd up --home"),
            "{refused}"
        );
        assert!(parse(words(&["mini-buildd", "--home", "/x"])).is_ok());
    }

    #[test]
    fn home_stands_before_and_behind_subcommands() {
        for line in [
            ["mini-buildd", "user", "--home", "/x", "list"],
            ["mini-buildd", "user", "list", "--home", "/x"],
            ["mini-buildd", "archive", "ls", "--home=/x", "hello"],
        ] {
            assert!(parse(words(&line)).is_ok(), "{line:?}");
        }
    }

    #[test]
    fn malformed_identity_is_refused_before_anything_is_made() {
        let refused = parse(words(&["mini-buildd", "up", "--identity", "a b"])).unwrap_err();
        assert!(refused.to_string().contains("[a-zA-Z0-9-]+"), "{refused}");
    }

    #[test]
    fn link_runs_the_command_of_its_name() {
        assert_eq!(
            by_name(words(&["/usr/bin/mini-buildd-api", "--json", "status"])),
            words(&["mini-buildd", "api", "--json", "status"])
        );
        for unchanged in [["mini-buildd", "doctor"], ["mini-buildd-nothing", "x"]] {
            assert_eq!(by_name(words(&unchanged)), words(&unchanged));
        }
    }
}
