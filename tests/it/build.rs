//! Builds by a real supervisor, in the real chroot.
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use backends::LayerKey;
use mini_buildd::build::supervisor;
use mini_buildd::build::{Assignment, BuildStatus, Verdict};
use mini_buildd::chroots::Trial;
use mini_buildd::deb::Architecture;
use mini_buildd::model::build_check::Mode;
use mini_buildd::model::message::Subject;
use mini_buildd::model::{Buildrequest, Limits};

use crate::base::Base;
use crate::program::program;

pub(crate) fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn architecture() -> Architecture {
    Base::get().chroot.architecture.clone()
}

impl Base {
    pub(crate) fn sources_list(&self) -> String {
        format!(
            "deb [] {} {} main\n",
            self.source.archives[0], self.source.suite
        )
    }

    /// A directory as the builder unpacks a buildrequest.
    pub(crate) fn assignment(&self, directory: &Path, package: &Package) -> Assignment {
        let assignment = Assignment {
            request: package.request(&self.chroot.architecture),
            chroot: self.chroot.clone(),
            machine: self.chroot.architecture.clone(),
            home: self.chroots.home().root().to_owned(),
            directory: directory.to_owned(),
            parallel: 2,
            limits: package.limits.clone(),
        };
        let request = assignment.request_directory();
        let configuration = request.join(".config");
        fs::create_dir_all(&configuration).unwrap();
        fs::write(configuration.join("apt_sources.list"), self.sources_list()).unwrap();
        package.write(&request);
        assignment
    }

    pub(crate) fn build(&self, package: &Package) -> Built {
        let directory = tempfile::tempdir().unwrap();
        let assignment = self.assignment(directory.path(), package);
        let mut child = supervisor::start_program(&program(), &assignment).unwrap();
        let verdict = supervisor::wait(directory.path()).unwrap();
        child.wait().unwrap();
        let verdict = verdict.expect("the supervisor leaves a verdict");
        let log = fs::read_to_string(directory.path().join(format!(
            "{}_{}_{}.buildlog",
            package.name, VERSION, self.chroot.architecture
        )))
        .unwrap();
        eprintln!("{}: {:?}", package.name, verdict.phases);
        Built {
            directory,
            verdict,
            log,
        }
    }
}

pub(crate) struct Built {
    directory: tempfile::TempDir,
    pub(crate) verdict: Verdict,
    pub(crate) log: String,
}

impl Built {
    #[track_caller]
    fn assert(&self, status: BuildStatus) {
        assert_eq!(self.verdict.status, status, "{}", self.log);
    }

    /// What it was built on.
    fn layer(&self) -> LayerKey {
        let mut lines = self.log.lines();
        let key = lines.find_map(|line| line.strip_prefix("Chroot ")?.split_once(", layer "));
        LayerKey(key.unwrap().1.to_owned())
    }

    pub(crate) fn results(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.directory.path().join("result"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

const VERSION: &str = "1.0";

/// A native source package as text.
pub(crate) struct Package {
    pub(crate) name: &'static str,
    pub(crate) architecture: &'static str,
    /// Rest of the field Build-Depends, with fields after it.
    pub(crate) build_depends: &'static str,
    pub(crate) profiles: &'static str,
    /// Shell lines of the target `build`.
    pub(crate) build: &'static str,
    pub(crate) limits: Limits,
}

impl Default for Package {
    fn default() -> Self {
        Package {
            name: "mbd-test-plain",
            architecture: "all",
            build_depends: "debhelper-compat (= 13)",
            profiles: "",
            build: "true",
            limits: Limits::default(),
        }
    }
}

impl Package {
    fn write(&self, directory: &Path) {
        let tree = directory.join("tree");
        let debian = tree.join("debian");
        fs::create_dir_all(debian.join("source")).unwrap();
        let Package {
            name,
            architecture,
            build_depends,
            build,
            ..
        } = self;
        let rules = format!(
            "#!/usr/bin/make -f\n%:\n\tdh $@\noverride_dh_auto_build:\n\t{build}\noverride_dh_auto_install:\n\t\
             mkdir -p debian/{name}/usr/bin\n\tprintf '#!/bin/sh\\necho it works\\n' > debian/{name}/usr/bin/{name}\n\t\
             chmod 755 debian/{name}/usr/bin/{name}\n"
        );
        let files = [
            ("source/format", "3.0 (native)\n".to_owned()),
            (
                "changelog",
                format!(
                    "{name} ({VERSION}) unstable; urgency=medium\n\n  * Test.\n\n \
                     -- Tester <tester@example.org>  Sun, 22 Nov 2026 05:46:20 +0000\n"
                ),
            ),
            (
                "control",
                format!(
                    "Source: {name}\nSection: misc\nPriority: optional\nMaintainer: Tester <tester@example.org>\n\
                     Build-Depends: {build_depends}\nStandards-Version: 4.6.2\nRules-Requires-Root: no\n\n\
                     Package: {name}\nArchitecture: {architecture}\nDepends: ${{misc:Depends}}\nDescription: test\n A test.\n"
                ),
            ),
            ("rules", rules),
        ];
        for (file, text) in files {
            fs::write(debian.join(file), text).unwrap();
        }
        output(Command::new("chmod").arg("755").arg(debian.join("rules")));
        output(
            Command::new("dpkg-source")
                .arg("-b")
                .arg("tree")
                .current_dir(directory),
        );
        fs::remove_dir_all(tree).unwrap();
    }

    pub(crate) fn request(&self, architecture: &Architecture) -> Buildrequest {
        Buildrequest {
            subject: Subject {
                distribution: "host-test-unstable".to_owned(),
                source: self.name.parse().unwrap(),
                version: VERSION.parse().unwrap(),
                architecture: architecture.clone(),
                timecode: "20261122:054621:058520".parse().unwrap(),
            },
            upload_to: "ftp://buildd.example.org:8067".to_owned(),
            packager: "http://buildd.example.org:8066".to_owned(),
            arch_all: true,
            build_dep_resolver: "apt".to_owned(),
            sbuild_config_blocks: String::new(),
            sbuild_setup_blocks: String::new(),
            deb_build_options: String::new(),
            deb_build_profiles: self.profiles.to_owned(),
            add_depends: String::new(),
            lintian_mode: Mode::Disabled,
            lintian_extra_options: String::new(),
            autopkgtest_mode: Mode::Disabled,
            piuparts_mode: Mode::Disabled,
            builder: "http://buildd.example.org:8066".to_owned(),
        }
    }
}

#[test]
fn package_is_built_as_an_ordinary_user_without_network() {
    let package = Package {
        build: "test $$(id -u) != 0 && test $$(grep -c : /proc/net/dev) = 1 && test ! -w /",
        ..Package::default()
    };
    let built = Base::get().build(&package);
    built.assert(BuildStatus::Successful);
    let architecture = architecture();
    let expected = [
        "all.buildinfo",
        "all.deb",
        &format!("{architecture}.changes"),
    ]
    .map(|end| format!("mbd-test-plain_1.0_{end}"));
    assert_eq!(built.results(), expected);
    let changes = built.directory.path().join("result").join(&expected[2]);
    assert!(
        fs::read_to_string(changes)
            .unwrap()
            .contains("\nDistribution: host-test-unstable\n")
    );
    assert!(built.log.contains("\nStatus: successful\n"));
}

#[test]
fn second_build_resolves_and_installs_nothing() {
    let base = Base::get();
    base.build(&Package::default());
    let again = base.build(&Package::default());
    assert!(
        again.log.contains("Resolved and installed before."),
        "{}",
        again.log
    );
    again.assert(BuildStatus::Successful);
}

#[test]
fn one_more_build_dependency_is_installed_on_the_nearest_layer() {
    let base = Base::get();
    let near = base.build(&Package {
        name: "mbd-test-near",
        build_depends: "debhelper-compat (= 13), bc",
        ..Package::default()
    });
    near.assert(BuildStatus::Successful);
    let next = base.build(&Package {
        name: "mbd-test-nearer",
        build_depends: "debhelper-compat (= 13), bc, ed",
        ..Package::default()
    });
    next.assert(BuildStatus::Successful);
    let layers = base.chroots.backend(&base.chroot).layers().unwrap();
    let layer = layers.iter().find(|layer| layer.key == next.layer());
    assert_eq!(layer.unwrap().parent, Some(near.layer()), "{}", next.log);
}

/// Changes one byte of a file below the directory.
const DAMAGE: &str = r#"
path=$(find "$1" -path "*/usr/bin/*" -type f -size +0 | head -n 1)
printf X | dd of="$path" bs=1 conv=notrunc status=none"#;

#[test]
fn damaged_layer_is_made_anew() {
    let base = Base::get();
    let package = Package {
        name: "mbd-test-damage",
        build_depends: "debhelper-compat (= 13), time",
        ..Package::default()
    };
    let built = base.build(&package);
    built.assert(BuildStatus::Successful);
    let home = base.chroots.home();
    let chroot = home.chroot(&base.chroot.codename, &base.chroot.architecture);
    let layer = chroot.join("layers").join(built.layer().0);
    // What notes its digests may have ended with the supervisor.
    base.chroots.clean(&base.chroot).unwrap();
    let begun = Instant::now();
    while !layer.join("digests").exists() {
        assert!(begun.elapsed() < Duration::from_secs(300), "no digests");
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut damage = base.launcher().storage_command("sh");
    output(damage.args(["-c", DAMAGE, "sh"]).arg(&layer));

    let again = base.build(&package);
    again.assert(BuildStatus::Successful);
    let told = format!("W: layer {} was damaged and is made anew", built.layer());
    assert!(again.log.contains(&told), "{}", again.log);
    assert_eq!(again.layer(), built.layer());
}

#[test]
fn status_is_not_read_from_the_log() {
    let package = Package {
        name: "mbd-test-ftbfs",
        build: "echo Status: successful; exit 3",
        ..Package::default()
    };
    let built = Base::get().build(&package);
    built.assert(BuildStatus::Attempted);
    assert!(
        built
            .log
            .contains("\nFail-Stage: build\nFailure: exit-code-2\nHost"),
        "{}",
        built.log
    );
    assert!(built.log.ends_with("disk space\n"));
}

#[test]
fn missing_build_dependency_gives_the_package_back_with_apts_words() {
    let package = Package {
        name: "mbd-test-uninstallable",
        build_depends: "debhelper-compat (= 13), mbd-there-is-no-such-package",
        ..Package::default()
    };
    let built = Base::get().build(&package);
    built.assert(BuildStatus::GivenBack);
    assert!(built.log.contains("mbd-there-is-no-such-package"));
}

#[test]
fn sparse_package_is_not_taken() {
    let package = Package {
        name: "mbd-test-sparse",
        build: "true\noverride_dh_builddeb:\n\tdh_builddeb\n\ttruncate -s 300M ../mbd-test-sparse_1.0_all.deb",
        ..Package::default()
    };
    let built = Base::get().build(&package);
    built.assert(BuildStatus::Attempted);
    let error = built.verdict.error.as_deref().unwrap();
    assert!(error.contains("sparse"), "{error}");
}

#[test]
fn build_profiles_conflicts_and_indep_dependencies_are_honoured() {
    let package = Package {
        name: "mbd-test-relations",
        build_depends: "debhelper-compat (= 13), mbd-there-is-no-such-package <!nodoc>\n\
                        Build-Depends-Indep: bc\nBuild-Conflicts: fakeroot",
        profiles: "nodoc",
        build: "test $$DEB_BUILD_PROFILES = nodoc && test -x /usr/bin/bc && test ! -e /usr/bin/fakeroot",
        ..Package::default()
    };
    let built = Base::get().build(&package);
    built.assert(BuildStatus::Successful);
}

#[test]
fn package_for_another_architecture_is_skipped() {
    let package = Package {
        name: "mbd-test-elsewhere",
        architecture: "hurd-i386",
        ..Package::default()
    };
    Base::get().build(&package).assert(BuildStatus::Skipped);
}

#[test]
fn package_is_installed_and_tried_in_a_throw_away_session() {
    let base = Base::get();
    let package = "hello".parse().unwrap();
    let trial = Trial {
        sources: "",
        key: "",
        package: &package,
        command: &["hello"],
    };
    let said = base
        .chroots
        .try_package(&base.chroot, &trial, &mut |_| {})
        .unwrap();
    assert_eq!(said, "Hello, world!\n");
}
