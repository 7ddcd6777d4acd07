//! Build dependencies from the repository that is built for: what is remembered of earlier builds is what apt would say
//! now.
use std::fs;
use std::path::PathBuf;

use mini_buildd::model::EventType;

use crate::base::Base;
use crate::buildd::{Buildd, files_below};
use crate::slow;
use crate::small_source::SmallSource;

const REMEMBERED: &str = "\nResolved and installed before.\n";
/// Lists what is installed while the package is built.
const LIST: &str = "dpkg-query --show | sed 's/^/installed: /'";

struct Sources {
    buildd: Buildd,
    work: PathBuf,
    number: u32,
}

impl Sources {
    /// Uploads a source in a new version; the log of its build, once it is installed.
    fn build(&mut self, source: &SmallSource) -> String {
        let name = source.name;
        self.number += 1;
        let tree = self.work.join(name);
        if tree.exists() {
            fs::remove_dir_all(&tree).unwrap();
        }
        source.write(&self.work);
        let version = format!("1.{}{}", self.number, self.buildd.suffix);
        let uploader = &self.buildd.uploader;
        let changes = uploader.build_source(&tree, &version, &self.buildd.dist);
        self.buildd.curl(&changes);
        let what = format!("{name} {version} is in the dist");
        self.buildd.wait(&what, |buildd| {
            let failed = buildd.events_of(EventType::Failed, name);
            assert_eq!(failed, vec![], "{}", buildd.build_logs(name).concat());
            assert_eq!(buildd.events_of(EventType::Rejected, name), vec![]);
            (buildd.versions(name) == [version.as_str()]).then_some(())
        });
        let mut files = Vec::new();
        files_below(
            &self.buildd.home.events().join(name).join(&version),
            &mut files,
        );
        files.retain(|path| path.extension().is_some_and(|end| end == "buildlog"));
        fs::read_to_string(&files[0]).unwrap()
    }
}

fn installed(log: &str) -> Vec<&str> {
    let lines = log
        .lines()
        .filter_map(|line| line.strip_prefix("installed: "));
    let installed: Vec<&str> = lines.collect();
    assert!(!installed.is_empty(), "{log}");
    installed
}

fn version<'a>(log: &'a str, name: &str) -> Option<&'a str> {
    let mut packages = installed(log).into_iter();
    packages.find_map(|line| line.strip_prefix(name)?.strip_prefix('\t'))
}

#[test]
fn what_is_remembered_is_what_apt_would_install_now() {
    if slow::is_left_to_the_user() {
        return;
    }
    let buildd = Buildd::started("own-dependencies");
    // Of other tests nothing is remembered: names are this test's own.
    let mut sources = Sources {
        buildd,
        work: Base::get().directory("own-dependencies-work"),
        number: 0,
    };
    let library = SmallSource {
        name: "mbd-own-library",
        ..SmallSource::default()
    };
    let other = SmallSource {
        name: "mbd-own-other",
        ..SmallSource::default()
    };
    let user = SmallSource {
        name: "mbd-own-user",
        build: LIST,
        fields: ("Build-Depends: mbd-own-library, mbd-own-tool | bc\n", ""),
        ..SmallSource::default()
    };
    sources.build(&library);
    let first = sources.build(&user);
    assert!(!first.contains(REMEMBERED), "{first}");
    assert!(version(&first, "bc").is_some(), "{first}");
    // tests/run sees to what pasta needs.
    if std::env::var_os("MINI_BUILDD_TEST_PASTA").is_some() {
        assert!(first.contains("\nNetwork: through pasta; "), "{first}");
    }

    // Its own installation, and another's, change the repository, but nothing for it.
    let second = sources.build(&user);
    assert!(second.contains(REMEMBERED), "{second}");
    sources.build(&other);
    let third = sources.build(&user);
    assert!(third.contains(REMEMBERED), "{third}");
    assert_eq!(installed(&third), installed(&first));

    // A new version of what it needs.
    sources.build(&library);
    let fourth = sources.build(&user);
    assert!(!fourth.contains(REMEMBERED), "{fourth}");
    assert_ne!(
        version(&fourth, "mbd-own-library"),
        version(&first, "mbd-own-library")
    );

    // A new package that provides what it prefers.
    sources.build(&SmallSource {
        name: "mbd-own-provider",
        fields: ("", "Provides: mbd-own-tool\n"),
        ..SmallSource::default()
    });
    let fifth = sources.build(&user);
    assert!(!fifth.contains(REMEMBERED), "{fifth}");
    assert!(version(&fifth, "mbd-own-provider").is_some(), "{fifth}");
    assert_eq!(version(&fifth, "bc"), None);

    // A dependency of a dependency.
    sources.build(&SmallSource {
        name: "mbd-own-library",
        fields: ("", "Depends: mbd-own-other\n"),
        ..SmallSource::default()
    });
    let sixth = sources.build(&user);
    assert!(version(&sixth, "mbd-own-other").is_some(), "{sixth}");
    sources.build(&other);
    let seventh = sources.build(&user);
    assert!(!seventh.contains(REMEMBERED), "{seventh}");
    assert_ne!(
        version(&seventh, "mbd-own-other"),
        version(&sixth, "mbd-own-other")
    );

    // Remembered, then asked anew.
    let remembered = sources.build(&user);
    assert!(remembered.contains(REMEMBERED), "{remembered}");
    forget();
    let fresh = sources.build(&user);
    assert!(!fresh.contains(REMEMBERED), "{fresh}");
    assert_eq!(installed(&remembered), installed(&fresh));
}

/// Takes away what builds of this test remember of resolutions; others may be under way.
fn forget() {
    let base = Base::get();
    let files = fs::read_dir(base.chroots.memo(&base.chroot)).unwrap();
    let ours: Vec<PathBuf> = files
        .map(|entry| entry.unwrap().path())
        .filter(|path| fs::read_to_string(path).is_ok_and(|text| text.contains("mbd-own-")))
        .collect();
    assert!(!ours.is_empty(), "nothing is remembered");
    for path in ours {
        fs::remove_file(path).unwrap();
    }
}
