//! Delivery of files over HTTP, to clients that are well-behaved, slow or hostile.
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use jiff::fmt::rfc2822;

use crate::site::Site;

const RELEASE: &str = "/repositories/test/dists/sid-test-stable/Release";

fn with_release() -> Site {
    let site = Site::start();
    site.file(
        "repositories/test/dists/sid-test-stable/Release",
        "0123456789",
    );
    site
}

#[test]
fn file_is_whole_with_its_validators() {
    let site = with_release();
    let answer = site.get(RELEASE);
    assert_eq!((answer.status, answer.text()), (200, "0123456789"));
    for (name, value) in [
        ("content-type", "text/plain; charset=UTF-8"),
        ("content-length", "10"),
        ("accept-ranges", "bytes"),
        ("last-modified", "Sun, 22 Nov 2026 05:57:58 GMT"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{name}");
    }
    assert!(answer.header("etag").unwrap().starts_with('"'));
    assert!(
        answer
            .header("content-security-policy")
            .unwrap()
            .contains("default-src 'none'")
    );
    assert_eq!(answer.header("content-encoding"), None);
}

#[test]
fn head_has_the_headers_of_get_and_no_body() {
    let site = with_release();
    let mut connection = site.connect();
    connection.send(&format!("HEAD {RELEASE} HTTP/1.1\r\nHost: h\r\n\r\n"));
    let head = connection.answer(true);
    assert_eq!(head.header("content-length"), Some("10"));
    // The connection is still in step.
    connection.send(&format!("GET {RELEASE} HTTP/1.1\r\nHost: h\r\n\r\n"));
    let get = connection.answer(false);
    assert_eq!(get.text(), "0123456789");
    assert_eq!(head.header("etag"), get.header("etag"));
}

#[test]
fn part_of_a_file() {
    let site = with_release();
    let answer = site.get_with(RELEASE, "Range: bytes=2-4");
    assert_eq!((answer.status, answer.text()), (206, "234"));
    assert_eq!(answer.header("content-range"), Some("bytes 2-4/10"));
    let answer = site.get_with(RELEASE, "Range: bytes=10-");
    assert_eq!(answer.status, 416);
    assert_eq!(answer.header("content-range"), Some("bytes */10"));
}

#[test]
fn unchanged_file_is_not_sent_again() {
    let site = with_release();
    let known = "If-Modified-Since: Sun, 22 Nov 2026 05:57:58 GMT";
    assert_eq!(site.get_with(RELEASE, known).status, 304);
    let etag = site.get(RELEASE).header("etag").unwrap().to_owned();
    let answer = site.get_with(RELEASE, &format!("If-None-Match: {etag}"));
    assert_eq!(answer.status, 304);
    site.file(
        "repositories/test/dists/sid-test-stable/Release",
        "new content",
    );
    let answer = site.get_with(RELEASE, &format!("If-None-Match: {etag}"));
    assert_eq!((answer.status, answer.text()), (200, "new content"));
}

#[test]
fn release_has_one_date_from_its_first_moment() {
    let site = Site::start();
    let path = site.file("repositories/test/dists/sid-test-stable/Release", "new");
    // Published again and again within seconds, it may be dated ahead.
    for ahead in [0, 5] {
        let modified = SystemTime::now() + Duration::from_secs(ahead);
        File::open(&path).unwrap().set_modified(modified).unwrap();
        let second = Timestamp::try_from(modified).unwrap().as_second();
        let date = Timestamp::from_second(second).unwrap();
        let date = rfc2822::DateTimePrinter::new()
            .timestamp_to_rfc9110_string(&date)
            .unwrap();
        let answer = site.get(RELEASE);
        assert_eq!(answer.header("last-modified"), Some(date.as_str()));
        let known = format!("If-Modified-Since: {date}");
        assert_eq!(site.get_with(RELEASE, &known).status, 304);
    }
}

#[test]
fn large_file_arrives_whole() {
    let site = Site::start();
    let content: Vec<u8> = (0..3_000_001_u32)
        .map(|number| (number % 251) as u8)
        .collect();
    site.file("var/events/big.deb", &content);
    let answer = site.get("/static/events/big.deb");
    assert!(answer.body == content);
    assert_eq!(
        answer.header("content-type"),
        Some("application/vnd.debian.binary-package")
    );
}

#[test]
fn growing_log_is_sent_as_far_as_it_is() {
    let site = Site::start();
    let path = site.file("var/builds/hello/1/t/amd64/hello.buildlog", "first\n");
    let url = "/static/builds/hello/1/t/amd64/hello.buildlog";
    assert_eq!(site.get(url).text(), "first\n");
    File::options()
        .append(true)
        .open(path)
        .unwrap()
        .write_all(b"second\n")
        .unwrap();
    assert_eq!(site.get(url).text(), "first\nsecond\n");
    assert_eq!(site.get_with(url, "Range: bytes=6-").text(), "second\n");
}

#[test]
fn only_dists_and_pool_of_a_repository_are_served() {
    let site = with_release();
    site.file("repositories/test/conf/options", "secret");
    site.file("repositories/test/pool/main/h/hello/h.dsc", "dsc");
    assert_eq!(
        site.get("/repositories/test/pool/main/h/hello/h.dsc")
            .status,
        200
    );
    for path in ["conf/options", "conf/", "conf", "db/", ".lock"] {
        assert_eq!(
            site.get(&format!("/repositories/test/{path}")).status,
            404,
            "{path}"
        );
    }
    let listing = site.get("/repositories/test/");
    assert!(listing.text().contains("./pool/"), "{listing:?}");
    assert!(!listing.text().contains("conf"));
    assert!(site.get("/repositories/").text().contains("./test/"));
}

#[test]
fn nothing_outside_is_reached() {
    let site = with_release();
    fs::write(site.directory.path().join("secret"), "secret").unwrap();
    site.file("keys/signing.asc", "secret");
    let pool = site.home.root().join("repositories/test/pool");
    fs::create_dir_all(&pool).unwrap();
    symlink("/etc", pool.join("etc")).unwrap();
    symlink("../../../keys/signing.asc", pool.join("key")).unwrap();
    symlink("../dists", pool.join("inner")).unwrap();
    for path in [
        "/repositories/../keys/signing.asc",
        "/repositories/test/dists/../../../keys/signing.asc",
        "/repositories/test/dists/..%2f..%2f..%2fkeys/signing.asc",
        "/repositories/test/dists/%2e%2e/%2e%2e/%2e%2e/keys/signing.asc",
        "/repositories/test/dists/..\\..\\..\\keys/signing.asc",
        "/repositories/%2e%2e/keys/signing.asc",
        "/repositories/..%00/x",
        "/repositories//test/dists/",
        "/repositories/test//dists/",
        "/repositories/test/pool/etc/passwd",
        "/repositories/test/pool/etc/",
        "/repositories/test/pool/key",
        "/repositories/test/pool/inner/sid-test-stable/Release",
        "/static/events/../../keys/signing.asc",
        "/static/events/%2e%2e/%2e%2e/keys/signing.asc",
        "/static/events//etc/passwd",
        "/static/events/%2fetc%2fpasswd",
        "/static/builds/..;/..;/keys/signing.asc",
        "/mini_buildd/builds-dir/../../keys/signing.asc",
        "/static/events/%ff%fe",
        "/static/events/%",
        "/static/events/%zz",
        "//etc/passwd",
        "/keys/signing.asc",
    ] {
        let answer = site.get(path);
        assert_eq!(answer.status, 404, "{path}");
        assert!(!answer.text().contains("secret"), "{path}");
    }
    let absolute =
        site.ask("GET http://h/repositories/../keys/signing.asc HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(absolute.status, 404);
}

#[test]
fn directory_is_listed_with_escaped_names() {
    let site = Site::start();
    site.file("var/events/<script>alert(1)<&\"'>.json", "{}");
    site.file("var/events/a b/c:d+e~f.changes", "x");
    assert_eq!(site.get("/static/events").status, 302);
    let moved = site.get("/static/events/a%20b?x=1");
    assert_eq!(
        (moved.status, moved.header("location")),
        (302, Some("/static/events/a%20b/?x=1"))
    );
    let listing = site.get("/static/events/");
    assert_eq!(
        listing.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    assert!(!listing.text().contains("<script>"), "{}", listing.text());
    assert!(
        listing.text().contains("href=\"./a%20b/\""),
        "{}",
        listing.text()
    );
    let below = site.get("/static/events/a%20b/");
    assert!(
        below.text().contains("href=\"./c%3Ad+e~f.changes\""),
        "{}",
        below.text()
    );
    assert_eq!(
        site.get("/static/events/a%20b/c%3Ad+e~f.changes").text(),
        "x"
    );
    assert_eq!(
        site.get("/static/events/a%20b/c:d+e~f.changes/").status,
        404
    );
}

#[test]
fn package_can_not_bring_a_page() {
    let site = Site::start();
    site.file("var/builds/x.html", "<script>alert(1)</script>");
    let answer = site.get("/static/builds/x.html");
    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; charset=UTF-8")
    );
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
}

#[test]
fn files_are_read_only() {
    let site = with_release();
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        let answer = site.ask(&format!(
            "{method} {RELEASE} HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx"
        ));
        assert_eq!(answer.status, 405, "{method}");
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let site = Site::start();
    for number in 0..20 {
        site.file(&format!("var/events/{number}"), format!("content {number}"));
    }
    let requests: Vec<_> = (0..20)
        .map(|number| format!("GET /static/events/{number} HTTP/1.1\r\nHost: h\r\n\r\n"))
        .collect();
    let mut connection = site.connect();
    connection.send(&requests.concat());
    for number in 0..20 {
        assert_eq!(connection.answer(false).text(), format!("content {number}"));
    }
}

#[test]
fn malformed_requests_do_no_harm() {
    let site = with_release();
    let long = "x".repeat(100_000);
    let many: Vec<_> = (0..500)
        .map(|number| format!("X-{number}: y\r\n"))
        .collect();
    let many = many.concat();
    for request in [
        format!("GET /{long} HTTP/1.1\r\nHost: h\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: h\r\nX: {long}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: h\r\n{many}\r\n"),
        "GET / HTTP/9.9\r\n\r\n".into(),
        "GET /\u{0}x HTTP/1.1\r\nHost: h\r\n\r\n".into(),
        "\r\n\r\n\u{1}\u{2}\r\n\r\n".into(),
    ] {
        let mut stream = TcpStream::connect(site.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        // The server may refuse before all is sent.
        let _ = stream.write_all(request.as_bytes());
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
            "{answer}"
        );
    }
    assert_eq!(site.get(RELEASE).status, 200);
}

#[test]
fn body_of_a_request_is_no_second_request() {
    let site = with_release();
    let mut connection = site.connect();
    connection.send(
        "GET /nothing HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n\
         0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n",
    );
    let mut answers = String::new();
    connection.reader.read_to_string(&mut answers).unwrap();
    assert!(answers.matches("HTTP/1.1").count() <= 1, "{answers}");
    // A second request of the first client would stand before this one.
    site.get(RELEASE);
    assert!(!site.stop(2).contains("smuggled"));
}

#[test]
fn slow_clients_hold_up_nobody() {
    let site = with_release();
    let slow: Vec<_> = (0..300)
        .map(|_| {
            let mut connection = site.connect();
            connection.send("GET / HTTP/1.1\r\nHo");
            connection
        })
        .collect();
    assert_eq!(site.get(RELEASE).status, 200);
    drop(slow);
}

#[test]
fn end_of_the_server_waits_for_no_idle_client() {
    let site = with_release();
    let mut idle = site.connect();
    idle.send(&format!("GET {RELEASE} HTTP/1.1\r\nHost: h\r\n\r\n"));
    assert_eq!(idle.answer(false).status, 200);
    let began = std::time::Instant::now();
    site.stop(1);
    assert!(began.elapsed() < Duration::from_secs(2));
    assert_eq!(idle.line(), "");
}

#[test]
fn every_request_is_in_the_access_log() {
    let site = with_release();
    site.get_with(RELEASE, "User-Agent: test \"1\"");
    site.get("/nothing");
    let log = site.stop(2);
    let lines: Vec<_> = log.lines().collect();
    assert_eq!(lines.len(), 2, "{log}");
    assert!(lines[0].starts_with("127.0.0.1 - - ["), "{log}");
    assert!(
        lines[0].ends_with(&format!(
            "\"GET {RELEASE} HTTP/1.1\" 200 10 \"-\" \"test \\\"1\\\"\""
        )),
        "{log}"
    );
    assert!(lines[1].contains("\"GET /nothing HTTP/1.1\" 404 "), "{log}");
}
