//! `mini-buildd user`: who may log in, with which role, and their tokens.
use std::collections::BTreeSet;
use std::io::{Write as _, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::{Failure, home, output, password};
use crate::accounts;
use crate::api;
use crate::model::Item as _;
use crate::model::user::{User, UserName};
use crate::store::{self, Store, Transaction, users};

/// Lists and changes users: who may log in, and what for.
///
/// A daemon may run meanwhile; what changes holds at once.
#[derive(Args, Debug)]
pub(super) struct Options {
    #[command(flatten)]
    home: home::OfAll,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Lists all users with their roles.
    List {
        #[arg(long)]
        json: bool,
    },
    /// Makes a user, with the password that is asked for.
    Add {
        name: UserName,
        #[command(flatten)]
        fields: Fields,
        #[command(flatten)]
        password: Password,
    },
    /// Changes a user.
    Set {
        name: UserName,
        #[command(flatten)]
        fields: Fields,
    },
    /// Sets a password, and ends the user's sessions.
    Password {
        name: UserName,
        #[command(flatten)]
        password: Password,
    },
    /// Removes a user with all sessions, tokens and subscriptions.
    Remove { name: UserName },
    /// Lists, makes and revokes tokens, which programs show instead of a password.
    #[command(subcommand)]
    Token(Token),
}

#[derive(Args, Debug)]
struct Fields {
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
    /// Whether the user may log in.
    #[arg(long, value_name = "BOOL")]
    active: Option<bool>,
    /// Whether the user may make calls that change packages.
    #[arg(long, value_name = "BOOL", default_missing_value = "true", num_args = 0..=1)]
    staff: Option<bool>,
    /// Whether the user may make calls that change the instance.
    #[arg(long, value_name = "BOOL", default_missing_value = "true", num_args = 0..=1)]
    superuser: Option<bool>,
}

#[derive(Args, Debug)]
#[group(id = "given-password", multiple = false)]
struct Password {
    /// Read the password from this file (its first line); - is standard input.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Make a new password and show it.
    #[arg(long)]
    generate: bool,
}

#[derive(Debug, Subcommand)]
enum Token {
    /// Lists a user's tokens.
    List {
        user: UserName,
        #[arg(long)]
        json: bool,
    },
    /// Makes a token and shows it, once.
    Add {
        user: UserName,
        /// What it is for.
        title: String,
        /// Call that it is good for; may be repeated [default: all that the user may make].
        #[arg(long = "call", value_name = "CALL", value_parser = call)]
        calls: Vec<String>,
        /// Days after which it is good for nothing [default: never].
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u16).range(1..))]
        expires: Option<u16>,
    },
    /// Revokes a token.
    Revoke { user: UserName, id: i64 },
}

fn call(name: &str) -> Result<String, String> {
    let known = || {
        api::CALLS
            .iter()
            .map(|call| call.name)
            .collect::<Vec<_>>()
            .join(", ")
    };
    let found = api::find(name).ok_or_else(|| format!("no such call; there are: {}", known()))?;
    Ok(found.name.to_owned())
}

pub(super) fn run(options: &Options) -> Result<ExitCode, Failure> {
    let store = Store::open(&options.home.own()?.database())?;
    match &options.action {
        Action::List { json } => list(&store, *json)?,
        Action::Add {
            name,
            fields,
            password,
        } => {
            let user = User {
                name: name.clone(),
                email: String::new(),
                active: true,
                staff: false,
                superuser: false,
            };
            let user = fields.on(user);
            let refuse_present = |tx: &Transaction<'_>| match users::get(tx, name.as_str())? {
                Some(_) => Err(Failure::from(format!("there is a user {name} already"))),
                None => Ok(()),
            };
            user.validate()?;
            store.read(refuse_present)?;
            let password = password.get(name)?;
            // Nobody logs in before there is a password.
            store.write::<_, Failure>(|tx| {
                refuse_present(tx)?;
                Ok(users::put(tx, &user)?)
            })?;
            password.set(&store, name)?;
        }
        Action::Set { name, fields } => store.write::<_, Failure>(|tx| {
            let (user, _) = users::get(tx, name.as_str())?.ok_or_else(|| no_user(name))?;
            Ok(users::put(tx, &fields.on(user))?)
        })?,
        Action::Password { name, password } => {
            store.read::<_, Failure>(|tx| {
                users::get(tx, name.as_str())?.ok_or_else(|| no_user(name))?;
                Ok(())
            })?;
            password.get(name)?.set(&store, name)?;
        }
        Action::Remove { name } => {
            if !store.write::<_, store::Error>(|tx| users::remove(tx, name))? {
                return Err(no_user(name));
            }
        }
        Action::Token(action) => token(&store, action)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn token(store: &Store, action: &Token) -> Result<(), Failure> {
    match action {
        Token::List { user, json } => tokens(store, user, *json),
        Token::Add {
            user,
            title,
            calls,
            expires,
        } => {
            let calls: BTreeSet<String> = calls.iter().cloned().collect();
            let calls = (!calls.is_empty()).then_some(&calls);
            let days = expires.map(|days| SignedDuration::from_hours(24 * i64::from(days)));
            let expires = days.map(|days| Timestamp::now() + days);
            let (_, token) = accounts::make_token(store, user, title, calls, expires)?;
            writeln!(stdout(), "{token}")?;
            Ok(())
        }
        Token::Revoke { user, id } => {
            if store.write::<_, store::Error>(|tx| users::remove_token(tx, user, *id))? {
                return Ok(());
            }
            Err(format!("user {user} has no token {id}").into())
        }
    }
}

fn list(store: &Store, json: bool) -> Result<(), Failure> {
    let users = store.read(users::all)?;
    if json {
        return print_json(&json!(users));
    }
    let mut rows = vec![["user", "roles", "e-mail"].map(str::to_owned).to_vec()];
    for user in users {
        let roles = [
            (!user.active, "not active"),
            (user.staff, "staff"),
            (user.superuser, "superuser"),
        ];
        let roles = roles
            .iter()
            .filter(|(holds, _)| *holds)
            .map(|(_, role)| *role);
        let roles = roles.collect::<Vec<_>>().join(", ");
        rows.push(vec![user.name.to_string(), roles, user.email]);
    }
    Ok(output::write(&output::table(&rows))?)
}

fn tokens(store: &Store, user: &UserName, json: bool) -> Result<(), Failure> {
    let tokens = store.read::<_, Failure>(|tx| {
        users::get(tx, user.as_str())?.ok_or_else(|| no_user(user))?;
        Ok(users::tokens(tx, user)?)
    })?;
    if json {
        let rows = tokens.iter().map(|token| {
            json!({
                "id": token.id,
                "title": token.title,
                "calls": token.calls,
                "created": token.created,
                "expires": token.expires,
                "used": token.used,
            })
        });
        return print_json(&rows.collect());
    }
    let head = ["id", "title", "calls", "created", "expires", "last used"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    let time = |time: Option<Timestamp>| time.map_or("never".into(), |time| time.to_string());
    for token in tokens {
        let calls = token
            .calls
            .map(|calls| calls.into_iter().collect::<Vec<_>>().join(" "));
        rows.push(vec![
            token.id.to_string(),
            token.title,
            calls.unwrap_or("all".into()),
            token.created.to_string(),
            time(token.expires),
            time(token.used),
        ]);
    }
    Ok(output::write(&output::table(&rows))?)
}

fn print_json(value: &serde_json::Value) -> Result<(), Failure> {
    Ok(output::write(&format!(
        "{}\n",
        serde_json::to_string_pretty(value)?
    ))?)
}

fn no_user(name: &UserName) -> Failure {
    format!("there is no user {name}; make one with: mini-buildd user add {name}").into()
}

impl Fields {
    fn on(&self, user: User) -> User {
        User {
            email: self.email.clone().unwrap_or(user.email),
            active: self.active.unwrap_or(user.active),
            staff: self.staff.unwrap_or(user.staff),
            superuser: self.superuser.unwrap_or(user.superuser),
            name: user.name,
        }
    }
}

/// A password that is to be set.
enum Chosen {
    Given(String),
    /// To be shown when it holds.
    New(String),
}

impl Chosen {
    fn set(&self, store: &Store, name: &UserName) -> Result<(), Failure> {
        let (Chosen::Given(password) | Chosen::New(password)) = self;
        accounts::set_password(store, name, password)?;
        if let Chosen::New(password) = self {
            writeln!(stdout(), "{password}")?;
        }
        Ok(())
    }
}

impl Password {
    /// From a file, new, or from a terminal.
    fn get(&self, name: &UserName) -> Result<Chosen, Failure> {
        if let Some(file) = &self.password_file {
            return Ok(Chosen::Given(password::read(file)?));
        }
        if self.generate {
            return Ok(Chosen::New(accounts::generate_password()?));
        }
        let nobody =
            "there is no terminal to ask for a password on; add --generate or --password-file FILE";
        let asked = password::ask_twice(&format!("Password of {name}: "))?;
        Ok(Chosen::Given(asked.ok_or(nobody)?))
    }
}
