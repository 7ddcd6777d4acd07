//! A real base, of the host's own release, from the archive that the host's apt uses.
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::Instant;

use backends::{Bootstrap, Error, bootstrap};

use super::Promise;
use super::fixture::{Fixture, arguments, config, entries, eventually, launcher};

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
    let [arguments @ .., cache] = arguments else {
        panic!("{arguments:?}");
    };
    let config = config(arguments);
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
    let log = fs::read_to_string(log).unwrap();
    assert_eq!(
        log.split_whitespace().last(),
        said.split_whitespace().last()
    );
    assert!(!fixture.backend.exists());
    fixture.wait_for_trash();
    assert!(entries(&fixture.config.directory).is_empty());
}

fn makes_a_base(fixture: &Fixture) {
    let cache = fixture.home.path().join("cache");
    let config = &fixture.config;
    let mut killed = Command::new(&fixture.launcher.helper)
        .arg(RUN)
        .args(arguments(config))
        .arg(&cache)
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let midway = config.directory.join("base.new/tree/root/usr/bin/dpkg");
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
    assert_eq!(fixture.look(None, LOOK), "101\n0\n0\n0");
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

/// Two versions of a package; where the first has a directory, the second has a link to another.
const PACKAGES: &str = r#"
    mkdir -p /p/DEBIAN /p/usr/share/old/inner /p/etc
    echo one > /p/usr/share/old/inner/file
    ln /p/usr/share/old/inner/file /p/usr/share/old/hard
    echo conf > /p/etc/moving.conf
    echo /etc/moving.conf > /p/DEBIAN/conffiles
    control() {
        printf '%s\n' 'Package: moving' 'Architecture: all' "Version: $1" \
            'Maintainer: Nobody <nobody@example.org>' 'Description: moves' > /p/DEBIAN/control
    }
    control 1
    dpkg-deb --build /p /moving_1.deb
    mv /p/usr/share/old /p/usr/share/new; ln -s new /p/usr/share/old
    for script in preinst postinst postrm; do
        printf '%s\n' '#!/bin/sh' 'set -e' \
            'dpkg-maintscript-helper dir_to_symlink /usr/share/old new 2~ moving -- "$@"' \
            > /p/DEBIAN/$script
        chmod 755 /p/DEBIAN/$script
    done
    control 2
    dpkg-deb --build /p /moving_2.deb
    dpkg --install /moving_1.deb"#;

/// Directories of a layer can't be renamed, so they are copied: by mv, which also dpkg's own way to
/// replace a directory uses.
fn dpkg_works_on_layers(fixture: &Fixture) {
    let upgrade = "mv /usr/share/doc /usr/share/moved; mv /usr/share/moved /usr/share/doc
        dpkg --install /moving_2.deb";
    let first = fixture.layer("a1", None, PACKAGES);
    let second = fixture.layer("b2", Some(&first), upgrade);
    let third = fixture.layer("c3", Some(&second), "dpkg --purge moving");

    let script = "cat /usr/share/old/inner/file; stat -c %h /usr/share/old/hard
        dpkg --verify moving; cat /etc/moving.conf";
    assert_eq!(fixture.look(Some(&first), script), "one\n2\nconf");
    let script = "readlink /usr/share/old; cat /usr/share/old/inner/file
        stat -c %h /usr/share/new/hard; dpkg --verify moving";
    assert_eq!(fixture.look(Some(&second), script), "new\none\n2");
    let script = "ls -d /usr/share/old /usr/share/new /etc/moving.conf 2>/dev/null | wc -l
        dpkg --audit";
    assert_eq!(fixture.look(Some(&third), script), "0");
}

/// The host's release, from where its apt has it.
fn what(cache: &Path) -> Bootstrap {
    let release = fs::read_to_string("/etc/os-release").unwrap();
    let codename = release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
        .unwrap();
    let format = "$(RELEASE) $(REPO_URI)";
    let targets = output(
        "apt-get",
        &["indextargets", "--format", format, "Created-By: Packages"],
    );
    let mirror = targets
        .lines()
        .filter_map(|line| line.split_once(' '))
        .find_map(|(release, uri)| (release == codename).then_some(uri))
        .unwrap();
    Bootstrap {
        codename: codename.to_owned(),
        architecture: output("dpkg", &["--print-architecture"]).trim().to_owned(),
        mirror: mirror.to_owned(),
        keyring: PathBuf::from("/usr/share/keyrings/debian-archive-keyring.gpg"),
        variant: "minbase".to_owned(),
        components: vec!["main".to_owned()],
        script: None,
        options: Vec::new(),
        environment: Vec::new(),
        cache: cache.to_owned(),
        log: cache.with_extension("log"),
    }
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}
