//! `mini-buildd events`: what happens at an instance, as it happens.
use std::process::ExitCode;

use clap::Args;
use jiff::{Span, Timestamp, Zoned};

use super::follow::Follower;
use super::{Failure, output};
use crate::deb::Version;
use crate::endpoint::ClientEndpoint;
use crate::model::{Event, EventType};

/// Prints the events of an instance as they happen, as JSON.
///
/// Works with the stock program's instances too. Ends when the connection breaks off for long, or with --exit-on and
/// --fail-on.
#[derive(Args, Debug)]
pub(super) struct Options {
    /// HTTP endpoint of the instance, like http://localhost:8066.
    endpoint: ClientEndpoint,
    /// Begin with what happened after this: a time like 2026-11-22T05:40Z, a span like "2 hours", or epoch.
    #[arg(short = 'A', long, value_name = "WHEN", value_parser = when)]
    after: Option<Timestamp>,
    /// Only these types.
    #[arg(short = 'T', long, value_name = "TYPE", num_args = 1.., value_delimiter = ',')]
    types: Vec<EventType>,
    /// Only of this distribution.
    #[arg(short = 'D', long)]
    distribution: Option<String>,
    /// Only of this source package.
    #[arg(short = 'S', long)]
    source: Option<String>,
    /// Only of this version.
    #[arg(short = 'V', long, value_name = "VERSION")]
    source_version: Option<String>,
    /// Only of this version and higher ones.
    #[arg(short = 'M', long, value_name = "VERSION")]
    minimal_version: Option<Version>,
    /// End with success at an event of these types.
    #[arg(short = 'E', long, value_name = "TYPE", num_args = 1.., value_delimiter = ',')]
    exit_on: Vec<EventType>,
    /// End with failure at an event of these types.
    #[arg(short = 'F', long, value_name = "TYPE", num_args = 1.., value_delimiter = ',')]
    fail_on: Vec<EventType>,
}

/// A time, or how long ago it was.
fn when(text: &str) -> Result<Timestamp, String> {
    if text == "epoch" {
        return Ok(Timestamp::UNIX_EPOCH);
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    let span = text.trim().trim_end_matches("ago").trim();
    let fault = || {
        format!(
            "{text:?} is no time like 2026-11-22T05:40Z, no span like \"2 hours\", and not epoch"
        )
    };
    let span: Span = span.parse().map_err(|_| fault())?;
    let then = Zoned::now().checked_sub(span.abs()).map_err(|_| fault())?;
    Ok(then.timestamp())
}

impl Options {
    fn wants(&self, event: &Event) -> bool {
        let is = |wanted: &Option<String>, actual: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == actual)
        };
        let is_high = |least: &Version| {
            let version = event.version.parse::<Version>();
            version.is_ok_and(|version| version >= *least)
        };
        (self.types.is_empty() || self.types.contains(&event.kind))
            && is(&self.distribution, &event.distribution)
            && is(&self.source, &event.source)
            && is(&self.source_version, &event.version)
            && self.minimal_version.as_ref().is_none_or(is_high)
    }
}

pub(super) fn run(options: &Options) -> Result<ExitCode, Failure> {
    let mut follower = Follower::new(&options.endpoint, options.after)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    loop {
        let event = runtime.block_on(follower.next())?;
        if !options.wants(&event) {
            continue;
        }
        output::write(&format!("{}\n", serde_json::to_string_pretty(&event)?))?;
        if options.fail_on.contains(&event.kind) {
            return Ok(ExitCode::FAILURE);
        }
        if options.exit_on.contains(&event.kind) {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_spans_are_understood() {
        assert_eq!(when("epoch").unwrap(), Timestamp::UNIX_EPOCH);
        let time: Timestamp = "2026-11-22T05:40Z".parse().unwrap();
        assert_eq!(when("2026-11-22T05:40Z").unwrap(), time);
        for text in ["2 hours", "2h ago", "PT2H"] {
            let ago = Timestamp::now() - when(text).unwrap();
            let difference = ago.total(jiff::Unit::Second).unwrap() - 7200.0;
            assert!(difference.abs() < 5.0, "{text}: {difference}");
        }
        assert!(when("yesterday morning").is_err());
    }
}
