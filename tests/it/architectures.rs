//! Uploads that are built for several architectures; what builders send is the test's.
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::sync::Arc;

use mini_buildd::fetch::Client;
use mini_buildd::model::{Distribution, Event, EventType, Source};
use mini_buildd::setup;
use mini_buildd::store::{self, Store, items};

use crate::instance::{TestInstance, facts};
use crate::package::Upload;
use crate::results::{hello, message, request};

const DIST: &str = "trixie-test-unstable";
const VERSION: &str = "1.0~test13+1";

/// An instance for amd64, which builds for all, and i386.
fn instance() -> TestInstance {
    let mut first = None;
    let instance = TestInstance::new(&facts(), |items| first = Some(items.chroot.clone()));
    let second = setup::architectures::like(&first.unwrap(), &"i386".parse().unwrap());
    let store = Arc::new(Store::open(&instance.home.database()).unwrap());
    setup::architectures::add(&instance.home, &store, "buildd.test", &second).unwrap();
    instance
}

/// Sends a source whose .dsc has this field Architecture.
fn upload(instance: &mut TestInstance, source: &str, architecture: &str) {
    let upload = Upload::with_dsc(source, VERSION, DIST, |dsc| {
        dsc.replace(
            "Architecture: any\n",
            &format!("Architecture: {architecture}\n"),
        )
    });
    let files = upload.signed(&instance.uploader);
    instance.send(&files);
}

/// What builders are asked for hello, which is for any architecture.
fn asked(instance: &mut TestInstance) -> Event {
    instance.start_deaf();
    upload(instance, "hello", "any");
    instance.wait_for(EventType::Packaging, "hello")
}

/// Sends what a builder of one architecture says.
fn answer(instance: &mut TestInstance, packaging: &Event, architecture: &str, status: &str) {
    let request = request(instance, packaging, architecture);
    let packages = match status {
        "successful" => hello(instance, architecture),
        _ => Vec::new(),
    };
    let message = message(&request, &packages, &instance.key(), |result| {
        result.sbuild.insert("status".into(), status.into());
    });
    instance.send(&message);
}

fn packages(instance: &TestInstance, architecture: &str) -> String {
    instance.published(&format!("{DIST}/main/binary-{architecture}/Packages"))
}

fn asked_of(packaging: &Event) -> Vec<&str> {
    let requests = packaging.extra["buildrequests"].as_object().unwrap();
    requests.keys().map(String::as_str).collect()
}

#[test]
fn each_architecture_is_asked_for_what_it_builds() {
    let mut instance = instance();
    instance.start_deaf();
    for (source, architecture, of) in [
        ("for-any", "any", &["amd64", "i386"][..]),
        ("for-any-and-all", "any all", &["amd64", "i386"]),
        ("for-all", "all", &["amd64"]),
        ("for-i386", "i386", &["i386"]),
        ("for-i386-and-all", "all i386", &["amd64", "i386"]),
    ] {
        upload(&mut instance, source, architecture);
        let packaging = instance.wait_for(EventType::Packaging, source);
        assert_eq!(asked_of(&packaging), of, "{architecture}");
        for asked in of {
            let request = request(&instance, &packaging, asked);
            assert_eq!(request.arch_all, *asked == "amd64", "{architecture}");
        }
    }
}

#[test]
fn package_for_none_of_the_architectures_is_rejected() {
    let mut instance = instance();
    instance.start_deaf();
    upload(&mut instance, "hello", "s390x");
    let rejected = instance.wait_for(EventType::Rejected, "hello");
    let detail = rejected.extra["error"]["detail"].as_str().unwrap();
    assert!(
        detail.contains("s390x builds nothing on amd64 i386"),
        "{detail}"
    );
}

#[test]
fn nothing_is_installed_before_all_results_are_in_and_a_kill_between_them_loses_none() {
    let mut instance = instance();
    let packaging = asked(&mut instance);
    answer(&mut instance, &packaging, "i386", "successful");
    instance.crash();
    instance.start_deaf();
    assert_eq!(instance.events(EventType::Installed, "hello"), []);
    assert_eq!(packages(&instance, "i386"), "");
    answer(&mut instance, &packaging, "amd64", "successful");
    let installed = instance.wait_for(EventType::Installed, "hello");
    let results = installed.extra["buildresults"].as_object().unwrap();
    let results: Vec<&str> = results.keys().map(String::as_str).collect();
    assert_eq!(results, ["amd64", "i386"]);
    for architecture in ["amd64", "i386"] {
        let packages = packages(&instance, architecture);
        assert!(
            packages.contains(&format!("_{architecture}.deb\n")),
            "{packages}"
        );
    }
    assert_eq!(
        instance.log("hello"),
        [EventType::Packaging, EventType::Installed]
    );
}

#[test]
fn failed_mandatory_architecture_is_named_and_nothing_is_installed() {
    let mut instance = instance();
    let packaging = asked(&mut instance);
    answer(&mut instance, &packaging, "i386", "attempted");
    answer(&mut instance, &packaging, "amd64", "successful");
    let failed = instance.wait_for(EventType::Failed, "hello");
    let detail = failed.extra["error"]["detail"].as_str().unwrap();
    let expected = "1 mandatory architecture(s) missing: i386; i386: attempted, log: ";
    assert!(detail.starts_with(expected), "{detail}");
    assert_eq!(packages(&instance, "amd64"), "");
    assert_eq!(
        instance.published(&format!("{DIST}/main/source/Sources")),
        ""
    );
}

#[test]
fn optional_architecture_may_fail() {
    let mut instance = instance();
    let store = Store::open(&instance.home.database()).unwrap();
    store
        .write::<_, store::Error>(|tx| {
            let (mut distribution, status) = items::get::<Distribution>(tx, "trixie")?.unwrap();
            distribution.architectures[1].optional = true;
            items::put(tx, &distribution, status)
        })
        .unwrap();
    let packaging = asked(&mut instance);
    answer(&mut instance, &packaging, "amd64", "successful");
    answer(&mut instance, &packaging, "i386", "attempted");
    instance.wait_for(EventType::Installed, "hello");
    assert!(packages(&instance, "amd64").contains("Package: hello\n"));
    assert_eq!(packages(&instance, "i386"), "");
}

/// Serves this Release file once, at any path; the archive's URL.
fn archive(release: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/debian/", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let lines = BufReader::new(stream.try_clone().unwrap()).lines();
        let head = lines.map(Result::unwrap);
        assert!(head.take_while(|line| !line.is_empty()).count() > 0);
        let length = release.len();
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{release}"
        )
        .unwrap();
    });
    url
}

#[test]
fn architecture_that_the_archive_lacks_is_refused() {
    let instance = instance();
    let store = Store::open(&instance.home.database()).unwrap();
    let source = store.read(|tx| items::get::<Source>(tx, "Debian:trixie"));
    let (mut source, _) = source.unwrap().unwrap();
    let check = |source: &Source, architecture: &str| {
        setup::architectures::check_archive(&Client::new(), source, &architecture.parse().unwrap())
    };
    let release = "Origin: Debian\nArchitectures: all amd64 i386\n";
    source.archives = vec![archive(release)];
    check(&source, "i386").unwrap();
    source.archives = vec![archive(release)];
    let error = check(&source, "armhf").unwrap_err().to_string();
    let url = format!("{}dists/trixie/InRelease", source.archives[0]);
    let expected = format!("{url} has no packages for armhf, only for all amd64 i386");
    assert_eq!(error, expected);
    // Nobody answers any more.
    let error = check(&source, "i386").unwrap_err().to_string();
    assert!(
        error.contains("which architectures the archive has"),
        "{error}"
    );
}

#[test]
fn architecture_that_is_added_again_changes_nothing() {
    let instance = instance();
    let release = format!("{DIST}/InRelease");
    let before = instance.published(&release);
    assert!(before.contains("\nArchitectures: amd64 i386\n"), "{before}");
    let store = Arc::new(Store::open(&instance.home.database()).unwrap());
    let catalog = store.read(store::catalog::Catalog::load).unwrap();
    let chroots: Vec<String> = catalog.chroots.keys().cloned().collect();
    assert_eq!(chroots, ["trixie:amd64", "trixie:i386"]);
    for chroot in catalog.chroots() {
        setup::architectures::add(&instance.home, &store, "buildd.test", chroot).unwrap();
    }
    assert_eq!(instance.published(&release), before);
}
