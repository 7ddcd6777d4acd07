//! Cookies as RFC 6265 has them: those of a request, and the header that sets one.
use axum::http::{HeaderMap, HeaderValue, header};

use super::server::Encrypted;

/// What a client shows to be logged in; the name is stock's.
pub(super) const SESSION: &str = "sessionid";
/// Must come back with each form; the name is stock's.
pub(super) const CSRF: &str = "csrftoken";

/// Value of a cookie of a request; of several, the first.
pub(super) fn get<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(header::COOKIE).into_iter();
    lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(found, _)| *found == name)
        .map(|(_, value)| value.trim_matches('"'))
}

/// Sets the cookie of a session, or, empty, takes it away; scripts don't see it.
pub(super) fn set_session(value: &str, seconds: i64, encrypted: Encrypted) -> HeaderValue {
    set(SESSION, value, seconds, encrypted, "; HttpOnly")
}

pub(super) fn set_csrf(value: &str, seconds: i64, encrypted: Encrypted) -> HeaderValue {
    set(CSRF, value, seconds, encrypted, "")
}

/// For all paths; other sites' forms don't send it, nor does a browser without TLS what it got by TLS.
fn set(name: &str, value: &str, seconds: i64, encrypted: Encrypted, more: &str) -> HeaderValue {
    let secure = if encrypted.0 { "; Secure" } else { "" };
    let text = format!("{name}={value}; Max-Age={seconds}; Path=/; SameSite=Lax{secure}{more}");
    HeaderValue::try_from(text).expect("value is of letters and digits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_of_a_request_are_found() {
        let mut headers = HeaderMap::new();
        headers.append(
            header::COOKIE,
            HeaderValue::from_static("a=1; csrftoken=t1; xsessionid=no"),
        );
        headers.append(
            header::COOKIE,
            HeaderValue::from_static("sessionid=\"s1\";sessionid=s2"),
        );
        assert_eq!(get(&headers, CSRF), Some("t1"));
        assert_eq!(get(&headers, SESSION), Some("s1"));
        assert_eq!(get(&headers, "b"), None);
    }

    #[test]
    fn a_session_is_hidden_from_scripts_and_other_sites() {
        assert_eq!(
            set_session("s", 5, Encrypted(false)),
            "sessionid=s; Max-Age=5; Path=/; SameSite=Lax; HttpOnly"
        );
        assert_eq!(
            set_csrf("t", 5, Encrypted(true)),
            "csrftoken=t; Max-Age=5; Path=/; SameSite=Lax; Secure"
        );
    }
}
