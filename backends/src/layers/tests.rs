use super::*;

fn key(text: &str) -> LayerKey {
    LayerKey(text.to_owned())
}

fn found(parent: Option<&str>, boot: &str, synced: bool) -> Found {
    Found {
        record: Record {
            parent: parent.map(key),
            made: SystemTime::UNIX_EPOCH,
            boot: boot.to_owned(),
        },
        used: SystemTime::UNIX_EPOCH,
        synced,
    }
}

fn all(layers: &[(&str, Option<&str>)]) -> BTreeMap<LayerKey, Found> {
    let layers = layers.iter();
    layers
        .map(|(name, parent)| (key(name), found(*parent, "boot", true)))
        .collect()
}

#[test]
fn an_unsynced_layer_counts_in_its_own_boot_only() {
    assert!(counts(&found(None, "this", false), "this"));
    assert!(!counts(&found(None, "last", false), "this"));
    assert!(counts(&found(None, "last", true), "this"));
}

#[test]
fn children_are_dropped_before_their_parents() {
    let all = all(&[
        ("a", None),
        ("b", Some("a")),
        ("c", Some("b")),
        ("d", Some("a")),
        ("e", None),
    ]);

    assert_eq!(
        standing_on(&all, &key("a")),
        ["c", "d", "b", "a"].map(key).to_vec()
    );
    assert_eq!(standing_on(&all, &key("c")), [key("c")]);
}

#[test]
fn a_layer_without_its_parent_is_not_whole() {
    let all = all(&[("a", None), ("b", Some("a")), ("d", Some("c"))]);

    assert!(is_whole(&all, &key("b")));
    assert!(!is_whole(&all, &key("d")));
}

#[test]
fn a_circle_of_parents_is_not_whole() {
    let all = all(&[("a", Some("b")), ("b", Some("a"))]);

    assert!(!is_whole(&all, &key("a")));
    assert_eq!(standing_on(&all, &key("a")), ["b", "a"].map(key).to_vec());
}

#[test]
fn a_key_that_is_no_digest_is_refused() {
    for text in ["", "..", "a/b", ".new", "xyz"] {
        assert!(valid(&key(text)).is_err(), "{text}");
    }
    assert_eq!(valid(&key("0aF9")).unwrap(), "0aF9");
}

#[test]
fn what_was_used_the_longest_ago_goes_first_and_no_more_than_needed() {
    let day = Duration::from_secs(24 * 3600);
    let now = SystemTime::UNIX_EPOCH + 100 * day;
    let layer = |name: &str, age: u32, size| Layer {
        key: key(name),
        parent: None,
        made: SystemTime::UNIX_EPOCH,
        used: now - age * day,
        size,
    };
    let layers = [layer("a", 1, 100), layer("b", 20, 100), layer("c", 40, 100)];
    let superfluous = |unused, missing| super::superfluous(&layers, now, unused, missing);

    assert_eq!(superfluous(30 * day, 0), [key("c")]);
    assert_eq!(superfluous(50 * day, 0), []);
    assert_eq!(superfluous(50 * day, 101), [key("c"), key("b")]);
    assert_eq!(superfluous(30 * day, 1000).len(), 3);
}
