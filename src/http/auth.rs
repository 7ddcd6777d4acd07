//! Who asks, and whether a site of somebody else's makes them ask.
use std::collections::BTreeSet;
use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, header};
use jiff::Timestamp;

use crate::accounts::{Accounts, Error};
use crate::api::Caller;
use crate::model::user::User;

use super::{beside, cookies};

/// Who asks, and how that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asker {
    pub(super) caller: Caller,
    pub(super) by: By,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Nothing,
    /// A cookie, which browsers send by themselves.
    Session,
    Token,
}

/// What was shown is not, or no longer, good.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error("The token is unknown, expired or revoked, or its user is not active")]
    Token,
    #[error(transparent)]
    Failed(#[from] Error),
}

/// Finds out who asks; an old session is nobody's, as with stock.
pub(super) async fn asker(accounts: &Arc<Accounts>, headers: &HeaderMap) -> Result<Asker, Refused> {
    let nobody = Asker {
        caller: Caller::Anonymous,
        by: By::Nothing,
    };
    if let Some(token) = bearer(headers) {
        let (accounts, token) = (Arc::clone(accounts), token.to_owned());
        let found = blocking(move || accounts.of_token(&token, Timestamp::now())).await?;
        let (user, token) = found.ok_or(Refused::Token)?;
        return Ok(Asker {
            caller: caller(&user, token.calls),
            by: By::Token,
        });
    }
    let Some(session) = cookies::get(headers, cookies::SESSION) else {
        return Ok(nobody);
    };
    let (accounts, session) = (Arc::clone(accounts), session.to_owned());
    let found = blocking(move || accounts.of_session(&session, Timestamp::now())).await?;
    Ok(found.map_or(nobody, |user| Asker {
        caller: caller(&user, None),
        by: By::Session,
    }))
}

/// Runs what waits for the database beside the async threads.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    beside(work).await.unwrap_or(Err(Error::Ended))
}

fn caller(user: &User, calls: Option<BTreeSet<String>>) -> Caller {
    Caller::User {
        name: user.name.clone(),
        staff: user.staff,
        superuser: user.superuser,
        calls,
    }
}

/// `Authorization: Bearer TOKEN` (RFC 6750).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let given = text(headers, header::AUTHORIZATION)?;
    let (scheme, token) = given.split_once(' ').unwrap_or((given, ""));
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Tells whether a browser asks: its user may not know, for any site can make it ask, and it sends its cookies along.
pub(super) fn is_browser(headers: &HeaderMap) -> bool {
    let starts = |name, start| text(headers, name).is_some_and(|value| value.starts_with(start));
    headers.contains_key(header::ORIGIN)
        || headers.contains_key("sec-fetch-site")
        || headers.contains_key(header::UPGRADE_INSECURE_REQUESTS)
        || starts(header::USER_AGENT, "Mozilla/")
}

/// Tells whether a form is one of ours: it has the token that the browser was given, and comes from a page of ours.
pub(super) fn is_own_form(headers: &HeaderMap, token: Option<&str>) -> bool {
    let given = cookies::get(headers, cookies::CSRF).filter(|given| !given.is_empty());
    if given.is_none() || given != token {
        return false;
    }
    let from = text(headers, header::ORIGIN).or_else(|| text(headers, header::REFERER));
    from.is_none_or(|from| is_here(headers, from))
}

/// Tells whether a URL is of the host that was asked.
pub(super) fn is_here(headers: &HeaderMap, url: &str) -> bool {
    let rest = url
        .strip_prefix("http://")
        .or_else(|| url.strip_prefix("https://"));
    let authority = rest.and_then(|rest| rest.split(['/', '?', '#']).next());
    // Browsers take a backslash for a slash.
    let is_plain = !url.contains('\\') && !url.chars().any(char::is_control);
    is_plain && authority.is_some() && authority == text(headers, header::HOST)
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn a_form_needs_its_token_and_a_page_of_ours() {
        let cookie = ("cookie", "csrftoken=t");
        let host = ("host", "h:8066");
        for (lines, token, is_own) in [
            (vec![cookie, host], Some("t"), true),
            (
                vec![cookie, host, ("referer", "http://h:8066")],
                Some("t"),
                true,
            ),
            (
                vec![cookie, host, ("origin", "https://h:8066")],
                Some("t"),
                true,
            ),
            (
                vec![cookie, host, ("origin", "http://evil")],
                Some("t"),
                false,
            ),
            (vec![cookie, host, ("origin", "null")], Some("t"), false),
            (
                vec![cookie, host, ("referer", "http://h:8066.evil/")],
                Some("t"),
                false,
            ),
            (vec![cookie, host], Some("other"), false),
            (vec![cookie, host], None, false),
            (vec![host], None, false),
            (vec![("cookie", "csrftoken="), host], Some(""), false),
        ] {
            assert_eq!(
                is_own_form(&headers(&lines), token),
                is_own,
                "{lines:?} {token:?}"
            );
        }
    }

    #[test]
    fn only_urls_of_this_host_are_here() {
        let here = headers(&[("host", "h:8066")]);
        for url in [
            "http://h:8066/accounts/null/",
            "https://h:8066",
            "http://h:8066?x",
        ] {
            assert!(is_here(&here, url), "{url}");
        }
        for url in [
            "http://h",
            "//h:8066/",
            "http://h:8066@evil/",
            "http://evil\\@h:8066/",
            "ftp://h:8066/",
            "/x",
        ] {
            assert!(!is_here(&here, url), "{url}");
        }
        assert!(!is_here(&HeaderMap::new(), "http://h:8066/"));
    }

    #[test]
    fn programs_are_no_browsers() {
        assert!(!is_browser(&headers(&[(
            "user-agent",
            "Python-urllib/3.13"
        )])));
        for line in [
            ("user-agent", "Mozilla/5.0 (X11; Linux x86_64)"),
            ("sec-fetch-site", "none"),
            ("origin", "http://h:8066"),
            ("upgrade-insecure-requests", "1"),
        ] {
            assert!(is_browser(&headers(&[line])), "{line:?}");
        }
    }

    #[test]
    fn tokens_are_bearers() {
        assert_eq!(
            bearer(&headers(&[("authorization", "bearer  mbd_1")])),
            Some("mbd_1")
        );
        assert_eq!(bearer(&headers(&[("authorization", "Basic eDp5")])), None);
    }
}
