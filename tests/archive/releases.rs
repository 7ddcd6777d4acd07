//! apt of all releases that Debian supports, in chroots of our own.
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use backends::Bootstrap;
use jiff::Zoned;
use mini_buildd::chroots::tree::Tree;
use mini_buildd::chroots::{Chroots, Session, apt, process};
use mini_buildd::deb::distro_info::{self, Release};
use mini_buildd::fetch::Proxies;
use mini_buildd::home::Home;
use mini_buildd::model::Chroot;
use mini_buildd::setup::host::{HostFacts, host_facts};
use sandbox::{IdMap, Launcher, Network};

use crate::program::program;
use crate::repository::{COMPONENTS, DIST, Repository, architectures};
use crate::server::{Server, indices_by_hash};

const KEY: &str = "/etc/apt/keyrings/test.asc";
const SOURCES: &str = "/etc/apt/test.list";
/// The machine's apt.conf may have gone into the chroot, and may switch these off.
const CONFIGURATION: &str = "Acquire::Check-Valid-Until \"true\";\nAcquire::Check-Date \"true\";\n\
    Acquire::Retries \"0\";\nAcquire::Languages \"en\";\nAcquire::http::Proxy \"DIRECT\";\n\
    APT::Sandbox::User \"root\";\nDir::Etc::sourcelist \"/etc/apt/test.list\";\nDir::Etc::sourceparts \"-\";\n";

/// From the one two before the stable release to sid.
fn releases() -> Vec<Release> {
    let table = fs::read_to_string("/usr/share/distro-info/debian.csv").unwrap();
    let today = Zoned::now().date();
    let all = distro_info::parse(&table);
    let mut numbered: Vec<Release> = all
        .iter()
        .filter(|release| release.version.is_some() && release.created <= Some(today))
        .cloned()
        .collect();
    numbered.sort_by_key(|release| release.created);
    // The end of support is known from the release on.
    let stable = numbered
        .iter()
        .rposition(|release| release.end_of_life.is_some());
    let mut releases = numbered.split_off(stable.unwrap() - 2);
    let sid = distro_info::find(&all, &"sid".parse().unwrap());
    releases.push(sid.unwrap().clone());
    releases
}

/// Where chroots of a test are.
struct Place {
    directory: PathBuf,
    launcher: Arc<Launcher>,
    chroots: Chroots,
    facts: HostFacts,
}

impl Place {
    fn new() -> Place {
        // Not /tmp: it may be memory.
        let parent = std::env::var_os("TMPDIR").unwrap_or_else(|| "/var/tmp".into());
        let directory = tempfile::tempdir_in(parent).unwrap().keep();
        let launcher = Arc::new(Launcher {
            helper: program(),
            ids: IdMap::of_caller().unwrap(),
        });
        let home = Home::new(&directory);
        home.create().unwrap();
        Place {
            directory,
            chroots: Chroots::new(home, Arc::clone(&launcher)),
            launcher,
            facts: host_facts("buildd.test".into()).unwrap(),
        }
    }

    /// A session in a new chroot of a release.
    fn begin(&self, release: &Release) -> Result<Session, backends::Error> {
        let chroot = Chroot {
            codename: release.series.parse().unwrap(),
            architecture: self.facts.architecture.clone(),
            source: String::new(),
            backend: self.chroots.choose(None).unwrap().backend,
            debootstrap_extra_options: Vec::new(),
        };
        let backend = self.chroots.backend(&chroot);
        let own = self.facts.codename.as_str();
        let mut sources = self.facts.apt_sources.iter();
        let mirror = sources.find(|source| source.suite == own).unwrap();
        let work = self.directory.join(&release.series);
        let what = Bootstrap {
            codename: release.series.clone(),
            architecture: chroot.architecture.to_string(),
            mirror: mirror.uri.clone(),
            keyring: "/usr/share/keyrings/debian-archive-keyring.gpg".into(),
            variant: "minbase".into(),
            components: vec!["main".into()],
            // debootstrap may be older than the release.
            script: Some("sid".into()),
            options: Vec::new(),
            environment: Proxies::of_host().unwrap().environment(&mirror.uri),
            cache: work.join("cache"),
            log: work.join("log"),
        };
        fs::create_dir(&work).unwrap();
        backends::bootstrap(&self.launcher, backend.as_ref(), &what, &mut |_| {})?;
        let session = self
            .chroots
            .begin(&chroot, backend.as_ref(), None, Network::Host);
        Ok(session.unwrap())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut remove = self.launcher.storage_command("rm");
        let removed = remove.args(["-rf", "--"]).arg(&self.directory).status();
        assert!(removed.unwrap().success());
    }
}

fn run(session: &Session, arguments: &[&str]) -> String {
    session
        .succeed(&process::of_root(arguments, Network::Host))
        .unwrap()
}

/// Takes our repository for the only one.
fn configure(session: &Session, repository: &Repository, url: &str) {
    let components = COMPONENTS.join(" ");
    let sources = ["deb", "deb-src"]
        .map(|kind| format!("{kind} [signed-by={KEY}] {url} {DIST} {components}\n"));
    let mut tree = Tree::default();
    tree.text("/etc/apt/apt.conf.d/99test", CONFIGURATION)
        .text(KEY, repository.key.public_armored())
        .text(SOURCES, sources.concat());
    session.unpack(&tree).unwrap();
}

#[test]
fn apt_of_every_release_updates_installs_and_gets_sources() {
    if std::env::var_os("MINI_BUILDD_TEST_LONG").is_none() {
        eprintln!("not tried: apt of other releases; tests/run --long does");
        return;
    }
    let repository = Repository::with_packages();
    let server = Server::start(&repository.home);
    let place = Place::new();
    let releases = releases();
    assert!(releases.len() >= 4, "{releases:?}");
    for release in releases {
        let session = match place.begin(&release) {
            Ok(session) => session,
            Err(error) if release.end_of_life < Some(Zoned::now().date()) => {
                eprintln!(
                    "not tried: {}, which is out of support: {error}",
                    release.series
                );
                continue;
            }
            Err(error) => panic!("{}: {error}", release.series),
        };
        configure(&session, &repository, &server.url());
        read_with(&session, &repository, &server);
        let version = run(&session, &["apt-get", "--version"]);
        eprintln!("{}: {}", release.series, version.lines().next().unwrap());
        session.close().unwrap();
    }
}

/// Reads the repository in all forms that it has, and packages from it.
fn read_with(session: &Session, repository: &Repository, server: &Server) {
    let own = architectures()[0];
    for form in repository.forms() {
        run(session, &["rm", "-rf", "/var/lib/apt/lists"]);
        let order = format!("-oAcquire::CompressionTypes::Order::={form}");
        run(session, &["apt-get", "update", apt::ERROR_ON_ANY, &order]);
        let indices = indices_by_hash(&server.asked(), DIST, &repository.listed_by_sha512());
        for index in [
            format!("main/binary-{own}/Packages.{form}"),
            format!("main/source/Sources.{form}"),
        ] {
            assert!(indices.contains(&index), "{index} is not in {indices:?}");
        }
    }
    run(
        session,
        &["apt-get", "install", "--yes", "hello", "hello-data"],
    );
    let versions = run(session, &["dpkg-query", "--show", "hello", "hello-data"]);
    assert_eq!(versions, "hello\t1:1.2\nhello-data\t1:1.2\n");
    run(session, &["apt-get", "source", "--download-only", "hello"]);
    for file in ["/hello_1.2.dsc", "/hello_1.2.tar.gz"] {
        session.open(Path::new(file)).unwrap();
    }
    assert_eq!(server.missing(), []);
}
