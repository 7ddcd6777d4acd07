//! What people do by a link that is mailed to them.
use crate::accounts::Peopled;
use crate::sink::Sink;

/// The next letter: to whom, and the path that it leads to.
fn next(sink: &mut Sink) -> (String, String) {
    let letter = sink.letter();
    assert!(
        letter.subject.starts_with("[mini-buildd-peer] "),
        "{letter:?}"
    );
    let mut lines = letter.text.lines();
    let link = lines.find(|text| text.starts_with("http://")).unwrap();
    let (_, path) = link.split_once("/accounts/").unwrap();
    (letter.to, format!("/accounts/{path}"))
}

/// Sends a form as a browser does: status and page.
fn send(peopled: &Peopled, path: &str, fields: &[(&str, &str)]) -> (u16, String) {
    let (status, page) = peopled.curl(&[], path);
    assert_eq!(status, 200, "{page}");
    let token = peopled.cookie("csrftoken");
    let mut words = vec![
        "--data-urlencode".to_owned(),
        format!("csrfmiddlewaretoken={token}"),
    ];
    for (name, value) in fields {
        words.push("--data-urlencode".to_owned());
        words.push(format!("{name}={value}"));
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    peopled.curl(&words, path)
}

const REGISTER: &str = "/accounts/register/";
const JO: [(&str, &str); 4] = [
    ("username", "jo"),
    ("email", "jo@example.org"),
    ("password1", "secret"),
    ("password2", "secret"),
];

/// Somebody registers, and opens the link; all that can go wrong on the way does.
fn registered() -> (Peopled, Sink) {
    let mut sink = Sink::new();
    let peopled = Peopled::start_with(&["--smtp", &sink.relay()]);

    let mut other = JO;
    other[3].1 = "sekret";
    let (status, page) = send(&peopled, REGISTER, &other);
    assert_eq!(
        (status, page.contains("The two passwords differ")),
        (400, true),
        "{page}"
    );
    other = JO;
    other[0].1 = "admin";
    let (status, page) = send(&peopled, REGISTER, &other);
    assert_eq!(
        (status, page.contains("there is a user admin already")),
        (400, true),
        "{page}"
    );
    let form: Vec<String> = JO
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let (status, _) = peopled.curl(&["--data", &form.join("&")], REGISTER);
    assert_eq!(status, 403, "a form of another site");
    let (status, page) = send(&peopled, REGISTER, &JO);
    assert_eq!(
        (status, page.contains("Activation email sent")),
        (200, true),
        "{page}"
    );
    let (to, path) = next(&mut sink);
    assert_eq!(to, "jo@example.org");
    let (_, ends) = peopled.log_in("jo", "secret");
    assert!(
        !ends.ends_with("/accounts/null/"),
        "not before the link: {ends}"
    );
    assert_eq!(
        peopled
            .curl(&[], &format!("{}x/", path.trim_end_matches('/')))
            .0,
        400
    );
    assert_eq!(peopled.curl(&[], &path).0, 200);
    assert_eq!(peopled.curl(&[], &path).0, 400, "good once");
    let (_, ends) = peopled.log_in("jo", "secret");
    assert!(ends.ends_with("/accounts/null/"), "{ends}");
    (peopled, sink)
}

#[test]
fn a_new_user_has_a_profile_and_changes_the_password() {
    let (peopled, _sink) = registered();
    let (status, page) = peopled.curl(&[], "/accounts/profile/");
    assert_eq!(
        (status, page.contains("There is none yet.")),
        (200, true),
        "{page}"
    );
    let set = [("key", "no\nkey"), ("output", "html")];
    let token = peopled.cookie("csrftoken");
    let fields: Vec<String> = set
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let words = [
        "--data-urlencode",
        &fields[0],
        "--data-urlencode",
        &fields[1],
        "--data",
        &format!("csrfmiddlewaretoken={token}"),
    ];
    let (status, page) = peopled.curl(&words, "/mini_buildd/api/set_user_key/");
    assert_eq!(
        (status, page.contains("not an OpenPGP key")),
        (400, true),
        "{page}"
    );

    let change = "/accounts/password_change/";
    let fields = [
        ("old_password", "wrong"),
        ("new_password1", "other"),
        ("new_password2", "other"),
    ];
    let (status, page) = send(&peopled, change, &fields);
    assert_eq!(
        (status, page.contains("The old password is wrong")),
        (400, true),
        "{page}"
    );
    let fields = [
        ("old_password", "secret"),
        ("new_password1", "other"),
        ("new_password2", "other"),
    ];
    assert_eq!(send(&peopled, change, &fields).0, 302);
    assert_eq!(peopled.curl(&[], change).0, 302, "the session ended");
}

#[test]
fn a_password_is_set_anew_by_a_link_that_is_mailed() {
    let (peopled, mut sink) = registered();
    let forgot = "/accounts/password_reset/";
    assert_eq!(
        send(&peopled, forgot, &[("email", "nobody@example.org")]).0,
        302
    );
    assert_eq!(
        send(&peopled, forgot, &[("email", "jo@example.org")]).0,
        302
    );
    let (to, path) = next(&mut sink);
    assert_eq!(to, "jo@example.org", "and none to nobody");
    let fields = [("new_password1", "third"), ("new_password2", "third")];
    assert_eq!(send(&peopled, &path, &fields).0, 302);
    assert_eq!(peopled.curl(&[], &path).0, 400, "good once");
    assert!(
        !peopled
            .log_in("jo", "secret")
            .1
            .ends_with("/accounts/null/")
    );
    assert!(peopled.log_in("jo", "third").1.ends_with("/accounts/null/"));
}

#[test]
fn without_a_relay_nobody_registers() {
    let peopled = Peopled::start();
    for path in [REGISTER, "/accounts/password_reset/"] {
        let (status, page) = peopled.curl(&[], path);
        assert_eq!(
            (status, page.contains("ask its administrator")),
            (503, true),
            "{page}"
        );
    }
    assert_eq!(peopled.curl(&[], "/accounts/profile/").0, 302);
}
