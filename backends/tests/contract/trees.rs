//! What there may be in a tree survives layers and snapshots.
use std::path::Path;

use backends::{Access, Compression, Config, Kind};

use super::Promise;
use super::fixture::{Fixture, entries, eventually};

pub(crate) const PROMISES: &[Promise] = &[
    (
        "file capabilities and attributes of a layer are kept",
        capabilities_are_kept,
    ),
    ("holes in a file of a layer are kept", holes_are_kept),
    ("hostile names in a layer are kept", names_are_kept),
    ("a base is kept in any compression", any_compression_is_kept),
];

/// Gives all files named `capable` below a directory cap_net_raw (as setcap(8) does) and an attribute,
/// or tells of each what it has.
const PYTHON: &str = r#"
import os, sys
capability = bytes.fromhex("0100000200200000000000000000000000000000")
for directory, _, names in os.walk(sys.argv[2]):
    for path in [os.path.join(directory, name) for name in names if name == "capable"]:
        if sys.argv[1] == "set":
            os.setxattr(path, "security.capability", capability)
            os.setxattr(path, "user.note", b"kept")
            continue
        try:
            same = os.getxattr(path, "security.capability") == capability
            print(same, os.getxattr(path, "user.note").decode())
        except FileNotFoundError:
            pass  # deleted in the background
"#;

fn capable(fixture: &Fixture, what: &str, directory: &Path) -> String {
    let mut python = fixture.launcher.storage_command("python3");
    let output = python
        .args(["-c", PYTHON, what])
        .arg(directory)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn capabilities_are_kept(fixture: &Fixture) {
    fixture.with_base();
    let snapshot = fixture.snapshot(None);
    fixture.run(snapshot.as_ref(), "touch /capable");
    capable(fixture, "set", &fixture.config.sessions);
    let layer = backends::LayerKey("a1".to_owned());
    snapshot.freeze(&layer).unwrap();
    let snapshot = fixture.snapshot(Some(&layer));
    fixture.run(snapshot.as_ref(), "chmod u+x /capable");

    // What the layer was made in goes in the background.
    eventually("one file, as it was", || {
        capable(fixture, "get", &fixture.config.sessions) == "True kept\n"
    });
    snapshot.close().unwrap();
}

fn holes_are_kept(fixture: &Fixture) {
    fixture.with_base();
    let make = "truncate -s 300M /hole; echo end >> /hole; truncate -s 600M /hole; truncate -s 300M /empty";
    let layer = fixture.layer("a1", None, make);
    let script = "stat -c %s /hole /empty; [ $(du -k /hole | cut -f1) -lt 1024 ]
        [ $(du -k /empty | cut -f1) -lt 1024 ]
        dd if=/hole bs=1 skip=314572800 count=4 2>/dev/null";

    assert_eq!(
        fixture.look(Some(&layer), script),
        "629145600\n314572800\nend"
    );
}

fn names_are_kept(fixture: &Fixture) {
    fixture.with_base();
    let make = r#"
        long=$(printf '%0250d' 0)
        mkdir -p "/$long/$long/$long"; echo deep > "/$long/$long/$long/file"
        touch "/-rf" "/ " "/$(printf 'new\nline')" "/$(printf '\377\376')"
        ln -s ../../../../etc/passwd /outside; ln -s //. /root; ln -s "$long/./$long" /long
        ln "/$long/$long/$long/file" "/$long/hard""#;
    let layer = fixture.layer("a1", None, make);
    let script = r#"
        long=$(printf '%0250d' 0)
        cat "/$long/$long/$long/file"; stat -c %h "/$long/hard"
        readlink /outside; readlink /root; [ "$(readlink /long)" = "$long/./$long" ]
        [ -e /-rf ]; [ -e "/ " ]; [ -e "/$(printf 'new\nline')" ]; [ -e "/$(printf '\377\376')" ]"#;

    assert_eq!(
        fixture.look(Some(&layer), script),
        "deep\n2\n../../../../etc/passwd\n//."
    );
}

fn any_compression_is_kept(fixture: &Fixture) {
    let Kind::File(_) = fixture.config.kind else {
        return;
    };
    fixture.with_base();
    for compression in Compression::ALL {
        let config = Config {
            kind: Kind::File(compression),
            ..fixture.config.clone()
        };
        let backend = backends::open(&config, &fixture.launcher);
        let source = backend.open(Access::Source, None).unwrap();
        fixture.run(source.as_ref(), &format!("echo {compression} > /etc/name"));
        source.close().unwrap();

        assert_eq!(
            fixture.look(None, "cat /etc/name /data/one"),
            format!("{compression}\none")
        );
        let base = fixture.config.directory.join("base");
        let is_archive = |name: &String| name.starts_with("root.tar");
        eventually("one archive", || {
            entries(&base)
                .iter()
                .filter(|name| is_archive(name))
                .count()
                == 1
        });
    }
}
