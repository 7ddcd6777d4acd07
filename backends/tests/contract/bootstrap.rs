//! A real base, of the host's own release, from the archive that the host's apt uses.
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::Instant;

use backends::{Bootstrap, Config, Error, Kind, LayerKey, bootstrap};
use oci_spec::runtime::Mount;

use super::Promise;
use super::fixture::{Fixture, entries, eventually, launcher};

pub(crate) const PROMISES: &[Promise] = &[
    (
        "debootstrap that fails is told with its last words",
        failure_is_told,
    ),
    (
        "debootstrap makes a base, also after it was killed midway",
        makes_a_base,
    ),
];

/// First argument of a process that bootstraps until it is killed.
pub(crate) const RUN: &str = "bootstrap";

pub(crate) fn run(arguments: &[String]) -> ExitCode {
    let [directory, sessions, trash, cache] = arguments else {
        panic!("{arguments:?}");
    };
    let config = Config {
        kind: Kind::Dir,
        directory: PathBuf::from(directory),
        sessions: PathBuf::from(sessions),
        trash: PathBuf::from(trash),
    };
    let launcher = Arc::new(launcher());
    let backend = backends::open(&config, &launcher);
    bootstrap(
        &launcher,
        backend.as_ref(),
        &what(Path::new(cache)),
        &mut |_| {},
    )
    .unwrap();
    ExitCode::SUCCESS
}

fn failure_is_told(fixture: &Fixture) {
    let mut what = what(&fixture.home.path().join("cache"));
    what.mirror = format!("file://{}", fixture.home.path().display());
    let error = bootstrap(
        &fixture.launcher,
        fixture.backend.as_ref(),
        &what,
        &mut |_| {},
    )
    .unwrap_err();

    let Error::Debootstrap { said, log, .. } = &error else {
        panic!("{error}");
    };
    assert!(said.contains("E: "), "{said}");
    assert_eq!(fs::read_to_string(log).unwrap().trim_end(), said);
    assert!(!fixture.backend.exists());
    fixture.wait_for_trash();
    assert!(entries(&fixture.config.directory).is_empty());
}

fn makes_a_base(fixture: &Fixture) {
    let cache = fixture.home.path().join("cache");
    let config = &fixture.config;
    let mut killed = Command::new(&fixture.launcher.helper)
        .arg(RUN)
        .args([&config.directory, &config.sessions, &config.trash, &cache])
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let midway = config.directory.join("base.new/root/usr/bin/dpkg");
    eventually("a half base", || midway.exists());
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert!(!fixture.backend.exists());

    let begun = Instant::now();
    let mut messages = Vec::new();
    let what = what(&cache);
    bootstrap(
        &fixture.launcher,
        fixture.backend.as_ref(),
        &what,
        &mut |message| {
            messages.push(message.to_owned());
        },
    )
    .unwrap();
    eprintln!("bootstrap with cached .debs: {:.1?}", begun.elapsed());

    assert!(fixture.backend.exists());
    assert!(
        messages
            .iter()
            .any(|message| message == "Base system installed successfully.")
    );
    assert_eq!(look(fixture, None, LOOK), "101\n0\n0\n0");
    dpkg_works_on_layers(fixture);
    let mut remove = fixture.launcher.storage_command("rm");
    assert!(remove.arg("-r").arg(&cache).status().unwrap().success());
}

/// Nothing of a machine or a download is left, all is configured, and services don't start.
const LOOK: &str = "
    code=0; /usr/sbin/policy-rc.d ssh start || code=$?; echo $code
    cat /etc/machine-id 2>/dev/null | wc -c
    ls /var/cache/apt/archives/*.deb 2>/dev/null | wc -l
    dpkg --audit | wc -l";

/// Two versions of a package; the second has a file where the first had a directory.
const PACKAGES: &str = "
    mkdir -p /p/DEBIAN /p/usr/share/moving/inner /p/etc
    echo one > /p/usr/share/moving/inner/file
    ln /p/usr/share/moving/inner/file /p/usr/share/moving/hard
    echo conf > /p/etc/moving.conf; echo /etc/moving.conf > /p/DEBIAN/conffiles
    for version in 1 2; do
        printf '%s\n' 'Package: moving' 'Architecture: all' \"Version: $version\" \
            'Maintainer: Nobody <nobody@example.org>' 'Description: moves' > /p/DEBIAN/control
        dpkg-deb --build /p /moving_$version.deb
        rm -r /p/usr/share/moving; echo two > /p/usr/share/moving
    done
    dpkg --install /moving_1.deb";

fn dpkg_works_on_layers(fixture: &Fixture) {
    let first = layer(fixture, "a1", None, PACKAGES);
    let second = layer(
        fixture,
        "b2",
        Some(&first),
        "mv /usr/share/moving/inner /usr/share/moving/elsewhere
         mv /usr/share/moving/elsewhere /usr/share/moving/inner
         dpkg --install /moving_2.deb",
    );
    let third = layer(fixture, "c3", Some(&second), "dpkg --purge moving");

    assert_eq!(
        look(
            fixture,
            Some(&first),
            "cat /usr/share/moving/inner/file; dpkg --verify moving"
        ),
        "one"
    );
    assert_eq!(
        look(
            fixture,
            Some(&second),
            "cat /usr/share/moving /etc/moving.conf; dpkg --verify moving"
        ),
        "two\nconf"
    );
    assert_eq!(
        look(
            fixture,
            Some(&third),
            "ls -d /usr/share/moving /etc/moving.conf 2>/dev/null | wc -l"
        ),
        "0"
    );
}

fn look(fixture: &Fixture, layer: Option<&LayerKey>, script: &str) -> String {
    let snapshot = fixture.snapshot(layer);
    let said = fixture.run_with(snapshot.as_ref(), devices(), script);
    snapshot.close().unwrap();
    said
}

fn layer(fixture: &Fixture, name: &str, parent: Option<&LayerKey>, script: &str) -> LayerKey {
    let key = LayerKey(name.to_owned());
    let snapshot = fixture.snapshot(parent);
    fixture.run_with(snapshot.as_ref(), devices(), script);
    snapshot.freeze(&key).unwrap();
    key
}

fn devices() -> Vec<Mount> {
    let mounts = [("/proc", "proc"), ("/dev", "tmpfs"), ("/tmp", "tmpfs")];
    let mounts = mounts.map(|(destination, kind)| {
        let mut mount = Mount::default();
        mount
            .set_destination(PathBuf::from(destination))
            .set_typ(Some(kind.to_owned()))
            .set_source(Some(PathBuf::from(kind)));
        mount
    });
    mounts.to_vec()
}

/// The host's release, from where its apt has it.
fn what(cache: &Path) -> Bootstrap {
    let release = fs::read_to_string("/etc/os-release").unwrap();
    let codename = release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
        .unwrap();
    let format = "$(RELEASE) $(REPO_URI) $(SIGNED_BY)";
    let targets = output(
        "apt-get",
        &["indextargets", "--format", format, "Created-By: Packages"],
    );
    let target: Vec<&str> = targets
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>())
        .find(|words| words[0] == codename)
        .unwrap();
    let keyring = match target[2] {
        "" => "/usr/share/keyrings/debian-archive-keyring.gpg",
        keyring => keyring,
    };
    Bootstrap {
        codename: codename.to_owned(),
        architecture: output("dpkg", &["--print-architecture"]).trim().to_owned(),
        mirror: target[1].to_owned(),
        keyring: PathBuf::from(keyring),
        variant: "minbase".to_owned(),
        components: vec!["main".to_owned()],
        options: Vec::new(),
        cache: cache.to_owned(),
        log: cache.with_extension("log"),
    }
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}
