//! The calls as a chapter of the manual: docs/api.md.
use std::fmt::Write as _;

use super::argument::Default;
use super::{Auth, CALLS, Call, Spec};

const HEAD: &str = "# API

This file is written by `mini-buildd documents docs`; what it says stands in `src/api/calls/`.

Every call is a GET of `/mini_buildd/api/CALL/` with its arguments in the query string, and a command: `mini-buildd api CALL ENDPOINT`.
Lists are joined by commas, booleans are `True` or `False`, and an empty value is the same as none.

`output=` chooses the form of the answer: `json` (the default), `plain` (a text verbatim, all else as indented JSON) or `html`.
An error is an `application/problem+json` object (RFC 7807) whose `detail` says what is wrong.
";

pub fn document() -> String {
    let mut text = HEAD.to_owned();
    for call in CALLS {
        chapter(&mut text, call).expect("a String takes every write");
    }
    text
}

fn chapter(text: &mut String, call: &Call) -> std::fmt::Result {
    write!(text, "\n## {}\n\n", call.name)?;
    for line in call.doc.lines() {
        let end = if line == call.summary() { "." } else { "" };
        writeln!(text, "{line}{end}")?;
    }
    for need in needs(call) {
        writeln!(text, "\n{need}")?;
    }
    if !call.arguments.is_empty() {
        text.push_str("\n| argument | command line | default | |\n|---|---|---|---|\n");
    }
    for spec in call.arguments {
        writeln!(
            text,
            "| `{}` | {} | {} | {} |",
            spec.name,
            on_command_line(spec),
            default(spec),
            spec.doc
        )?;
    }
    Ok(())
}

fn needs(call: &Call) -> impl Iterator<Item = String> {
    let role = (call.auth != Auth::None).then(|| format!("Needs the role {}.", call.auth));
    let daemon = call.running.then(|| "Needs a running daemon.".to_owned());
    let confirmation = call
        .confirm
        .then(|| format!("Must be confirmed: `confirm={}`.", call.name));
    [role, daemon, confirmation].into_iter().flatten()
}

fn on_command_line(spec: &Spec) -> String {
    match (spec.short, spec.default) {
        (Some(short), _) => format!("`-{short}`, `--{}`", spec.long()),
        (None, Default::Required | Default::Optional) => format!("`{}`", spec.name.to_uppercase()),
        (None, Default::Value(_) | Default::Computed(_)) => format!("`--{}`", spec.long()),
    }
}

fn default(spec: &Spec) -> String {
    match spec.default {
        Default::Required => "required".into(),
        Default::Optional | Default::Value("") => String::new(),
        Default::Value(text) => format!("`{text}`"),
        Default::Computed(name) => name.replace('_', " "),
    }
}
