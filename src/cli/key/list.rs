//! `mini-buildd key list`
use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::SystemTime;

use clap::Args;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::api::json::plain;
use crate::cli::{Failure, home, output};
use crate::keys::KeySet;
use crate::pgp::SigningKey;

/// Lists the keys of the instance, what each one does and until when.
#[derive(Args, Debug)]
pub(super) struct Options {
    #[command(flatten)]
    home: home::Options,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// A key, and what it does.
struct Listed<'a> {
    key: &'a SigningKey,
    role: Role,
    /// When it ends, or ended, to do it.
    until: Option<Timestamp>,
}

#[derive(Clone, Copy)]
enum Role {
    Primary,
    Next,
    Retired,
}

pub(super) fn run(options: &Options) -> Result<ExitCode, Failure> {
    let home = options.home.own()?;
    let keys = KeySet::read(&home)?;
    let now = Timestamp::now();
    let text = if options.json {
        plain(&as_json(&keys, now)) + "\n"
    } else {
        as_text(&keys, now)
    };
    output::write(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn listed(keys: &KeySet) -> Vec<Listed<'_>> {
    let next = keys.next.as_ref();
    let primary = Listed {
        key: keys.primary(),
        role: Role::Primary,
        until: next.map(|next| next.until),
    };
    let next = next.map(|next| Listed {
        key: &next.key,
        role: Role::Next,
        until: None,
    });
    let retired = keys.retired.iter().rev().map(|retired| Listed {
        key: &retired.key,
        role: Role::Retired,
        until: Some(retired.at),
    });
    std::iter::once(primary)
        .chain(next)
        .chain(retired)
        .collect()
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Role::Primary => "primary",
            Role::Next => "next",
            Role::Retired => "retired",
        }
    }
}

fn as_text(keys: &KeySet, now: Timestamp) -> String {
    let mut text = String::new();
    for Listed { key, role, until } in listed(keys) {
        let expires = key.expires().map_or("never expires".into(), |time| {
            format!("expires {}", day(timestamp(time)))
        });
        let until = until.map(|until| format!(", until {}", day(until)));
        writeln!(
            text,
            "{}  {}  {}  of {}, {expires}{}",
            key.fingerprint(),
            key.algorithm(),
            role.name(),
            day(timestamp(key.created())),
            until.unwrap_or_default()
        )
        .expect("a String takes every write");
    }
    for warning in keys.warnings(now) {
        let remedy = warning.remedy().map(|remedy| format!(": {remedy}"));
        writeln!(text, "warning: {warning}{}", remedy.unwrap_or_default())
            .expect("a String takes every write");
    }
    text
}

fn as_json(keys: &KeySet, now: Timestamp) -> Value {
    let listed: Vec<Value> = listed(keys)
        .iter()
        .map(|listed| {
            json!({
                "fingerprint": listed.key.fingerprint(),
                "algorithm": listed.key.algorithm(),
                "role": listed.role.name(),
                "created": second(timestamp(listed.key.created())),
                "expires": listed.key.expires().map(timestamp).map(second),
                "until": listed.until.map(second),
            })
        })
        .collect();
    let warnings = keys.warnings(now);
    let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    json!({"keys": listed, "warnings": warnings})
}

/// OpenPGP has times of 32 bits.
fn timestamp(time: SystemTime) -> Timestamp {
    Timestamp::try_from(time).unwrap_or(Timestamp::MAX)
}

fn day(time: Timestamp) -> String {
    time.strftime("%F").to_string()
}

fn second(time: Timestamp) -> String {
    time.strftime("%FT%TZ").to_string()
}
