//! Pieces that are made anew, against all made anew.
use std::fs;

use crate::archive::client::{self, Client};
use crate::archive::fixture::{Fixture, diststr, keys};
use crate::archive::moment::Change;
use crate::archive::pieces::Form;
use crate::archive::state::{self, State};
use crate::archive::view::View;
use crate::archive::{Error, dist};
use crate::store::Transaction;

use super::{UNSTABLE, at};

/// Numbers that look random, the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % end
    }
}

/// Puts a made-up binary into unstable, in the place of its older version, or takes it out.
fn change_one(fixture: &Fixture, dice: &mut Dice, round: u64) {
    let name = format!("pkg{:03}", dice.below(400));
    let is_removed = dice.below(4) == 0;
    let repository = "test".parse().unwrap();
    let change = |tx: &Transaction<'_>| {
        let dist = dist::get(tx, &repository, &diststr())?;
        let change = Change::new(tx, &repository, name.clone());
        let moment = change.moment()?;
        let sql = tx.sql();
        let (old, section) = (
            "UPDATE slot SET removed = ? WHERE name = ? AND removed IS NULL",
            round % 3,
        );
        sql.execute(old, (moment, &name)).unwrap();
        if !is_removed {
            let stanza = format!(
                "Package: {name}\nVersion: {round}\nArchitecture: amd64\nDepends: {}\nDescription: number {name}\n more of it\n",
                "libc6, ".repeat(usize::try_from(dice.below(900)).unwrap())
            );
            let paths = dice.below(20);
            let common = dice.below(50);
            let files: Vec<String> = (0..paths)
                .map(|_| [30, 3].map(|end| dice.below(end)))
                .map(|[directory, number]| format!("usr/share/{directory}/{name} {number}"))
                .chain([format!("usr/lib/common{common}")])
                .collect();
            sql.execute(
                "INSERT INTO package (repository, kind, name, version, architecture, source, source_version,
                                      component, section, priority, stanza, file_list)
                 VALUES ('test', 'deb', ?1, ?2, 'amd64', ?1, ?2, 'main', ?3, 'optional', ?4, ?5)",
                (&name, round.to_string(), format!("s{section}"), stanza, files.join("\n")),
            )
            .unwrap();
            sql.execute(
                "INSERT INTO slot (dist, component, index_name, name, package, added)
                 VALUES (?, 'main', 'binary-amd64', ?, ?, ?)",
                (dist.id, &name, sql.last_insert_rowid(), moment),
            )
            .unwrap();
        }
        dist::touch(tx, dist.id)
    };
    fixture.store.write(change).unwrap();
}

#[test]
fn pieces_that_change_make_the_text_that_a_whole_rendering_makes() {
    let fixture = Fixture::new();
    let root = fixture.archive.directory().to_owned();
    let (published, whole) = (root.join("dists").join(UNSTABLE), root.join("whole"));
    let mut dice = Dice(7);
    let mut most = 0;
    for round in 0..60 {
        // Many at first and once more, else few, and at the end all of them go.
        let changes = match round {
            0 => 300,
            1 => 30,
            2 => 3,
            30 => 900,
            _ => 1,
        };
        for number in 0..changes {
            change_one(&fixture, &mut dice, round * 1000 + number);
        }
        if round == 59 {
            let gone = |tx: &Transaction<'_>| {
                let repository = "test".parse().unwrap();
                let change = Change::new(tx, &repository, "all".into());
                let moment = change.moment()?;
                tx.sql()
                    .execute(
                        "UPDATE slot SET removed = ? WHERE removed IS NULL",
                        [moment],
                    )
                    .unwrap();
                dist::touch(tx, dist::get(tx, &repository, &diststr())?.id)
            };
            fixture.store.write::<_, Error>(gone).unwrap();
        }
        fixture.publish(at(i64::try_from(round).unwrap()));
        most =
            most.max(fixture.count("SELECT count(*) FROM piece WHERE path LIKE 'main/%/Packages'"));
        let render = |tx: &Transaction<'_>| {
            let dist = dist::get(tx, &"test".parse().unwrap(), &diststr())?;
            let state = State {
                view: View::now(dist.id),
                dist: &dist,
                suite: "whole".into(),
                date: at(0),
            };
            state::write(&fixture.archive, tx, &state, &whole, &keys(), at(0))
        };
        fixture.store.read(render).unwrap();
        for path in [
            "main/binary-amd64/Packages",
            "main/i18n/Translation-en",
            "main/Contents-amd64",
            "Contents-amd64",
        ] {
            let text = fs::read_to_string(whole.join(path)).unwrap();
            assert!(!text.is_empty() || round == 59);
            for form in Form::ALL {
                for directory in [&published, &whole] {
                    let file = directory.join(format!("{path}{}", form.extension()));
                    let unpacked =
                        client::unpack(file.to_str().unwrap(), &fs::read(&file).unwrap());
                    assert!(unpacked == text, "round {round}: {}", file.display());
                }
            }
        }
        Client::read(&root, UNSTABLE).map_or_else(
            // What is listed is there; only the packages are made up.
            |fault| {
                assert!(
                    fault.contains("pool") || fault.contains("test/: "),
                    "{fault}"
                );
            },
            |_| (),
        );
    }
    assert!(most > 4, "{most} pieces");
}
