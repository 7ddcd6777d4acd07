//! Who is told of an event, in stock's order.
use regex::Regex;
use serde_json::Value;

use crate::model::user::{User, is_email};
use crate::model::{Diststr, Event};
use crate::store::catalog::Catalog;
use crate::store::users::Subscription;

/// Addresses, each once, and why it is told.
pub(super) fn of(
    event: &Event,
    catalog: &Catalog,
    subscribers: &[(User, Subscription)],
    hostname: &str,
) -> Vec<(String, String)> {
    let Some((daemon, _)) = catalog.daemons.values().next() else {
        return Vec::new();
    };
    let dist = catalog.resolve(&event.distribution).ok();
    let repository = dist
        .as_ref()
        .and_then(|dist| catalog.repository(&dist.repository));
    let repository = repository.map(|(repository, _)| repository);
    let mut told = Told::default();
    for address in &daemon.notify {
        told.add(address, || {
            "its administrators want you to know all that happens here".into()
        });
    }
    if let Some(repository) = repository {
        let name = &repository.identity;
        for address in &repository.notify {
            told.add(address, || {
                format!("its administrators want you to know all that happens in repository {name}")
            });
        }
    }
    let named = [
        (
            "Changed-By",
            "changed_by",
            repository.is_none_or(|it| it.notify_changed_by),
        ),
        (
            "Maintainer",
            "maintainer",
            repository.is_some_and(|it| it.notify_maintainer),
        ),
    ];
    for (field, word, _) in named.into_iter().filter(|(_, _, is_told)| *is_told) {
        let person = event.extra.get(word).and_then(Value::as_str);
        let address = person.and_then(address);
        let rule = &daemon.allow_emails_to;
        if let Some(address) = address.filter(|address| is_allowed(address, rule, hostname)) {
            told.add(address, || {
                format!("the package names you in its field {field}")
            });
        }
    }
    for (user, subscription) in subscribers {
        if !user.email.is_empty() && is_meant(subscription, event, dist.as_ref()) {
            told.add(&user.email, || {
                format!("user {} subscribed to {}", user.name, words(subscription))
            });
        }
    }
    told.0
}

#[derive(Default)]
struct Told(Vec<(String, String)>);

impl Told {
    fn add(&mut self, address: &str, reason: impl FnOnce() -> String) {
        if !self
            .0
            .iter()
            .any(|(told, _)| told.eq_ignore_ascii_case(address))
        {
            self.0.push((address.to_owned(), reason()));
        }
    }
}

/// `NAME <ADDRESS>` or `ADDRESS`.
fn address(person: &str) -> Option<&str> {
    let bracketed = person.rsplit_once('<');
    let address = match bracketed {
        Some((_, rest)) => rest.trim_end().strip_suffix('>')?,
        None => person.trim(),
    };
    is_email(address).then_some(address)
}

/// Whoever can upload may not make us write to anybody.
fn is_allowed(address: &str, rule: &str, hostname: &str) -> bool {
    let allowed = match rule {
        "" => format!(".*@{}", regex::escape(hostname)),
        given => given.to_owned(),
    };
    Regex::new(&format!("^(?:{allowed})$")).is_ok_and(|allowed| allowed.is_match(address))
}

fn is_meant(subscription: &Subscription, event: &Event, dist: Option<&Diststr>) -> bool {
    let Subscription {
        package,
        distribution,
    } = subscription;
    let is_dist = || dist.is_some_and(|dist| *distribution == dist.to_string());
    (package.is_empty() || *package == event.source) && (distribution.is_empty() || is_dist())
}

fn words(subscription: &Subscription) -> String {
    let any = |text: &str, other: &str| {
        if text.is_empty() {
            other.to_owned()
        } else {
            text.to_owned()
        }
    };
    let package = any(&subscription.package, "all packages");
    format!(
        "{package} in {}",
        any(&subscription.distribution, "any distribution")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_in_fields() {
        for (person, expected) in [
            ("Jo Doe <jo@example.org>", Some("jo@example.org")),
            ("\"Doe, Jo\" <jo@example.org> ", Some("jo@example.org")),
            ("jo@example.org", Some("jo@example.org")),
            ("Jo <jo@example.org", None),
            ("Jo <jo@example.org>, me@example.org", None),
            ("Jo <jo@example.org\r\nBcc: me@example.org>", None),
            ("Jo", None),
        ] {
            assert_eq!(address(person), expected, "{person:?}");
        }
    }

    #[test]
    fn only_whole_addresses_are_allowed() {
        for (rule, address, expected) in [
            ("", "jo@buildd.test", true),
            ("", "jo@builddxtest", false),
            ("", "jo@example.org", false),
            ("", "jo@buildd.test.example.org", false),
            (r".*@example\.org", "jo@example.org", true),
            (r".*@example\.org", "jo@example.org.test", false),
            ("jo@|me@", "jo@example.org", false),
        ] {
            let is_allowed = is_allowed(address, rule, "buildd.test");
            assert_eq!(is_allowed, expected, "{rule:?} {address}");
        }
    }

    #[test]
    fn nobody_is_told_twice() {
        let mut told = Told::default();
        told.add("jo@example.org", || "first".into());
        told.add("Jo@Example.org", || "second".into());
        assert_eq!(told.0, [("jo@example.org".to_owned(), "first".to_owned())]);
    }
}
