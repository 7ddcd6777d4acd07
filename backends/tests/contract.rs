//! What every backend promises, as a list of sentences that is run for each of them.
//!
//! The program starts itself again: as the sandbox's helper, and as a process that gets killed.
//! So it has a `main` of its own; its arguments select promises by a part of their names.
//! With `--long`, what there may be a million of is a million.
#[path = "contract/bases.rs"]
mod bases;
#[path = "contract/bootstrap.rs"]
mod bootstrap;
#[path = "contract/cleaning.rs"]
mod cleaning;
#[path = "contract/fixture.rs"]
mod fixture;
#[path = "contract/layers.rs"]
mod layers;
#[path = "contract/snapshots.rs"]
mod snapshots;
#[path = "contract/trees.rs"]
mod trees;
#[path = "contract/verification.rs"]
mod verification;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

use fixture::Fixture;

/// One sentence about backends, and how it is seen to be true.
type Promise = (&'static str, fn(&Fixture));

/// Bootstraps take a minute each: as root, a gate has time for one. An ordinary user sees them all, and root with
/// `tests/run --long`.
fn is_left_to_the_user(backend: &str) -> bool {
    backend != "dir"
        && rustix::process::geteuid().is_root()
        && std::env::var_os("MINI_BUILDD_TEST_LONG").is_none()
}

fn main() -> ExitCode {
    backends::helper_main(std::env::args_os().skip(1));
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|word| word == cleaning::HOLD) {
        cleaning::hold(&arguments[1..]);
    }
    if arguments.first().is_some_and(|word| word == bootstrap::RUN) {
        return bootstrap::run(&arguments[1..]);
    }
    let wanted: Vec<&String> = arguments
        .iter()
        .filter(|word| !word.starts_with('-'))
        .collect();
    let (mut kept, mut broken) = (0, Vec::new());
    for make in fixture::BACKENDS {
        if let Some(missing) = make.missing() {
            let name = format!("{}: it can be tried", make.name);
            let asked_for =
                wanted.is_empty() || wanted.iter().any(|part| name.contains(part.as_str()));
            if asked_for {
                // Root can make one, so for root it is a fault.
                let is_fault = rustix::process::geteuid().is_root();
                let verdict = if is_fault { "BROKEN" } else { "not tried" };
                eprintln!("{name} ... {verdict}: {missing}");
                broken.extend(is_fault.then_some(name));
            }
            continue;
        }
        let mut promises = vec![
            bases::PROMISES,
            snapshots::PROMISES,
            layers::PROMISES,
            trees::PROMISES,
            verification::PROMISES,
            cleaning::PROMISES,
        ];
        if make.bootstrap && !is_left_to_the_user(make.name) {
            promises.push(bootstrap::PROMISES);
        }
        for (promise, see) in promises.concat() {
            let name = format!("{}: {promise}", make.name);
            if !wanted.is_empty() && !wanted.iter().any(|part| name.contains(part.as_str())) {
                continue;
            }
            let begun = Instant::now();
            let seen = catch_unwind(AssertUnwindSafe(|| see(&Fixture::new(make))));
            let verdict = if seen.is_ok() { "ok" } else { "BROKEN" };
            eprintln!("{name} ... {verdict} ({:.1?})", begun.elapsed());
            match seen {
                Ok(()) => kept += 1,
                Err(_) => broken.push(name),
            }
        }
    }
    eprintln!("{kept} promises kept, {} broken", broken.len());
    if broken.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
