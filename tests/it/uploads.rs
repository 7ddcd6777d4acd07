//! What becomes of uploads, good and bad, before anything is built.
use std::fs;

use mini_buildd::model::{Event, EventType};
use mini_buildd::pgp::SigningKey;

use crate::instance::{TestInstance, facts};
use crate::package::{Files, Upload};

const DIST: &str = "trixie-test-unstable";
const VERSION: &str = "1.0~test13+1";

fn good() -> Upload {
    Upload::new("hello", VERSION, DIST)
}

/// Sends files; what comes is one REJECTED, and nothing is moved, published or lost.
fn rejected(instance: &mut TestInstance, files: &Files) -> String {
    instance.send(files);
    let event = instance.wait_for(EventType::Rejected, "hello");
    // What is under way comes to its end.
    instance.stop();
    assert_eq!(instance.events(EventType::Packaging, "hello"), []);
    assert_eq!(fs::read_dir(instance.home.incoming()).unwrap().count(), 0);
    assert_eq!(
        instance.published(&format!("{DIST}/main/source/Sources")),
        "",
        "nothing is published"
    );
    detail(&event)
}

fn detail(event: &Event) -> String {
    event.extra["error"]["detail"].as_str().unwrap().to_owned()
}

/// As [`rejected`] with an instance of its own; `faulty` gets the uploader's key.
fn fault(faulty: impl FnOnce(&SigningKey) -> Files) -> String {
    let mut instance = TestInstance::started();
    let files = faulty(&instance.uploader);
    rejected(&mut instance, &files)
}

#[track_caller]
fn assert_names(fault: &str, words: &[&str]) {
    for word in words {
        assert!(fault.contains(word), "{word:?} is not in {fault:?}");
    }
}

#[test]
fn unsigned_upload_is_rejected() {
    let fault = fault(|_| good().unsigned());
    assert_names(&fault, &["GnuPG authorization failed", "not signed"]);
}

#[test]
fn upload_of_an_unknown_key_is_rejected() {
    let stranger = SigningKey::generate("Nobody", "nobody@buildd.test").unwrap();
    let fault = fault(|_| good().signed(&stranger));
    assert_names(&fault, &["GnuPG authorization failed", "unknown key"]);
}

#[test]
fn upload_to_a_repository_that_the_key_has_no_right_to_is_rejected() {
    let mut instance = TestInstance::new(&facts(), |items| {
        items.uploaders[0].may_upload_to.clear();
    });
    instance.start();
    let files = good().signed(&instance.uploader);
    let fault = rejected(&mut instance, &files);
    let fingerprint = instance.uploader.fingerprint();
    assert_names(
        &fault,
        &["GnuPG authorization failed", &fingerprint, "'test'"],
    );
}

#[test]
fn every_listed_file_is_held_against_its_sums() {
    for name in ["hello_1.0~test13+1.dsc", "hello_1.0~test13+1.tar.xz"] {
        let fault = fault(|key| {
            let mut upload = good();
            let file = upload.files.iter_mut().find(|(file, _)| file == name);
            file.unwrap().1[0] ^= 1;
            upload.signed(key)
        });
        assert_names(&fault, &[name, "Checksums-Sha"]);
    }
}

#[test]
fn each_kind_of_sum_counts() {
    let sums = good();
    let wrong = |field: &str| {
        let at = sums.changes.find(&format!("{field}:\n ")).unwrap() + field.len() + 3;
        let digit = if &sums.changes[at..=at] == "0" {
            "1"
        } else {
            "0"
        };
        let mut changes = sums.changes.clone();
        changes.replace_range(at..=at, digit);
        changes
    };
    for field in ["Files", "Checksums-Sha1", "Checksums-Sha256"] {
        let fault = fault(|key| {
            let mut upload = good();
            upload.changes = wrong(field);
            upload.signed(key)
        });
        assert_names(&fault, &[field, "hello_1.0~test13+1.dsc"]);
    }
}

#[test]
fn missing_file_is_named() {
    let fault = fault(|key| {
        let mut upload = good();
        upload.files.pop();
        upload.signed(key)
    });
    assert_names(&fault, &["Files", "hello_1.0~test13+1.tar.xz", "missing"]);
}

#[test]
fn file_names_lead_nowhere_else() {
    for hostile in ["../hello.tar.xz", "/etc/passwd", ".hidden", "a/b"] {
        let fault = fault(|key| {
            let mut upload = good();
            upload.changes = upload.changes.replace("hello_1.0~test13+1.tar.xz", hostile);
            upload.signed(key)
        });
        assert_names(&fault, &["hello_1.0~test13+1_source.changes"]);
    }
}

#[test]
fn fields_that_become_paths_are_validated() {
    for (field, hostile) in [
        ("Source: hello", "Source: ../hello"),
        ("Version: 1.0", "Version: ../1.0"),
        ("Architecture: source", "Architecture: ../source"),
    ] {
        let fault = fault(|key| {
            let mut upload = good();
            upload.changes = upload.changes.replace(field, hostile);
            upload.signed(key)
        });
        assert_names(&fault, &[field.split(':').next().unwrap()]);
    }
}

#[test]
fn text_around_the_signed_one_is_refused() {
    let other = "Source: evil\nVersion: 1\n\n";
    for (before, after) in [(other, ""), ("", other)] {
        let fault = fault(|key| {
            let signed = key.clearsign(&good().changes).unwrap();
            good().with_changes(format!("{before}{signed}{after}"))
        });
        assert_names(&fault, &["GnuPG authorization failed", "outside"]);
    }
}

#[test]
fn second_paragraph_inside_of_the_signature_is_refused() {
    let fault = fault(|key| {
        let mut upload = good();
        upload.changes.push_str("\nSource: evil\nVersion: 1\n");
        upload.signed(key)
    });
    assert_names(&fault, &["one paragraph"]);
}

#[test]
fn unknown_distributions_are_rejected() {
    for (distribution, words) in [
        ("unstable", ["Distribution", "CODENAME-REPOSITORY-SUITE"]),
        ("trixie-other-unstable", ["no repository", "'other'"]),
        ("sid-test-unstable", ["no codename", "'sid'"]),
        ("trixie-test-nosuch", ["no suite", "'nosuch'"]),
        (
            "trixie-test-stable",
            ["not uploadable", "trixie-test-stable"],
        ),
        (
            "trixie-test-unstable-rollback0",
            ["not uploadable", "rollback0"],
        ),
    ] {
        let fault = fault(|key| Upload::new("hello", VERSION, distribution).signed(key));
        assert_names(&fault, &words);
    }
}

#[test]
fn version_outside_of_the_suites_rule_is_rejected_in_stocks_words() {
    let mut instance = TestInstance::started();
    let files = Upload::new("hello", "1.0", DIST).signed(&instance.uploader);
    let fault = rejected(&mut instance, &files);
    assert_names(
        &fault,
        &[r"Version restrictions failed for suite 'unstable': '~test13\+[1-9]' not in '1.0'"],
    );
    let event = &instance.events(EventType::Rejected, "hello")[0];
    let changes = event.extra["changes"].as_str().unwrap();
    assert!(
        instance.home.events().join(changes).is_file(),
        "a retry finds the upload"
    );
}

#[test]
fn broken_dsc_is_refused() {
    let broken = |change: fn(String) -> String| {
        fault(|key| Upload::with_dsc("hello", VERSION, DIST, change).signed(key))
    };
    for (change, words) in [
        (
            (|_| "nonsense".to_owned()) as fn(String) -> String,
            [".dsc", "control file"],
        ),
        (
            |dsc| dsc.replace("Source: hello", "Source: other"),
            [".dsc", "Source"],
        ),
        (
            |dsc| dsc.replace("Version: 1.0", "Version: 2.0"),
            [".dsc", "Version"],
        ),
        (
            |dsc| dsc.replace("Files:\n ", "Files:\n 0"),
            [".dsc", "Files"],
        ),
    ] {
        assert_names(&broken(change), &words);
    }
}

#[test]
fn upload_without_dsc_is_rejected() {
    let fault = fault(|key| {
        let files = vec![("hello_1.0~test13+1_amd64.deb".to_owned(), b"deb".to_vec())];
        Upload::of("hello", VERSION, DIST, files).signed(key)
    });
    assert_names(&fault, &["Missing DSC"]);
}

#[test]
fn upload_that_says_it_has_no_source_is_rejected() {
    let fault = fault(|key| {
        let mut upload = good();
        upload.changes = upload
            .changes
            .replace("Architecture: source", "Architecture: amd64");
        upload.signed(key)
    });
    assert_names(&fault, &["Missing DSC"]);
}

/// Nothing of a source package gets to where messages, logs and verdicts are.
#[test]
fn files_of_a_source_package_may_be_named_as_ours_are() {
    let mut instance = TestInstance::started();
    let base = format!("hello_{VERSION}");
    let names = [
        format!("{base}_amd64.buildlog"),
        format!("{base}_mini-buildd-buildrequest_amd64.changes"),
        format!("{base}_mini-buildd-buildrequest_amd64.changes.tar"),
        format!("{base}_mini-buildd-buildresult_amd64.changes"),
        format!("{base}_amd64.changes"),
    ];
    let mut files: Files = names.map(|name| (name, b"forged".to_vec())).into();
    files.push((format!("{base}.tar.xz"), b"tree".to_vec()));
    let lists = crate::package::lists(&files, "");
    let upload = Upload::with_dsc("hello", VERSION, DIST, |dsc| {
        let end = dsc.find("Checksums-Sha1").unwrap();
        format!("{}{lists}", &dsc[..end])
    });
    let dsc = upload.files[0].clone();
    files.insert(0, dsc);
    let signed = Upload::of("hello", VERSION, DIST, files).signed(&instance.uploader);
    instance.send(&signed);
    let event = instance.wait_for(EventType::Failed, "hello");
    let result = &event.extra["buildresults"]["amd64"];
    let error = result["internal_error"].as_str().unwrap();
    assert!(error.contains("chroot"), "{error}");
    let log = instance
        .home
        .events()
        .join(result["buildlog"].as_str().unwrap());
    let log = fs::read_to_string(log).unwrap();
    assert!(!log.contains("forged"), "{log}");
}

#[test]
fn unknown_upload_option_is_rejected() {
    let fault = fault(|key| {
        let mut upload = good();
        let option = "   * MINI_BUILDD_OPTION: nosuch=1";
        upload.changes = upload.changes.replace("   * Test.", option);
        upload.signed(key)
    });
    assert_names(&fault, &["Unknown upload option: nosuch"]);
}

#[test]
fn without_a_chroot_no_builder_is_found() {
    let mut instance = TestInstance::new(&facts(), |items| {
        items.chroot.codename = "sid".parse().unwrap();
    });
    instance.start();
    let files = good().signed(&instance.uploader);
    let fault = rejected(&mut instance, &files);
    assert_eq!(fault, "No working builder found for amd64/trixie");
}

#[test]
fn package_that_builds_nothing_here_is_rejected() {
    let fault = fault(|key| {
        let for_arm = |dsc: String| {
            dsc.replace("Architecture: any", "Architecture: arm64")
                .replace("arch=any", "arch=arm64")
        };
        Upload::with_dsc("hello", VERSION, DIST, for_arm).signed(key)
    });
    assert_names(&fault, &["Architecture", "arm64", "amd64"]);
}

#[test]
fn faulty_message_is_quarantined_and_prevents_no_other() {
    let mut instance = TestInstance::started();
    let key = instance.uploader.clone();
    rejected(&mut instance, &good().unsigned());
    let quarantined: Vec<_> = fs::read_dir(instance.home.quarantine()).unwrap().collect();
    assert_eq!(quarantined.len(), 1);
    let kept = quarantined[0].as_ref().unwrap().path();
    assert_eq!(
        fs::read_to_string(kept.join("changes")).unwrap(),
        good().changes
    );
    let reason = fs::read_to_string(kept.join("reason")).unwrap();
    assert_names(&reason, &["not signed", "1: hello_1.0~test13+1.dsc"]);

    instance.start();
    instance.send(&good().signed(&key));
    instance.wait_for(EventType::Packaging, "hello");
}

#[test]
fn unsigned_upload_is_taken_where_that_is_allowed() {
    let mut instance = TestInstance::new(&facts(), |items| {
        items.repository.allow_unauthenticated_uploads = true;
    });
    instance.start();
    instance.send(&good().unsigned());
    instance.wait_for(EventType::Packaging, "hello");
}

#[test]
fn upload_to_a_meta_distribution_goes_where_that_leads() {
    let mut instance = TestInstance::new(&facts(), |items| {
        let metas = &mut items.layout.meta_distributions;
        metas.insert("unstable".into(), "trixie-unstable".into());
    });
    instance.start();
    let files = Upload::new("hello", VERSION, "unstable").signed(&instance.uploader);
    instance.send(&files);
    let event = instance.wait_for(EventType::Packaging, "hello");
    assert_eq!(
        event.distribution, "unstable",
        "events tell it as it was asked for"
    );
}

#[test]
fn same_version_on_its_way_is_rejected() {
    let mut instance = TestInstance::new(&facts(), |_| {});
    instance.start_deaf();
    let files = good().signed(&instance.uploader);
    instance.send(&files);
    instance.wait_for(EventType::Packaging, "hello");
    instance.send(&files);
    let event = instance.wait_for(EventType::Rejected, "hello");
    assert_names(&detail(&event), &["Version", "already being packaged"]);
}

/// Fields of stock's buildrequest for an architecture that builds Architecture: all, in their order.
const BUILDREQUEST_FIELDS: [&str; 24] = [
    "Distribution",
    "Source",
    "Version",
    "Architecture",
    "X-Mini-Buildd-Timecode",
    "X-Mini-Buildd-Upload-To",
    "X-Mini-Buildd-Packager",
    "X-Mini-Buildd-Arch-All",
    "X-Mini-Buildd-Build-Dep-Resolver",
    "X-Mini-Buildd-Sbuild-Config-Blocks",
    "X-Mini-Buildd-Sbuild-Setup-Blocks",
    "X-Mini-Buildd-Deb-Build-Options",
    "X-Mini-Buildd-Deb-Build-Profiles",
    "X-Mini-Buildd-Add-Depends",
    "X-Mini-Buildd-Lintian-Mode",
    "X-Mini-Buildd-Lintian-Extra-Options",
    "X-Mini-Buildd-Autopkgtest-Mode",
    "X-Mini-Buildd-Piuparts-Mode",
    "X-Mini-Buildd-Buildlog",
    "X-Mini-Buildd-Builder",
    "X-Mini-Buildd-Buildlog-Building",
    "X-Mini-Buildd-Buildlog-Installed",
    "Files",
    "Checksums-Sha256",
];

#[test]
fn accepted_upload_becomes_a_buildrequest_in_stocks_form() {
    let mut instance = TestInstance::started();
    let files = good().signed(&instance.uploader);
    instance.send(&files);
    let event = instance.wait_for(EventType::Packaging, "hello");
    let request = &event.extra["buildrequests"]["amd64"];
    let changes = instance
        .home
        .events()
        .join(request["changes"].as_str().unwrap());

    let mut keyring = mini_buildd::pgp::Keyring::default();
    keyring
        .add(instance.key().public_armored().as_bytes())
        .unwrap();
    let verified = keyring.verify(&fs::read(&changes).unwrap()).unwrap();
    let paragraph: mini_buildd::deb::Paragraph = verified.text.parse().unwrap();
    let fields: Vec<&str> = paragraph.fields().map(|(name, _)| name).collect();
    assert_eq!(fields, BUILDREQUEST_FIELDS);

    let tar = fs::File::open(format!("{}.tar", changes.display())).unwrap();
    let mut archive = tar::Archive::new(tar);
    let names: Vec<String> = archive
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap().path().unwrap().display().to_string())
        .collect();
    assert_eq!(
        names,
        [
            ".config/apt_sources.list",
            ".config/apt_preferences",
            ".config/apt_keys",
            ".config/ssl_cert",
            ".config/chroot_setup_script",
            ".config/sbuildrc_snippet",
            "hello_1.0~test13+1.dsc",
            "hello_1.0~test13+1.tar.xz",
        ]
    );
}

#[test]
fn large_upload_holds_up_no_other() {
    const LENGTH: u64 = 64 << 20;
    let mut instance = TestInstance::started();
    let large = Upload::new("large", VERSION, DIST);
    let tar = format!("large_{VERSION}.tar.xz");
    let content = large.files.iter().find(|(name, _)| *name == tar);
    let size = format!(" {} ", content.unwrap().1.len());
    let lines = large.changes.split_inclusive('\n').map(|line| {
        if line.ends_with(&format!("{tar}\n")) {
            line.replace(&size, &format!(" {LENGTH} "))
        } else {
            line.to_owned()
        }
    });
    let changes: String = lines.collect();
    let signed = instance.uploader.clearsign(&changes).unwrap();
    instance.leave(&large.with_changes(signed));
    let staging = instance.staged();
    let file = fs::File::options().write(true).open(staging.join(&tar));
    file.unwrap().set_len(LENGTH).unwrap();
    instance.running().instance.incoming.closed(staging);

    let small = good().signed(&instance.uploader);
    instance.send(&small);
    instance.wait_for(EventType::Packaging, "hello");
    assert_eq!(instance.log("large"), []);
    let event = instance.wait_for(EventType::Rejected, "large");
    assert_names(&detail(&event), &[&tar, "Checksums"]);
}
