//! Cookies as RFC 6265 has them: those of a request, and the header that sets one.
use axum::http::{HeaderMap, HeaderValue, header};

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

/// Sets a cookie for all paths, which other sites' forms don't send; `value` is of letters and digits.
pub(super) fn set(name: &str, value: &str, seconds: i64, is_secret: bool) -> HeaderValue {
    let hidden = if is_secret { "; HttpOnly" } else { "" };
    let text = format!("{name}={value}; Max-Age={seconds}; Path=/; SameSite=Lax{hidden}");
    HeaderValue::try_from(text).expect("letters and digits can be in a header")
}

pub(super) fn clear(name: &str) -> HeaderValue {
    set(name, "", 0, true)
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
            set(SESSION, "s", 5, true),
            "sessionid=s; Max-Age=5; Path=/; SameSite=Lax; HttpOnly"
        );
        assert_eq!(
            set(CSRF, "t", 5, false),
            "csrftoken=t; Max-Age=5; Path=/; SameSite=Lax"
        );
    }
}
