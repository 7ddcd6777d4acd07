//! Builds and events are not kept for ever.
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use std::{fs, io};

use jiff::Timestamp;
use tracing::info;

use super::Error;
use crate::home::{FileError, Home};
use crate::store::{Store, event_log, jobs};

/// Removes directories of builds that last changed before a time, but for unfinished ones.
pub(super) fn builds(home: &Home, store: &Store, before: Timestamp) -> Result<(), Error> {
    let unfinished = store.read(jobs::unfinished_builds)?;
    let unfinished = unfinished.iter();
    let kept: HashSet<PathBuf> = unfinished
        .map(|build| home.build_directory(&build.request.key()))
        .collect();
    let found = home.build_directories();
    let found = found.map_err(FileError::of("list", &home.builds()))?;
    remove(&home.builds(), found, &kept, before)
}

/// Removes events before a time, but for those of unfinished packagings.
pub(super) fn events(home: &Home, store: &Store, before: Timestamp) -> Result<(), Error> {
    let unfinished = store.read(jobs::unfinished_packagings)?;
    let unfinished = unfinished.iter();
    let kept: HashSet<PathBuf> = unfinished
        .map(|packaging| home.package_events(&packaging.key))
        .collect();
    let found = home.event_directories();
    let found = found.map_err(FileError::of("list", &home.events()))?;
    remove(&home.events(), found, &kept, before)?;
    Ok(store.write(|tx| event_log::forget(tx, before))?)
}

fn remove(
    root: &Path,
    found: Vec<PathBuf>,
    kept: &HashSet<PathBuf>,
    before: Timestamp,
) -> Result<(), Error> {
    let before = SystemTime::from(before);
    for directory in found {
        let examined = newest(&directory);
        let changed = examined.map_err(FileError::of("examine", &directory))?;
        if kept.contains(&directory) || changed >= before {
            continue;
        }
        fs::remove_dir_all(&directory).map_err(FileError::of("remove", &directory))?;
        info!(directory = %directory.display(), "expired");
        for parent in directory.ancestors().skip(1) {
            if parent == root || fs::remove_dir(parent).is_err() {
                break;
            }
        }
    }
    Ok(())
}

/// When a directory, or what is in it, last changed.
fn newest(directory: &Path) -> io::Result<SystemTime> {
    let mut newest = fs::metadata(directory)?.modified()?;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let is_directory = entry.file_type()?.is_dir();
        newest = newest.max(if is_directory {
            self::newest(&entry.path())?
        } else {
            entry.metadata()?.modified()?
        });
    }
    Ok(newest)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::model::Event;
    use crate::store::letters;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn file(path: &Path, age: Duration) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
        let then = SystemTime::now() - age;
        for path in path.ancestors().take(3) {
            File::open(path).unwrap().set_modified(then).unwrap();
        }
    }

    #[test]
    fn what_is_old_goes_and_what_is_unfinished_stays() {
        let place = tempfile::tempdir().unwrap();
        let home = Home::new(place.path());
        home.create().unwrap();
        let store = Store::open(&home.database()).unwrap();
        let [old, young] = ["hello/1/t1", "hello/2/t2"].map(|key| home.events().join(key));
        file(&old.join("source/hello_1.changes"), DAY * 3);
        file(&young.join("source/hello_2.changes"), DAY);
        let days = |days: i64| Timestamp::now() - jiff::SignedDuration::from_hours(24 * days);
        events(&home, &store, days(4)).unwrap();
        assert!(old.exists());
        events(&home, &store, days(2)).unwrap();
        assert!(!old.exists() && !home.events().join("hello/1").exists());
        assert!(young.exists());

        let kept = HashSet::from([young.clone()]);
        remove(&home.events(), vec![young.clone()], &kept, days(0)).unwrap();
        assert!(young.exists());
    }

    #[test]
    fn an_event_stays_until_its_letters_are_sent() {
        let place = tempfile::tempdir().unwrap();
        let home = Home::new(place.path());
        home.create().unwrap();
        let store = Store::open(&home.database()).unwrap();
        let event: Event = serde_json::from_value(json!({
            "type": "INSTALLED", "distribution": "unstable", "source": "hello", "version": "1",
            "timestamp": "2025-11-22T05:48:16.994455+00:00", "extra": {},
        }))
        .unwrap();
        let id = store.write(|tx| event_log::add(tx, &event, "hello/1/t1/source"));
        let id = id.unwrap();
        let is_known = || {
            events(&home, &store, Timestamp::now()).unwrap();
            store.read(|tx| event_log::get(tx, id)).unwrap().is_some()
        };
        store
            .write(|tx| event_log::mark_written(tx, id, true))
            .unwrap();
        assert!(is_known());
        store
            .write(|tx| {
                letters::add(tx, id, "jo@example.org", "", Timestamp::now())?;
                event_log::mark_mailed(tx, id)
            })
            .unwrap();
        assert!(is_known());
        let (letter, _) = store.read(letters::next).unwrap().unwrap();
        store.write(|tx| letters::remove(tx, letter.id)).unwrap();
        assert!(!is_known());
    }
}
