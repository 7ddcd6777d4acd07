use std::sync::mpsc;
use std::thread;
use std::time::SystemTime;

use backends::{Access, Claim, Error, LayerKey};

use super::Promise;
use super::fixture::{Fixture, entries};

pub(crate) const PROMISES: &[Promise] = &[
    (
        "a frozen layer is seen by the next snapshot",
        seen_by_the_next,
    ),
    (
        "a snapshot without changes can be frozen",
        nothing_can_be_frozen,
    ),
    ("layers stack three deep", three_deep),
    (
        "checkers have a layer of their own beside the build dependencies",
        checkers_are_apart,
    ),
    (
        "removed files and directories stay removed in a layer",
        removals_are_kept,
    ),
    (
        "a directory made anew hides the one below",
        new_directories_hide,
    ),
    (
        "a renamed directory of the base stays renamed",
        renames_are_kept,
    ),
    ("hard links of a layer are one file", hard_links_are_kept),
    (
        "owners, modes and links of a layer are kept",
        attributes_are_kept,
    ),
    (
        "a layer does not change under later snapshots",
        layers_are_read_only,
    ),
    (
        "of two layers with one key the first is kept",
        the_first_is_kept,
    ),
    (
        "a layer knows its parent and its last use",
        layers_are_described,
    ),
    ("a key that is no digest is refused", bad_keys_are_refused),
    ("a missing layer is named", missing_is_named),
    ("dropping a layer drops its children", children_are_dropped),
    ("a layer in use is not dropped", used_is_not_dropped),
    ("a layer that two want is made once", made_once),
    ("a layer that was given up is made by the next", given_up),
    (
        "a layer that a crash may have cut short is not used",
        crashed_is_not_used,
    ),
];

fn seen_by_the_next(fixture: &Fixture) {
    fixture.with_base();
    let layer = fixture.layer("a1", None, "echo layer > /etc/name");

    assert_eq!(
        fixture.look(Some(&layer), "cat /etc/name /data/one"),
        "layer\none"
    );
    assert_eq!(fixture.look(None, "cat /etc/name"), "base");
}

fn nothing_can_be_frozen(fixture: &Fixture) {
    fixture.with_base();
    let layer = LayerKey("a1".to_owned());
    fixture.snapshot(None).freeze(&layer).unwrap();

    assert_eq!(
        fixture.look(Some(&layer), "cat /etc/name; stat -c '%u %a' /"),
        "base\n0 755"
    );
}

fn three_deep(fixture: &Fixture) {
    fixture.with_base();
    let first = fixture.layer("a1", None, "echo 1 > /first; echo 1 > /etc/name");
    let second = fixture.layer("b2", Some(&first), "echo 2 > /second; echo 2 > /etc/name");
    let third = fixture.layer("c3", Some(&second), "echo 3 > /third; rm /first");

    assert_eq!(
        fixture.look(
            Some(&third),
            "cat /etc/name /second /third; ls /first || true"
        ),
        "2\n2\n3\nls: /first: No such file or directory"
    );
    assert_eq!(fixture.look(Some(&first), "cat /etc/name /first"), "1\n1");
}

fn checkers_are_apart(fixture: &Fixture) {
    fixture.with_base();
    let upgraded = fixture.layer("a1", None, "echo 2 > /etc/name");
    let dependencies = fixture.layer("b2", Some(&upgraded), "touch /compiler");
    let checkers = fixture.layer("c3", Some(&upgraded), "touch /lintian");
    let look = |layer| {
        fixture.look(
            Some(layer),
            "cat /etc/name; ls -d /compiler /lintian 2>/dev/null || true",
        )
    };

    assert_eq!(look(&dependencies), "2\n/compiler");
    assert_eq!(look(&checkers), "2\n/lintian");
    fixture.backend.drop_layer(&dependencies).unwrap();
    assert_eq!(look(&checkers), "2\n/lintian");
    fixture.wait_for_trash();
}

fn removals_are_kept(fixture: &Fixture) {
    fixture.with_base();
    let layer = fixture.layer("a1", None, "rm /data/one; rm -r /etc/deep");

    assert_eq!(
        fixture.look(Some(&layer), "ls /data /etc"),
        "/data:\ntwo\n\n/etc:\nname"
    );
}

fn new_directories_hide(fixture: &Fixture) {
    fixture.with_base();
    let first = fixture.layer("a1", None, "rm -r /data; mkdir /data; echo 3 > /data/three");
    let second = fixture.layer("b2", Some(&first), "touch /data/four");

    assert_eq!(fixture.look(Some(&first), "ls /data"), "three");
    assert_eq!(fixture.look(Some(&second), "ls /data"), "four\nthree");
}

fn renames_are_kept(fixture: &Fixture) {
    fixture.with_base();
    let layer = fixture.layer("a1", None, "mv /etc/deep /etc/moved; mv /data/one /data/1");

    assert_eq!(
        fixture.look(Some(&layer), "cat /etc/moved/er/file; ls /etc /data"),
        "deep\n/data:\n1\ntwo\n\n/etc:\nmoved\nname"
    );
}

fn hard_links_are_kept(fixture: &Fixture) {
    fixture.with_base();
    let layer = fixture.layer("a1", None, "echo a > /a; ln /a /b; ln /data/one /data/uno");
    let script = "
        stat -c %h /a /b /data/one /data/uno
        [ /a -ef /b ]; [ /data/one -ef /data/uno ]";

    assert_eq!(fixture.look(Some(&layer), script), "2\n2\n2\n2");
}

fn attributes_are_kept(fixture: &Fixture) {
    fixture.with_base();
    let make = "
        touch /file; chown 1000:65534 /file; chmod 4711 /file; touch -d '2001-02-03 04:05:06' /file
        ln -s file /link; mkfifo /fifo; mkdir -m 1777 /dir; mkdir -m 0 /closed; touch /closed/in";
    let layer = fixture.layer("a1", None, make);
    let script = "stat -c '%F %u:%g %a %Y' /file; readlink /link
        stat -c '%F' /fifo; stat -c %a /dir /closed; ls /closed";

    assert_eq!(
        fixture.look(Some(&layer), script),
        "regular empty file 1000:65534 4711 981173106\nfile\nfifo\n1777\n0\nin"
    );
}

fn layers_are_read_only(fixture: &Fixture) {
    fixture.with_base();
    let layer = fixture.layer("a1", None, "echo layer > /etc/name");
    fixture.look(Some(&layer), "echo changed > /etc/name; rm -r /data");

    assert_eq!(
        fixture.look(Some(&layer), "cat /etc/name /data/one"),
        "layer\none"
    );
}

fn the_first_is_kept(fixture: &Fixture) {
    fixture.with_base();
    let layer = fixture.layer("a1", None, "echo first > /etc/name");
    fixture.layer("a1", None, "echo second > /etc/name");

    assert_eq!(fixture.look(Some(&layer), "cat /etc/name"), "first");
    assert!(entries(&fixture.config.sessions).is_empty());
}

fn layers_are_described(fixture: &Fixture) {
    fixture.with_base();
    let before = SystemTime::now();
    let first = fixture.layer("a1", None, "touch /first");
    let made_first = SystemTime::now();
    let second = fixture.layer("b2", Some(&first), "touch /second");
    fixture.look(Some(&first), "true");
    let layers = fixture.backend.layers().unwrap();

    let [a, b] = layers.as_slice() else {
        panic!("{layers:?}")
    };
    assert_eq!((&a.key, &a.parent), (&first, &None));
    assert_eq!((&b.key, &b.parent), (&second, &Some(first.clone())));
    assert!(before <= a.made && a.made <= made_first);
    assert!(a.used > b.made);
}

fn bad_keys_are_refused(fixture: &Fixture) {
    fixture.with_base();
    let key = LayerKey("../base".to_owned());

    assert!(matches!(
        fixture.backend.drop_layer(&key),
        Err(Error::NoLayer { .. } | Error::LayerKey { .. })
    ));
    assert!(fixture.snapshot(None).freeze(&key).is_err());
    assert!(fixture.backend.open(Access::Snapshot, Some(&key)).is_err());
    assert!(fixture.backend.claim(&key).is_err());
}

fn missing_is_named(fixture: &Fixture) {
    fixture.with_base();
    let missing = LayerKey("a1".to_owned());
    let opened = fixture
        .backend
        .open(Access::Snapshot, Some(&missing))
        .err()
        .unwrap();
    let dropped = fixture.backend.drop_layer(&missing).unwrap_err();

    assert_eq!(opened.to_string(), "there is no layer a1");
    assert_eq!(dropped.to_string(), "there is no layer a1");
}

fn children_are_dropped(fixture: &Fixture) {
    fixture.with_base();
    let first = fixture.layer("a1", None, "touch /first");
    let second = fixture.layer("b2", Some(&first), "touch /second");
    fixture.layer("c3", Some(&second), "touch /third");
    let other = fixture.layer("d4", None, "touch /other");
    fixture.backend.drop_layer(&first).unwrap();

    let keys: Vec<_> = fixture
        .backend
        .layers()
        .unwrap()
        .into_iter()
        .map(|layer| layer.key)
        .collect();
    assert_eq!(keys, [other]);
    fixture.wait_for_trash();
}

fn used_is_not_dropped(fixture: &Fixture) {
    fixture.with_base();
    let first = fixture.layer("a1", None, "touch /first");
    let second = fixture.layer("b2", Some(&first), "touch /second");
    let snapshot = fixture.snapshot(Some(&second));
    let refused = fixture.backend.drop_layer(&first).unwrap_err();

    assert!(matches!(refused, Error::InUse { .. }), "{refused}");
    assert_eq!(fixture.backend.layers().unwrap().len(), 2);
    snapshot.close().unwrap();
    fixture.backend.drop_layer(&first).unwrap();
}

fn made_once(fixture: &Fixture) {
    fixture.with_base();
    let key = LayerKey("a1".to_owned());
    let Claim::Make(making) = fixture.backend.claim(&key).unwrap() else {
        panic!("there is no such layer yet");
    };
    let (waits, other_waits) = mpsc::channel();
    thread::scope(|scope| {
        let other = scope.spawn(|| {
            waits.send(()).unwrap();
            fixture.backend.claim(&key).unwrap()
        });
        other_waits.recv().unwrap();
        fixture.layer("a1", None, "echo made > /etc/name");
        drop(making);
        assert!(matches!(other.join().unwrap(), Claim::Whole));
    });
    assert!(matches!(fixture.backend.claim(&key).unwrap(), Claim::Whole));
}

fn given_up(fixture: &Fixture) {
    fixture.with_base();
    let key = LayerKey("a1".to_owned());
    let first = fixture.backend.claim(&key).unwrap();
    thread::scope(|scope| {
        let other = scope.spawn(|| fixture.backend.claim(&key).unwrap());
        drop(first);
        assert!(matches!(other.join().unwrap(), Claim::Make(_)));
    });
}

fn crashed_is_not_used(fixture: &Fixture) {
    fixture.with_base();
    let first = fixture.layer("a1", None, "echo first > /etc/name");
    let second = fixture.layer("b2", Some(&first), "touch /second");
    fixture.crash_before_sync(&first);

    assert!(
        fixture
            .backend
            .open(Access::Snapshot, Some(&second))
            .is_err()
    );
    assert!(fixture.backend.layers().unwrap().is_empty());
    assert!(matches!(
        fixture.backend.claim(&second).unwrap(),
        Claim::Make(_)
    ));
    fixture.backend.clean().unwrap();
    fixture.layer("a1", None, "echo again > /etc/name");
    assert_eq!(fixture.look(Some(&first), "cat /etc/name"), "again");
    assert_eq!(fixture.backend.layers().unwrap().len(), 1);
}
