//! What is logged, and how a line looks: as stock's, `L: message [logger(file:line)]`.
use std::env::VarError;
use std::fmt::{self, Write as _};
use std::io;
use std::os::fd::AsFd;
use std::str::FromStr;

use clap::Args;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::cause::with_causes;

/// The option that all commands have.
#[derive(Args, Clone, Debug, Default)]
#[group(skip)]
pub struct Options {
    /// What to log: LEVEL, or MODULE.LEVEL for a part of the program; may be repeated.
    ///
    /// Levels are DEBUG, INFO, WARNING, ERROR, CRITICAL. Default: WARNING and mini_buildd.INFO.
    #[arg(short, long = "log-level", value_name = "LEVEL", global = true)]
    pub levels: Vec<Threshold>,
}

/// Least important level that is logged, of all or of one module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Threshold {
    module: Option<String>,
    level: LevelFilter,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is none of DEBUG, INFO, WARNING, ERROR, CRITICAL")]
pub struct UnknownLevel(String);

impl FromStr for Threshold {
    type Err = UnknownLevel;

    fn from_str(text: &str) -> Result<Threshold, UnknownLevel> {
        let (module, level) = match text.rsplit_once('.') {
            Some((module, level)) => (Some(module.replace('.', "::")), level),
            None => (None, text),
        };
        let level = match level.to_ascii_uppercase().as_str() {
            "DEBUG" => LevelFilter::DEBUG,
            "INFO" => LevelFilter::INFO,
            "WARNING" => LevelFilter::WARN,
            "ERROR" | "CRITICAL" => LevelFilter::ERROR,
            _ => return Err(UnknownLevel(level.to_owned())),
        };
        Ok(Threshold { module, level })
    }
}

impl Options {
    /// Logs to standard error from here on.
    pub fn start(&self) {
        let lines = tracing_subscriber::fmt::layer()
            .with_writer(io::stderr)
            .event_format(Line {
                has_priority: is_journal(std::env::var("JOURNAL_STREAM"), io::stderr()),
            });
        // Fails only if something logs already, as in tests.
        let _ = tracing_subscriber::registry()
            .with(targets(&self.levels))
            .with(lines)
            .try_init();
    }
}

/// Tells whether journald reads `stderr`: `$JOURNAL_STREAM` is its device and inode then (systemd.exec(5)).
fn is_journal(journal_stream: Result<String, VarError>, stderr: impl AsFd) -> bool {
    let found = rustix::fs::fstat(stderr);
    let found = found.map(|found| format!("{}:{}", found.st_dev, found.st_ino));
    matches!((journal_stream, found), (Ok(named), Ok(found)) if named == found)
}

fn targets(thresholds: &[Threshold]) -> Targets {
    let ours = ["mini_buildd", "backends", "sandbox"];
    let targets = Targets::new().with_default(LevelFilter::WARN);
    let targets = targets.with_targets(ours.map(|ours| (ours, LevelFilter::INFO)));
    thresholds
        .iter()
        .fold(targets, |targets, threshold| match &threshold.module {
            Some(module) => targets.with_target(module.clone(), threshold.level),
            None => targets
                .with_default(threshold.level)
                .with_targets(ours.map(|ours| (ours, threshold.level))),
        })
}

struct Line {
    /// Begins with systemd's `<N>` (sd-daemon(3)).
    has_priority: bool,
}

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        let (letter, priority) = match *metadata.level() {
            Level::ERROR => ('E', 3),
            Level::WARN => ('W', 4),
            Level::INFO => ('I', 6),
            Level::DEBUG | Level::TRACE => ('D', 7),
        };
        if self.has_priority {
            write!(writer, "<{priority}>")?;
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        writeln!(
            writer,
            "{letter}: {}{} [{}({}:{})]",
            fields.message,
            fields.others,
            metadata.target().replace("::", "."),
            metadata.file().unwrap_or("?"),
            metadata.line().unwrap_or_default()
        )
    }
}

/// Text of an event; control characters are escaped, for names of strangers are in it.
#[derive(Default)]
struct Fields {
    message: String,
    others: String,
}

impl Fields {
    fn add(&mut self, field: &Field, text: &str) {
        let text: String = text.chars().fold(String::new(), |mut text, character| {
            if character.is_control() {
                text.extend(character.escape_default());
            } else {
                text.push(character);
            }
            text
        });
        if field.name() == "message" {
            self.message = text;
        } else {
            write!(self.others, " {}={text}", field.name()).expect("a String takes every write");
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value);
    }
    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.add(field, &with_causes(value));
    }
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, &format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_logged(thresholds: &[&str], module: &str, level: Level) -> bool {
        let thresholds: Vec<_> = thresholds
            .iter()
            .map(|text| text.parse().unwrap())
            .collect();
        targets(&thresholds).would_enable(module, &level)
    }

    #[test]
    fn our_own_modules_tell_more() {
        assert!(is_logged(&[], "mini_buildd::http", Level::INFO));
        assert!(!is_logged(&[], "mini_buildd::http", Level::DEBUG));
        assert!(!is_logged(&[], "hyper", Level::INFO));
        assert!(is_logged(&[], "hyper", Level::WARN));
    }

    #[test]
    fn only_what_journald_reads_has_priorities() {
        let (_journal, stderr) = io::pipe().unwrap();
        let (_terminal, other) = io::pipe().unwrap();
        let found = rustix::fs::fstat(&stderr).unwrap();
        let named = || Ok(format!("{}:{}", found.st_dev, found.st_ino));
        assert!(is_journal(named(), &stderr));
        assert!(!is_journal(named(), &other));
        assert!(!is_journal(Err(VarError::NotPresent), &stderr));
    }

    #[test]
    fn levels_are_pythons_and_modules_have_dots() {
        assert!(is_logged(&["DEBUG"], "hyper", Level::DEBUG));
        assert!(is_logged(
            &["mini_buildd.http.DEBUG"],
            "mini_buildd::http::server",
            Level::DEBUG
        ));
        assert!(!is_logged(
            &["mini_buildd.http.DEBUG"],
            "mini_buildd::cli",
            Level::DEBUG
        ));
        assert!(!is_logged(&["warning"], "mini_buildd::cli", Level::INFO));
        assert!("LOUD".parse::<Threshold>().is_err());
    }
}
