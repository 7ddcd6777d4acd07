//! Directories where files belong, and the other way round.
use super::*;

#[test]
fn what_stands_in_the_way_is_moved_aside_and_kept_for_a_day() {
    let fixture = published();
    let dist = "dists/sid-test-unstable";
    let directory = |path: String| {
        move |root: &Path| {
            _ = fs::remove_dir_all(root.join(&path)).or_else(|_| fs::remove_file(root.join(&path)));
            fs::create_dir(root.join(&path)).unwrap();
            fs::write(root.join(&path).join("of-somebody"), "precious").unwrap();
        }
    };
    let file = |path: String| {
        move |root: &Path| {
            fs::remove_dir_all(root.join(&path)).unwrap();
            fs::write(root.join(&path), "precious").unwrap();
        }
    };
    let signed = format!("{dist}/InRelease");
    is_mended(
        &fixture,
        directory(signed.clone()),
        &[(&signed, "not a regular")],
    );
    let both = |root: &Path| {
        directory(format!("{dist}/Release"))(root);
        directory(signed.clone())(root);
    };
    is_mended(&fixture, both, &[("Release", "not a regular")]);
    is_mended(
        &fixture,
        directory(PACKAGES.to_owned()),
        &[(PACKAGES, "not a regular")],
    );
    let by_hash = format!("{dist}/main/binary-amd64/by-hash/SHA256");
    is_mended(&fixture, file(by_hash.clone()), &[(&by_hash, "Packages")]);
    is_mended(&fixture, file(dist.to_owned()), &[(dist, "")]);
    let snapshot = format!("{dist}/snapshots/kept");
    is_mended(
        &fixture,
        file(snapshot.clone()),
        &[(&snapshot, "is missing")],
    );

    let root = fixture.archive.directory();
    let aside = || {
        let names = fs::read_dir(root)
            .unwrap()
            .map(|entry| entry.unwrap().file_name());
        names
            .filter(|name| name.to_string_lossy().starts_with(".obstacle-"))
            .count()
    };
    assert_eq!(aside(), 7);
    let now = Timestamp::now();
    fixture.archive.clean(now).unwrap();
    assert_eq!(aside(), 7);
    fixture
        .archive
        .clean(now + jiff::SignedDuration::from_hours(25))
        .unwrap();
    assert_eq!(aside(), 0);
}
