//! What a letter about an event says, in stock's subject.
use serde_json::Value;

use crate::mail::{self, Postman};
use crate::model::Event;
use crate::store::letters::Letter;

/// Longest reason in a subject, in characters.
const REASON: usize = 120;

pub(super) fn write(letter: &Letter, event: &Event, postman: &Postman) -> mail::Letter {
    let attachment = serde_json::to_string_pretty(event).ok();
    mail::Letter {
        to: letter.recipient.clone(),
        subject: subject(event),
        text: text(letter, event, postman),
        attachment: attachment.map(|json| (event.file_name(), json)),
        id: Some(format!(
            "event-{}-{}",
            letter.id,
            event.timestamp.as_microsecond()
        )),
    }
}

/// `TYPE(DIST): SOURCE-VERSION (ARCH)[: ERROR]`
fn subject(event: &Event) -> String {
    let Event {
        kind,
        distribution,
        source,
        version,
        ..
    } = event;
    let architecture = event.extra.get("architecture").and_then(Value::as_str);
    let architecture = architecture.unwrap_or("source");
    let reason = event.reason().map(|reason| {
        let words: Vec<&str> = reason.split_whitespace().collect();
        let reason: String = words.join(" ").chars().take(REASON).collect();
        format!(": {reason}")
    });
    let reason = reason.unwrap_or_default();
    format!("{kind}({distribution}): {source}-{version} ({architecture}){reason}")
}

fn text(letter: &Letter, event: &Event, postman: &Postman) -> String {
    let Event {
        kind,
        distribution,
        source,
        version,
        ..
    } = event;
    let Postman { url, identity, .. } = postman;
    let mut parts = vec![format!("{kind}: {source} {version} in {distribution}")];
    parts.extend(event.reason().map(str::to_owned));
    let logs = event.builds().into_iter().map(|build| {
        let status = build.status.unwrap_or("not yet ended");
        let place = event.log_place();
        format!(
            "Build log of {} ({status}):\n{url}{place}/{}",
            build.architecture, build.log
        )
    });
    parts.extend(logs);
    let changes = event.extra.get("changes").and_then(Value::as_str);
    parts.extend(changes.map(|path| format!("Changes:\n{url}/mini_buildd/events-dir/{path}")));
    parts.push("The attached file has all that is known about it.".into());
    let reason = &letter.reason;
    parts.push(format!(
        "-- \nmini-buildd {identity}, {url}\nYou get this letter because {reason}.\n\
         Your subscriptions: {url}/accounts/profile/\n"
    ));
    parts.join("\n\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_subject_is_one_line_of_bearable_length() {
        let event = json!({
            "type": "REJECTED", "distribution": "unstable", "source": "hello", "version": "1",
            "timestamp": "2026-11-22T05:48:16.994455+00:00",
            "extra": {"architecture": "source", "error": {"detail": format!("no\r\nBcc: x@y {}", "ä".repeat(200))}},
        });
        let subject = subject(&serde_json::from_value(event).unwrap());
        let start = "REJECTED(unstable): hello-1 (source): no Bcc: x@y ä";
        assert!(subject.starts_with(start), "{subject}");
        assert!(
            subject.chars().count() < 170 && !subject.contains(['\r', '\n']),
            "{subject}"
        );
    }
}
