//! What is not what it was is not used.
use std::path::{Path, PathBuf};

use backends::{Error, LayerKey};

use super::Promise;
use super::fixture::{Fixture, eventually};

pub(crate) const PROMISES: &[Promise] = &[
    ("a layer as it was made is verified", whole_is_verified),
    (
        "a flipped byte in a layer is noticed and the layer can be made anew",
        flipped_byte_is_noticed,
    ),
    (
        "a flipped byte below a layer is noticed too",
        below_is_noticed,
    ),
    (
        "a damaged layer in use is set aside and goes after its session",
        used_is_set_aside,
    ),
    (
        "a layer whose files were only touched is kept",
        touched_is_kept,
    ),
    (
        "a flipped byte that only reading shows is noticed in the background",
        background_notices,
    ),
    ("a flipped byte in the base is told", base_is_told),
];

/// Flips a bit of the content in the first file below $1 that has it, and puts the file's times back.
const FLIP: &str = r#"
import os, sys
for directory, _, names in os.walk(sys.argv[1]):
    for path in [os.path.join(directory, name) for name in sorted(names)]:
        if os.path.islink(path) or not os.path.isfile(path) or os.path.getsize(path) < 4:
            continue
        if not path.endswith(("/etc/name", "/root.tar", "/root.tar.zst")):
            continue
        times = os.stat(path)
        with open(path, "r+b") as file:
            file.seek(times.st_size // 2)
            byte = file.read(1)[0]
            file.seek(times.st_size // 2)
            file.write(bytes([byte ^ 1]))
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        sys.exit(0)
sys.exit("there is nothing to damage")
"#;

fn python(fixture: &Fixture, script: &str, directory: &Path) {
    let mut python = fixture.launcher.storage_command("python3");
    let output = python.args(["-c", script]).arg(directory).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

fn layer_directory(fixture: &Fixture, layer: &LayerKey) -> PathBuf {
    fixture.config.directory.join("layers").join(&layer.0)
}

/// Waits until the digests of base and layers are noted.
fn settled(fixture: &Fixture, layers: &[&LayerKey]) {
    let of_layers = layers.iter().map(|layer| layer_directory(fixture, layer));
    for directory in of_layers.chain([fixture.config.directory.join("base")]) {
        let digests = directory.join("digests");
        eventually("noted digests", || digests.exists());
    }
}

fn whole_is_verified(fixture: &Fixture) {
    fixture.with_base();
    let layer = fixture.layer("a1", None, "echo layer > /etc/name");
    settled(fixture, &[&layer]);
    fixture.look(Some(&layer), "echo changed > /etc/name");

    let other = backends::open(&fixture.config, &fixture.launcher);
    assert!(other.verify(None).unwrap());
    assert!(other.verify(Some(&layer)).unwrap());
}

fn flipped_byte_is_noticed(fixture: &Fixture) {
    fixture.with_base();
    let layer = fixture.layer("a1", None, "echo layer > /etc/name");
    settled(fixture, &[&layer]);
    python(fixture, FLIP, &layer_directory(fixture, &layer));

    assert!(!fixture.backend.verify(Some(&layer)).unwrap());
    assert!(fixture.backend.layers().unwrap().is_empty());
    fixture.layer("a1", None, "echo again > /etc/name");
    assert_eq!(fixture.look(Some(&layer), "cat /etc/name"), "again");
    assert!(fixture.backend.verify(Some(&layer)).unwrap());
}

fn below_is_noticed(fixture: &Fixture) {
    fixture.with_base();
    let first = fixture.layer("a1", None, "echo layer > /etc/name");
    let second = fixture.layer("b2", Some(&first), "touch /second");
    settled(fixture, &[&first, &second]);
    python(fixture, FLIP, &layer_directory(fixture, &first));

    assert!(!fixture.backend.verify(Some(&second)).unwrap());
    assert!(fixture.backend.layers().unwrap().is_empty());
}

fn used_is_set_aside(fixture: &Fixture) {
    fixture.with_base();
    let layer = fixture.layer("a1", None, "echo layer > /etc/name; echo fine > /fine");
    settled(fixture, &[&layer]);
    let snapshot = fixture.snapshot(Some(&layer));
    python(fixture, FLIP, &layer_directory(fixture, &layer));
    assert!(!fixture.backend.verify(Some(&layer)).unwrap());
    fixture.backend.clean().unwrap();

    snapshot.close().unwrap();
    fixture.backend.clean().unwrap();
    let layers = fixture.config.directory.join("layers");
    assert!(super::fixture::entries(&layers).is_empty());
    fixture.wait_for_trash();
}

fn touched_is_kept(fixture: &Fixture) {
    fixture.with_base();
    let layer = fixture.layer("a1", None, "echo layer > /etc/name");
    settled(fixture, &[&layer]);
    let touch = FLIP.replace("byte ^ 1", "byte");
    python(fixture, &touch, &layer_directory(fixture, &layer));

    assert!(fixture.backend.verify(Some(&layer)).unwrap());
    assert_eq!(fixture.look(Some(&layer), "cat /etc/name"), "layer");
}

/// Notes other digests than those of the content, as if the disk had forgotten some of it, in the
/// boot before this one.
fn background_notices(fixture: &Fixture) {
    fixture.with_base();
    let layer = fixture.layer("a1", None, "echo layer > /etc/name");
    settled(fixture, &[&layer]);
    let digests = layer_directory(fixture, &layer).join("digests");
    let text = std::fs::read_to_string(&digests).unwrap();
    let mut noted: serde_json::Value = serde_json::from_str(&text).unwrap();
    // Whole at every moment: half a file would be noted anew.
    let write = |noted: &serde_json::Value| {
        let new = digests.with_extension("new");
        std::fs::write(&new, noted.to_string()).unwrap();
        std::fs::rename(new, &digests).unwrap();
    };
    noted["content"] = "another".into();
    write(&noted);
    fixture.backend.clean().unwrap();
    assert_eq!(fixture.backend.layers().unwrap().len(), 1);
    noted["boot"] = "the boot before".into();
    write(&noted);

    eventually("a layer that is gone", || {
        fixture.backend.clean().unwrap();
        fixture.backend.layers().unwrap().is_empty()
    });
}

fn base_is_told(fixture: &Fixture) {
    fixture.with_base();
    settled(fixture, &[]);
    python(fixture, FLIP, &fixture.config.directory.join("base"));

    let told = fixture.backend.verify(None).unwrap_err();
    assert!(matches!(told, Error::Damaged { .. }), "{told}");
    fixture.backend.remove().unwrap();
    fixture.with_base();
    assert!(fixture.backend.verify(None).unwrap());
}
