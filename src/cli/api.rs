//! `mini-buildd api CALL ENDPOINT …`, made from the declarations of the calls.
use std::io::{IsTerminal as _, stdin};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::api::argument::{Default, Kind};
use crate::api::{self, CALLS, Call, Spec};
use crate::endpoint::{ClientEndpoint, Scheme};
use crate::fetch::{self, Answer, Question};

use super::confirm::is_confirmed;
use super::login::{self, Credentials};
use super::{Failure, output};

/// Options of stock's program that scripts may bring.
const STOCKS: [(&str, &str); 2] = [
    (
        "script-mode",
        "Does nothing: without a terminal nothing is asked anyway",
    ),
    (
        "auto-save-passwords",
        "Does nothing: passwords are never kept; a token may be, in a file (--token-file)",
    ),
];

/// Largest answer that is taken.
const LIMIT: usize = 256 * 1024 * 1024;
const TIME: Duration = Duration::from_secs(600);

/// A call as it was asked for.
#[derive(Debug)]
pub(super) struct Options {
    call: &'static Call,
    endpoint: ClientEndpoint,
    /// Arguments that were given.
    query: Vec<(&'static str, String)>,
    json: bool,
    /// Confirms calls that need it.
    auto_confirm: bool,
    credentials: Credentials,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("{url}: {detail}")]
    Refused { url: String, detail: String },
    #[error("{endpoint}: calls are made by http or https")]
    Scheme { endpoint: ClientEndpoint },
    #[error("nothing was changed")]
    Unconfirmed,
    #[error("{0}; is the daemon running? Start it with: mini-buildd --home DIR")]
    NotRunning(fetch::Error),
    #[error("can't start")]
    Start(#[source] std::io::Error),
}

pub(super) fn run(options: &Options) -> Result<ExitCode, Failure> {
    let call = options.call;
    let mut url = options.url()?;
    if call.confirm {
        if options.auto_confirm || is_confirmed(&options.question()) {
            url = format!("{url}&confirm={}", call.name);
        } else if stdin().is_terminal() {
            return Err(Error::Unconfirmed.into());
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::Start)?;
    let answer = runtime.block_on(ask(options, &url))?;
    if answer.status != 200 {
        let mut detail =
            detail(&answer.body).unwrap_or_else(|| format!("answered {}", answer.status));
        match answer.status {
            400 if call.confirm && !url.contains("&confirm=") => {
                detail += "; to confirm it without being asked, add --auto-confirm";
            }
            401 if options.endpoint.user.is_none() => {
                detail += "; to log in: http://USER@HOST:PORT";
            }
            _ => {}
        }
        return Err(Error::Refused { url, detail }.into());
    }
    let mut text = String::from_utf8_lossy(&answer.body).into_owned();
    if !text.ends_with('\n') {
        text.push('\n');
    }
    output::write(&text)?;
    Ok(ExitCode::SUCCESS)
}

async fn ask(options: &Options, url: &str) -> Result<Answer, Failure> {
    let client = fetch::Client::new();
    let asked = async {
        let headers = options
            .credentials
            .headers(&client, &options.endpoint)
            .await?;
        let question = Question {
            url,
            headers: &headers,
            form: None,
        };
        Ok::<_, login::Error>(client.ask(&question, LIMIT, TIME).await?)
    };
    asked.await.map_err(|error| match error {
        login::Error::Fetch(error @ fetch::Error::Unconnected { .. }) => {
            Error::NotRunning(error).into()
        }
        other => other.into(),
    })
}

/// What an `application/problem+json` object says.
fn detail(body: &[u8]) -> Option<String> {
    let problem: Value = serde_json::from_slice(body).ok()?;
    Some(problem.get("detail")?.as_str()?.to_owned())
}

impl Options {
    /// `Really migrate hello trixie-test-unstable?`
    fn question(&self) -> String {
        let given = self.query.iter().map(|(_, value)| format!(" {value}"));
        format!("Really {}{}?", self.call.name, given.collect::<String>())
    }

    fn url(&self) -> Result<String, Error> {
        let endpoint = &self.endpoint;
        if !matches!(endpoint.scheme, Scheme::Http | Scheme::Https) {
            let endpoint = endpoint.clone();
            return Err(Error::Scheme { endpoint });
        }
        let form = if self.json { "json" } else { "plain" };
        let mut query = format!("output={form}");
        for (key, value) in &self.query {
            let value = utf8_percent_encode(value, NON_ALPHANUMERIC);
            query = format!("{query}&{key}={value}");
        }
        Ok(format!(
            "{}/mini_buildd/api/{}/?{query}",
            endpoint.url(),
            self.call.name
        ))
    }
}

impl Args for Options {
    fn augment_args(command: Command) -> Command {
        command
            .about("Asks an instance for something")
            .subcommand_required(true)
            .arg_required_else_help(true)
            .disable_help_subcommand(true)
            .arg(
                Arg::new("json")
                    .short('J')
                    .long("json")
                    .global(true)
                    .action(ArgAction::SetTrue)
                    .help("Print the result as JSON in one line, not as text"),
            )
            .arg(
                Arg::new("auto-confirm")
                    .long("auto-confirm")
                    .global(true)
                    .action(ArgAction::SetTrue)
                    .help("Confirm what needs to be confirmed"),
            )
            .args(STOCKS.map(|(name, help)| {
                let option = Arg::new(name).long(name).global(true).hide(true);
                option.action(ArgAction::SetTrue).help(help)
            }))
            .args(Credentials::arguments())
            .subcommands(CALLS.iter().map(subcommand))
    }
    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Options {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Options, clap::Error> {
        let missing = || clap::Error::new(clap::error::ErrorKind::MissingSubcommand);
        let (name, given) = matches.subcommand().ok_or_else(missing)?;
        let call = api::find(name).ok_or_else(missing)?;
        let endpoint = given
            .get_one::<ClientEndpoint>("ENDPOINT")
            .ok_or_else(missing)?;
        Ok(Options {
            call,
            endpoint: endpoint.clone(),
            query: call
                .arguments
                .iter()
                .filter_map(|spec| Some((spec.name, value(spec, given)?)))
                .collect(),
            json: matches.get_flag("json"),
            auto_confirm: matches.get_flag("auto-confirm"),
            credentials: Credentials::of(matches),
        })
    }
    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn subcommand(call: &Call) -> Command {
    let endpoint = Arg::new("ENDPOINT")
        .required(true)
        .value_parser(|text: &str| text.parse::<ClientEndpoint>())
        .help("HTTP endpoint of the instance, like http://localhost:8066, or http://USER@HOST:8066 to log in");
    Command::new(call.name)
        .about(call.summary())
        .long_about(call.doc)
        .arg(endpoint)
        .args(call.arguments.iter().map(argument))
}

fn argument(spec: &Spec) -> Arg {
    let argument = Arg::new(spec.name).help(spec.doc);
    let argument = match (spec.short, spec.default) {
        (Some(short), default) => argument
            .short(short)
            .long(spec.long())
            .required(default == Default::Required),
        (None, Default::Required) => argument.required(true),
        (None, Default::Optional) => argument,
        (None, _) => argument.long(spec.long()),
    };
    let argument = match spec.kind {
        Kind::Boolean => return argument.action(ArgAction::SetTrue),
        Kind::Integer => argument
            .value_parser(clap::value_parser!(i64))
            .allow_negative_numbers(true)
            .value_name("NUMBER"),
        Kind::Text => argument.value_name(spec.name.to_uppercase()),
        // Keys and signed messages begin with dashes.
        Kind::Lines => argument
            .value_name(spec.name.to_uppercase())
            .allow_hyphen_values(true),
        // Stock takes blanks between them, queries commas.
        Kind::List => argument
            .value_name(spec.name.to_uppercase())
            .num_args(1..)
            .value_delimiter(','),
    };
    match spec.default {
        // As help only: the server knows its defaults.
        Default::Value(text) if !text.is_empty() => {
            argument.help(format!("{} [default: {text}]", spec.doc))
        }
        Default::Computed(name) => {
            let name = name.replace('_', " ");
            argument.help(format!("{} [default: {name}]", spec.doc))
        }
        Default::Required | Default::Optional | Default::Value(_) => argument,
    }
}

fn value(spec: &Spec, given: &ArgMatches) -> Option<String> {
    match spec.kind {
        Kind::Boolean => given.get_flag(spec.name).then(|| "True".to_owned()),
        Kind::Integer => given.get_one::<i64>(spec.name).map(i64::to_string),
        Kind::Text | Kind::Lines => given.get_one::<String>(spec.name).cloned(),
        Kind::List => {
            let words: Vec<&str> = given
                .get_many::<String>(spec.name)?
                .map(String::as_str)
                .collect();
            Some(words.join(","))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(words: &[&str]) -> String {
        let command = Options::augment_args(Command::new("api"));
        let matches = command.try_get_matches_from(words).unwrap();
        Options::from_arg_matches(&matches).unwrap().url().unwrap()
    }

    #[test]
    fn command_line_becomes_a_query() {
        assert_eq!(
            url(&["api", "status", "http://localhost:8066"]),
            "http://localhost:8066/mini_buildd/api/status/?output=plain"
        );
        assert_eq!(
            url(&[
                "api",
                "--json",
                "sources_list",
                "tcp:host=h:port=1",
                "-C",
                "sid,trixie",
                "--rollbacks",
                "-1",
                "--with-extra",
            ]),
            "http://h:1/mini_buildd/api/sources_list/?output=json&codenames=sid%2Ctrixie&rollbacks=%2D1&with_extra=True"
        );
    }

    #[test]
    fn form_may_be_asked_for_before_and_after_the_call() {
        let endpoint = "http://localhost:8066";
        let expected = "http://localhost:8066/mini_buildd/api/status/?output=json";
        for words in [
            ["api", "--json", "status", endpoint],
            ["api", "status", "--json", endpoint],
            ["api", "status", endpoint, "-J"],
        ] {
            assert_eq!(url(&words), expected);
        }
    }

    #[test]
    fn refusal_tells_the_detail() {
        let body = br#"{"status": 400, "detail": "No such snapshot"}"#;
        assert_eq!(detail(body).as_deref(), Some("No such snapshot"));
        assert_eq!(detail(b"<html>"), None);
    }
}
