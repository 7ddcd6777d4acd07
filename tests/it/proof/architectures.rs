//! An instance gets a second architecture that its machine runs, and builds for both.
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use mini_buildd::chroots::Trial;
use mini_buildd::deb::Architecture;
use mini_buildd::model::{Chroot, Daemon, Distribution, Event, EventType};
use mini_buildd::setup::machine::{self, CannotRun};
use mini_buildd::store::{self, Store, items};
use serde_json::Value;

use crate::base::Base;
use crate::buildd::Buildd;
use crate::packager::{private_apt, run};
use crate::program::program;
use crate::slow;
use crate::small_source::SmallSource;

/// Compiles what tells how many bits its machine has.
const COMPILE: &str = r#"echo "machine: $$(uname -m)"; \
	printf '%s\n' '#include <stdio.h>' \
	'int main(void) { return printf("%zu bits\n", 8 * sizeof(void *)) < 0; }' > bits.c; \
	cc -o program bits.c"#;

struct Instance {
    buildd: Buildd,
    machine: Architecture,
    second: Architecture,
    /// What the dist's Release file was before.
    release: String,
}

/// The second architecture; `None`, and tells why, where this machine runs no other.
fn second(machine: &Architecture) -> Option<Architecture> {
    let second = match machine.as_str() {
        "amd64" => "i386",
        "arm64" => "armhf",
        other => {
            eprintln!("skipped: machines of {other} run no other architecture of Debian");
            return None;
        }
    };
    let second = second.parse().unwrap();
    match machine::check(machine, &second) {
        Ok(()) => Some(second),
        Err(refused @ CannotRun::Refused { .. }) => {
            eprintln!("skipped: {refused}; use {}", refused.remedy().unwrap());
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// The one instance of these tests, one test at a time.
fn instance() -> Option<MutexGuard<'static, Instance>> {
    static INSTANCE: LazyLock<Option<Mutex<Instance>>> = LazyLock::new(|| {
        let machine = Base::get().chroot.architecture.clone();
        let second = second(&machine)?;
        Some(Mutex::new(extended(machine, second)))
    });
    let instance = INSTANCE.as_ref()?;
    Some(instance.lock().unwrap_or_else(PoisonError::into_inner))
}

/// An instance that runs while it gets the second architecture.
fn extended(machine: Architecture, second: Architecture) -> Instance {
    let mut buildd = Buildd::made(Base::get().home("architectures"));
    let store = Store::open(&buildd.home.database()).unwrap();
    let codename = Base::get().chroot.codename.as_str();
    store
        .write::<_, store::Error>(|tx| {
            let (mut distribution, status) = items::get::<Distribution>(tx, codename)?.unwrap();
            // Mirrors may lag behind with the updates of one architecture alone.
            distribution.extra_sources.clear();
            items::put(tx, &distribution, status)?;
            let (mut daemon, status) = items::get::<Daemon>(tx, "daemon")?.unwrap();
            daemon.max_parallel_builds = 2;
            items::put(tx, &daemon, status)
        })
        .unwrap();
    drop(store);
    buildd.start();
    let dist = buildd.dist.clone();
    let release = buildd.wait("the dist is published", |buildd| {
        Some(buildd.published(&dist, "Release")).filter(|text| !text.is_empty())
    });
    up(&buildd, &second);
    Instance {
        buildd,
        machine,
        second,
        release,
    }
}

fn up(buildd: &Buildd, architecture: &Architecture) {
    run(Command::new(program())
        .args(["up", "--no-start"])
        .args(["--architecture", architecture.as_str(), "--home"])
        .arg(buildd.home.root()));
}

impl Instance {
    fn both(&self) -> [&Architecture; 2] {
        [&self.machine, &self.second]
    }

    fn upload(&self, source: &SmallSource) {
        let work = Base::get().directory(&format!("{}-work", source.name));
        let tree = source.write(&work);
        let version = format!("1.0{}", self.buildd.suffix);
        let dist = &self.buildd.dist;
        let changes = self.buildd.uploader.build_source(&tree, &version, dist);
        self.buildd.curl(&changes);
    }

    fn packages(&self, architecture: &Architecture) -> String {
        let index = format!("main/binary-{architecture}/Packages");
        self.buildd.published(&self.buildd.dist, &index)
    }

    /// The event of one architecture's build.
    fn event_of(
        &self,
        kind: EventType,
        source: &str,
        architecture: &Architecture,
    ) -> Option<Event> {
        let mut events = self.buildd.events_of(kind, source);
        events.retain(|event| event.extra["architecture"] == architecture.as_str());
        assert!(events.len() < 2, "{events:#?}");
        events.pop()
    }
}

fn line(field: &str, words: &[&Architecture]) -> String {
    let words: Vec<&str> = words.iter().map(|word| word.as_str()).collect();
    format!("\n{field}: {}\n", words.join(" "))
}

#[test]
fn running_instance_gets_another_architecture_once() {
    let Some(instance) = instance() else {
        return;
    };
    let buildd = &instance.buildd;
    let [machine, second] = instance.both();
    assert!(
        instance
            .release
            .contains(&line("Architectures", &[machine]))
    );
    let release = buildd.published(&buildd.dist, "Release");
    assert!(
        release.contains(&line("Architectures", &[machine, second])),
        "{release}"
    );
    let origin = |release: &str| release.lines().next().map(str::to_owned);
    assert_eq!(origin(&release), origin(&instance.release));
    let status: Value = serde_json::from_str(&buildd.api("status")).unwrap();
    let codename = &Base::get().chroot.codename;
    let chroots = [machine, second].map(|architecture| format!("{codename}:{architecture}"));
    assert_eq!(status["chroots"], serde_json::json!(chroots));
    up(buildd, second);
    assert_eq!(buildd.published(&buildd.dist, "Release"), release);
}

#[test]
fn package_is_built_for_both_side_by_side_and_survives_a_kill_between_their_ends() {
    if slow::is_left_to_the_user() {
        return;
    }
    let Some(mut instance) = instance() else {
        return;
    };
    let name = "mbd-bits";
    let (machine, second) = (instance.machine.clone(), instance.second.clone());
    // The other one ends first; make knows it by what dpkg-buildpackage tells.
    let build =
        format!("{COMPILE}\n\techo it-builds; test $(DEB_HOST_ARCH) = {machine} || sleep 20");
    instance.upload(&SmallSource {
        name,
        packages: &[(name, "any"), ("mbd-bits-doc", "all")],
        build: &build,
        ..SmallSource::default()
    });
    let built_of =
        |instance: &Instance, architecture| instance.event_of(EventType::Built, name, architecture);
    let what = format!("{name} is built for {machine}");
    let home = instance.buildd.home.clone();
    let is_built = |buildd: &Buildd| {
        let events = buildd.events_of(EventType::Built, name);
        let of_machine = |event: &Event| event.extra["architecture"] == machine.as_str();
        events.iter().any(of_machine).then_some(())
    };
    instance.buildd.wait(&what, is_built);
    assert_eq!(built_of(&instance, &second), None, "one of them goes on");
    instance.buildd.crash();
    instance.buildd.ended(name, EventType::Installed);

    let building = |architecture| {
        let event = instance.event_of(EventType::Building, name, architecture);
        event.unwrap().timestamp
    };
    let first = built_of(&instance, &machine).unwrap();
    assert!(building(&second) < first.timestamp, "side by side");
    let last = built_of(&instance, &second).unwrap();
    assert!(first.timestamp < last.timestamp);

    for (architecture, kernel, bits, build_type) in [
        (&machine, std::env::consts::ARCH, "64 bits", "binary"),
        (&second, machine32(), "32 bits", "any"),
    ] {
        let event = built_of(&instance, architecture).unwrap();
        let log = home
            .events()
            .join(event.extra["buildlog"].as_str().unwrap());
        let log = fs::read_to_string(log).unwrap();
        for said in [
            format!("\nmachine: {kernel}\n"),
            format!("\nMachine Architecture: {machine}\nHost Architecture: {architecture}\n"),
            format!("\nBuild Type: {build_type}\n"),
        ] {
            assert!(log.contains(&said), "{said:?} is not in {log}");
        }
        let tar = format!("{}.tar", instance.buildd.changes(&event).display());
        let members = run(Command::new("tar").args(["--list", "--file", &tar]));
        let members = String::from_utf8(members.stdout).unwrap();
        let buildinfo = format!("{name}_{}_{architecture}.buildinfo\n", event.version);
        assert!(members.contains(&buildinfo), "{members}");
        assert_eq!(
            members.contains("_all.deb\n"),
            *architecture == machine,
            "packages for all are built once: {members}"
        );
        let packages = instance.packages(architecture);
        for package in [name, "mbd-bits-doc"] {
            assert!(
                packages.contains(&format!("Package: {package}\n")),
                "{packages}"
            );
        }
        assert_eq!(try_package(&instance, architecture, name), bits);
        assert_eq!(download(&instance, architecture, name), 1);
    }
}

/// What uname(2) says where programs have 32 bits.
fn machine32() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "i686",
        "aarch64" => "armv8l",
        other => other,
    }
}

/// Installs a package in a chroot of the architecture; what its program says.
fn try_package(instance: &Instance, architecture: &Architecture, package: &str) -> String {
    let base = Base::get();
    let buildd = &instance.buildd;
    let chroot = Chroot {
        architecture: architecture.clone(),
        ..base.chroot.clone()
    };
    let sources = format!(
        "Types: deb\nURIs: {}/repositories/test/\nSuites: {}\nComponents: main\nArchitectures: {architecture}\n\
         Signed-By: {}\n",
        buildd.http_url,
        buildd.dist,
        Trial::KEY
    );
    let said = base.chroots.try_package(
        &chroot,
        &Trial {
            sources: &sources,
            key: &buildd.api("pub_key"),
            package: &package.parse().unwrap(),
            command: &[package],
        },
        &mut |_| {},
    );
    said.unwrap().trim().to_owned()
}

/// Has the host's apt, as that of a machine of the architecture, take a package by what `sources_list` says; how many
/// files came.
fn download(instance: &Instance, architecture: &Architecture, package: &str) -> usize {
    let buildd = &instance.buildd;
    let state = tempfile::tempdir().unwrap();
    let key = state.path().join("key.asc");
    fs::write(&key, buildd.api("pub_key")).unwrap();
    let options = format!("arch={architecture} signed-by={}", key.display());
    let sources = run(Command::new(program())
        .args(["api", "sources_list", &buildd.http_url])
        .args(["--suites", "unstable", "--options", &options]));
    let sources = String::from_utf8(sources.stdout).unwrap();
    let apt = |words: &[&str]| {
        let mut command = private_apt("apt-get", &state.path().join("apt"), &sources);
        run(command
            .args(["-o", &format!("APT::Architecture={architecture}")])
            .args(["-o", &format!("APT::Architectures={architecture}")])
            .args(words)
            .current_dir(state.path()));
    };
    apt(&["update", "--error-on=any"]);
    apt(&["download", package]);
    let end = format!("_{architecture}.deb");
    let found = fs::read_dir(state.path()).unwrap();
    let names = found.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(&end)).count()
}

#[test]
fn each_architecture_builds_what_is_for_it_and_one_that_fails_fails_all() {
    if slow::is_left_to_the_user() {
        return;
    }
    let Some(mut instance) = instance() else {
        return;
    };
    let (machine, second) = (instance.machine.clone(), instance.second.clone());
    let fails = format!("test $(DEB_HOST_ARCH) = {machine}");
    for source in [
        SmallSource {
            name: "mbd-for-all",
            ..SmallSource::default()
        },
        SmallSource {
            name: "mbd-for-one",
            packages: &[("mbd-for-one", second.as_str())],
            ..SmallSource::default()
        },
        SmallSource {
            name: "mbd-fails-on-one",
            packages: &[("mbd-fails-on-one", "any")],
            build: &fails,
            ..SmallSource::default()
        },
    ] {
        instance.upload(&source);
    }
    for (name, end, of) in [
        ("mbd-for-all", EventType::Installed, vec![&machine]),
        ("mbd-for-one", EventType::Installed, vec![&second]),
        (
            "mbd-fails-on-one",
            EventType::Failed,
            vec![&machine, &second],
        ),
    ] {
        let event = instance.buildd.ended(name, end);
        let results = event.extra["buildresults"].as_object().unwrap();
        let results: Vec<&str> = results.keys().map(String::as_str).collect();
        let of: Vec<&str> = of
            .iter()
            .map(|architecture| architecture.as_str())
            .collect();
        assert_eq!(results, of, "{name}");
    }
    let failed = instance.buildd.end_of("mbd-fails-on-one");
    let detail = failed.extra["error"]["detail"].as_str().unwrap();
    let expected = format!("1 mandatory architecture(s) missing: {second}; {second}: ");
    let log = instance.buildd.build_logs("mbd-fails-on-one").concat();
    assert!(detail.starts_with(&expected), "{detail}");
    let status = |architecture: &Architecture| {
        failed.extra["buildresults"][architecture.as_str()]["sbuild_status"].clone()
    };
    assert_eq!(
        [status(&machine), status(&second)],
        ["successful", "attempted"],
        "{log}"
    );
    for (architecture, package) in [
        (&machine, "mbd-for-all"),
        (&second, "mbd-for-all"),
        (&second, "mbd-for-one"),
    ] {
        let stanza = format!("Package: {package}\n");
        assert!(
            instance.packages(architecture).contains(&stanza),
            "{package} of {architecture}"
        );
    }
    for architecture in instance.both() {
        assert!(!instance.packages(architecture).contains("mbd-fails-on-one"));
    }
    assert!(!instance.packages(&machine).contains("mbd-for-one"));
    assert_logs_are_served(&instance, "mbd-fails-on-one");
}

/// The page of events links to the logs of both builds, with the builder and with the packager.
fn assert_logs_are_served(instance: &Instance, source: &str) {
    let url = &instance.buildd.http_url;
    let get = |path: &str| {
        let url = format!("{url}{path}");
        let body = run(Command::new("curl").args(["--silent", "--fail", &url]));
        String::from_utf8(body.stdout).unwrap()
    };
    let page = get("/mini_buildd/events/");
    let links = page.split("href=\"").skip(1);
    let links = links.filter_map(|rest| rest.split('"').next());
    let links: BTreeSet<&str> = links
        .filter(|link| link.contains(source) && link.ends_with(".buildlog"))
        .collect();
    for architecture in instance.both() {
        for place in ["/mini_buildd/builds-dir/", "/mini_buildd/events-dir/"] {
            let end = format!("_{architecture}.buildlog");
            let mut links = links.iter();
            let link = links.find(|link| link.starts_with(place) && link.ends_with(&end));
            let log = get(link.unwrap_or_else(|| panic!("{place} {end}: {page}")));
            let host = format!("\nHost Architecture: {architecture}\n");
            assert!(log.contains(&host), "{log}");
        }
    }
}

#[test]
fn architecture_that_is_not_to_be_had_is_refused_before_anything_is_made() {
    let home: PathBuf = Base::get().directory("refused-architectures");
    let machine = &Base::get().chroot.architecture;
    for (architecture, words) in [
        ("all", "all is no machine"),
        ("hurd-i386", "by emulation only"),
        ("../etc", "must match"),
    ] {
        let refused = Command::new(program())
            .args(["up", "--no-start", "--architecture", architecture, "--home"])
            .arg(&home)
            .output()
            .unwrap();
        let said = String::from_utf8(refused.stderr).unwrap();
        assert!(!refused.status.success(), "{said}");
        assert!(said.contains(words), "{said}");
        assert_eq!(fs::read_dir(&home).unwrap().count(), 0, "{machine}: {said}");
    }
}
