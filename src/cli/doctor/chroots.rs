//! The chroots of an instance: each base, and each layer on it, is opened and a program run in it.
use std::path::Path;

use sandbox::{Finding, Network, Problem, Weight};

use crate::cause::with_causes;
use crate::chroots::{self, Chroots, process};
use crate::cli::Failure;
use crate::home::Home;
use crate::model::{Chroot, Item as _};
use crate::store::{Store, items};

/// Looks at what dpkg says of itself: it reads its whole database.
const COMMAND: [&str; 2] = ["dpkg", "--audit"];

/// Empty where there is no instance yet.
pub(super) fn findings(home: &Home) -> Result<Vec<Finding>, Failure> {
    if !home.database().is_file() {
        return Ok(Vec::new());
    }
    let store = Store::open(&home.database())?;
    let items = store.read(items::all::<Chroot>)?;
    let chroots = Chroots::of_caller(home.clone())?;
    let problems: Vec<Problem> = items
        .iter()
        .filter_map(|(chroot, _)| problem(&chroots, chroot, home.root()))
        .collect();
    if problems.is_empty() {
        return Ok(vec![Finding {
            name: "chroots",
            problem: None,
        }]);
    }
    let problems = problems.into_iter().map(Some);
    Ok(problems
        .map(|problem| Finding {
            name: "chroots",
            problem,
        })
        .collect())
}

fn problem(chroots: &Chroots, chroot: &Chroot, home: &Path) -> Option<Problem> {
    let name = chroot.name();
    let make = format!("mini-buildd up --no-start --home {}", home.display());
    if !chroots.exists(chroot) {
        return Some(Problem {
            weight: Weight::Needed,
            what: format!("chroot {name} was not made, or its bootstrap was broken off"),
            remedy: Some(make),
        });
    }
    let remove = format!(
        "mini-buildd remove --chroot {name} --home {}",
        home.display()
    );
    let (what, error) = first_broken(chroots, chroot)?;
    Some(Problem {
        weight: Weight::Needed,
        what: format!("{what} of chroot {name} does not work: {error}"),
        remedy: Some(format!("{remove} && {make}")),
    })
}

/// What does not work, and why: the base or a layer.
fn first_broken(chroots: &Chroots, chroot: &Chroot) -> Option<(String, String)> {
    let backend = chroots.backend(chroot);
    let layers = match backend.layers() {
        Ok(layers) => layers,
        Err(error) => return Some(("the layers".to_owned(), with_causes(&error))),
    };
    let run = |layer| -> Result<(), chroots::Error> {
        let session = chroots.begin(chroot, backend.as_ref(), layer, Network::None)?;
        session.succeed(&process::of_root(&COMMAND, Network::None))?;
        session.close()?;
        Ok(())
    };
    if let Err(error) = run(None) {
        return Some(("the base".to_owned(), with_causes(&error)));
    }
    layers.iter().find_map(|layer| {
        let error = run(Some(&layer.key)).err()?;
        Some((format!("layer {}", layer.key), with_causes(&error)))
    })
}
