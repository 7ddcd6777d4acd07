//! What time brings.
use super::*;

#[test]
fn valid_until_is_renewed_by_the_running_daemon() {
    let directory = daemon::new_home();
    let home = directory.path();
    let layout = |words: &[&str], input: Option<&Path>| {
        let mut command = Command::new(program());
        command.arg("layout").args(words).args(input);
        run(command.arg("--home").arg(home)).stdout
    };
    let mut default: Value =
        serde_json::from_slice(&layout(&["show", "Default", "--json"], None)).unwrap();
    for suite in default["suites"].as_array_mut().unwrap() {
        suite["valid_days"] = 2.into();
    }
    let file = home.join("layout.json");
    fs::write(&file, default.to_string()).unwrap();
    layout(&["put"], Some(&file));
    // Its first start writes its own name.
    Daemon::start(home).end("TERM");
    let release = home.join(format!("repositories/test/dists/{DIST}/InRelease"));
    let before = fs::read_to_string(&release).unwrap();
    assert!(before.contains("\nValid-Until: "), "{before}");
    let published = serial(home);
    let database = rusqlite::Connection::open(Home::new(home).database()).unwrap();
    let age = |name: &str, seconds: u32| {
        let query = "UPDATE dist SET published_at = published_at - ? WHERE name = ?";
        assert_eq!(database.execute(query, (seconds, name)).unwrap(), 1);
    };
    // Half of two days.
    age(DIST, 24 * 3600);
    age("trixie-test-testing", 23 * 3600);
    let other = home.join("repositories/test/dists/trixie-test-testing/InRelease");
    let unchanged = fs::read_to_string(&other).unwrap();
    let _daemon = Daemon::start(home);
    wait_until("it is published anew", || serial(home) > published);
    assert_ne!(fs::read_to_string(&release).unwrap(), before);
    assert_eq!(fs::read_to_string(&other).unwrap(), unchanged);
}

#[test]
fn snapshots_come_and_go_by_rule_and_late_after_a_pause() {
    let directory = daemon::new_home();
    let home = directory.path();
    let stable = "trixie-test-stable";
    let place = Home::new(home);
    let store = Arc::new(Store::open(&place.database()).unwrap());
    let repositories = Repositories::new(place, store);
    let names = || {
        let listed = said(home, &["snapshot", "ls", stable, "--json"]);
        let listed: Vec<Value> = serde_json::from_str(&listed).unwrap();
        let names = listed
            .iter()
            .map(|snapshot| word(snapshot, "name").to_owned());
        names.collect::<Vec<_>>()
    };
    let look = |now: &Zoned| repositories.make_snapshots(now).unwrap();
    let day = |text: &str| -> Zoned { format!("{text}T12:00[UTC]").parse().unwrap() };
    // A dist that never had a package has none.
    look(&day("2030-01-05"));
    assert_eq!(names(), Vec::<String>::new());
    let files = tempfile::tempdir().unwrap();
    include(home, files.path(), FIRST);
    said(home, &["migrate", "hello", DIST, "--full"]);
    look(&day("2030-01-05"));
    look(&day("2030-01-05"));
    let mut sorted = names();
    sorted.sort();
    assert_eq!(
        sorted,
        [
            "MONTHLY_2030-01-05T12:00",
            "WEEKLY_2030-01-05T12:00",
            "YEARLY_2030-01-05T12:00"
        ]
    );
    // Sunday begins a week; a daemon that was down until Wednesday is late.
    look(&day("2030-01-09"));
    assert!(
        names().contains(&"WEEKLY_2030-01-09T12:00".into()),
        "{:?}",
        names()
    );
    look(&day("2030-01-12"));
    assert_eq!(names().len(), 4);
    said(home, &["snapshot", "create", stable, "mine"]);
    // Eight weeks are kept.
    look(&(day("2030-01-05") + 57.days()));
    assert!(
        !names().contains(&"WEEKLY_2030-01-05T12:00".into()),
        "{:?}",
        names()
    );
    look(&day("2040-01-05"));
    let mut sorted = names();
    sorted.sort();
    assert_eq!(
        sorted,
        [
            "MONTHLY_2040-01-05T12:00",
            "WEEKLY_2040-01-05T12:00",
            "YEARLY_2040-01-05T12:00",
            "mine"
        ]
    );
    said(home, &["publish"]);
    let kept = home.join(format!("repositories/test/dists/{stable}/snapshots"));
    assert_eq!(fs::read_dir(kept).unwrap().count(), 4);
}

#[test]
fn what_is_too_old_is_forgotten_by_the_look_of_the_hour() {
    let directory = daemon::new_home();
    let home = directory.path();
    let files = tempfile::tempdir().unwrap();
    include(home, files.path(), FIRST);
    said(home, &["remove", "hello", DIST, "--without-rollback"]);
    include(home, files.path(), SECOND);
    let place = Home::new(home);
    let store = Arc::new(Store::open(&place.database()).unwrap());
    let repositories = Repositories::new(place, store);
    let file = home.join(format!(
        "repositories/test/pool/main/h/hello/hello_{FIRST}.dsc"
    ));
    let now = Timestamp::now();
    for (hours, is_there) in [(364 * 24, true), (366 * 24, true), (367 * 24 + 1, false)] {
        repositories.expire(now + hours.hours()).unwrap();
        assert_eq!(file.exists(), is_there, "{hours}");
    }
}
