//! Logging in to an instance, ours or stock's, as stock's clients do it; or a token of ours instead.
use std::path::PathBuf;
use std::time::Duration;

use clap::{Arg, ArgMatches};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::endpoint::ClientEndpoint;
use crate::fetch::{self, Client, Question};

use super::password;

const TIME: Duration = Duration::from_secs(60);
const LIMIT: usize = 1 << 20;
const PASSWORD: &str = "MINI_BUILDD_PASSWORD";
const TOKEN: &str = "MINI_BUILDD_TOKEN";

/// How somebody says who asks.
#[derive(Clone, Debug, Default)]
pub(super) struct Credentials {
    pub(super) password_file: Option<PathBuf>,
    pub(super) token_file: Option<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(transparent)]
    Fetch(#[from] fetch::Error),
    #[error(transparent)]
    Password(#[from] password::Error),
    #[error("{0} gives no login form; is it an instance of mini-buildd?")]
    NoForm(String),
    #[error("{url} does not let {user} in: {why}")]
    Refused {
        url: String,
        user: String,
        why: String,
    },
    #[error(
        "no password for {user}: give one by --password-file, ${PASSWORD} or on a terminal, or a token by --token-file or ${TOKEN}"
    )]
    NoPassword { user: String },
}

impl Credentials {
    pub(super) fn arguments() -> [Arg; 2] {
        let file = |name: &'static str, help: String| {
            Arg::new(name)
                .long(name)
                .global(true)
                .value_name("FILE")
                .value_parser(clap::value_parser!(PathBuf))
                .help(help)
        };
        let password = format!(
            "Read the password of the endpoint's user (http://USER@HOST:PORT) from this file; - is standard input [default: ${PASSWORD}, else it is asked for]"
        );
        let token =
            format!("Read a token, which stands for its user, from this file [default: ${TOKEN}]");
        [file("password-file", password), file("token-file", token)]
    }

    pub(super) fn of(matches: &ArgMatches) -> Credentials {
        Credentials {
            password_file: matches.get_one("password-file").cloned(),
            token_file: matches.get_one("token-file").cloned(),
        }
    }

    /// Headers that say who asks; none where nobody is named.
    pub(super) async fn headers(
        &self,
        client: &Client,
        endpoint: &ClientEndpoint,
    ) -> Result<Vec<(&'static str, String)>, Error> {
        let token = match &self.token_file {
            Some(file) => Some(password::read(file)?),
            None => variable(TOKEN),
        };
        if let Some(token) = token {
            return Ok(vec![("authorization", format!("Bearer {token}"))]);
        }
        let Some(user) = &endpoint.user else {
            return Ok(Vec::new());
        };
        let password = match &self.password_file {
            Some(file) => Some(password::read(file)?),
            None => variable(PASSWORD),
        };
        let password = match password {
            Some(password) => Some(password),
            None => password::ask(&format!("Password of {user} at {}: ", endpoint.url()))?,
        };
        let no_password = || Error::NoPassword { user: user.clone() };
        let password = password.ok_or_else(no_password)?;
        let session = log_in(client, &endpoint.url(), user, &password).await?;
        Ok(vec![("cookie", session)])
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Returns the cookies of the session.
async fn log_in(client: &Client, url: &str, user: &str, password: &str) -> Result<String, Error> {
    let form_url = format!("{url}/accounts/login/");
    let asked = Question {
        url: &form_url,
        ..Question::default()
    };
    let form = client.ask(&asked, LIMIT, TIME).await?;
    let token = cookie(form.headers("set-cookie"), "csrftoken");
    let token = token.ok_or_else(|| Error::NoForm(form_url.clone()))?;
    let next = format!("{url}/accounts/null/");
    let fields = [
        ("username", user),
        ("password", password),
        ("csrfmiddlewaretoken", token),
        ("this_is_the_login_form", "1"),
        ("next", &next),
    ];
    let encoded = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
    let fields = fields.map(|(key, value)| format!("{key}={}", encoded(value)));
    let headers = [
        ("cookie", format!("csrftoken={token}")),
        ("referer", url.to_owned()),
    ];
    let posted = Question {
        url: &form_url,
        headers: &headers,
        form: Some(fields.join("&")),
    };
    let answer = client.ask(&posted, LIMIT, TIME).await?;
    let session = cookie(answer.headers("set-cookie"), "sessionid");
    let is_in = answer.status == 302 && answer.headers("location").any(|to| to == next);
    match session {
        Some(session) if is_in => Ok(format!("csrftoken={token}; sessionid={session}")),
        _ => Err(Error::Refused {
            url: url.to_owned(),
            user: user.to_owned(),
            why: match answer.status {
                200 => "wrong name or password".into(),
                429 => "too many failed logins; try again later".into(),
                status => format!("answered {status}"),
            },
        }),
    }
}

fn cookie<'a>(lines: impl Iterator<Item = &'a str>, name: &str) -> Option<&'a str> {
    lines
        .filter_map(|line| line.split(';').next()?.split_once('='))
        .find(|(found, value)| *found == name && !value.is_empty())
        .map(|(_, value)| value)
}
