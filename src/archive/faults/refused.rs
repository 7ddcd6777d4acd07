//! The disk refuses a change.
use std::cell::{Cell, RefCell};
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::io::Errno;

use crate::archive::Error;
use crate::cause::with_causes;
use crate::fault;

use super::chosen;
use super::ground::{Ground, Job, NEW, check_old_or_new, finish, seen};

#[derive(Clone, Copy, Debug)]
pub(super) enum Refusal {
    /// One change fails.
    InputOutput,
    /// All that follow in the same call fail too.
    NoSpace,
}

/// Refuses from a point on.
struct Disk {
    left: Cell<usize>,
    refusal: Refusal,
    refused: RefCell<Vec<(&'static str, PathBuf)>>,
}

impl Disk {
    fn answer(&self, action: &'static str, path: &Path) -> io::Result<()> {
        let left = self.left.get();
        self.left.set(left.saturating_sub(1));
        let errno = match (self.refusal, left) {
            (Refusal::InputOutput, 1) => Errno::IO,
            (Refusal::NoSpace, 0 | 1) => Errno::NOSPC,
            (Refusal::InputOutput | Refusal::NoSpace, _) => return Ok(()),
        };
        self.refused.borrow_mut().push((action, path.to_owned()));
        Err(errno.into())
    }

    /// The error names what was refused.
    fn check(&self, error: &Error) {
        let text = with_causes(error);
        let refused = self.refused.borrow();
        let is_named = refused.iter().any(|(action, path)| match *action {
            "begin" | "commit" => text.contains("transaction"),
            _ => text.contains(&path.display().to_string()),
        });
        assert!(is_named, "{text}, {refused:?}");
    }
}

/// Does the job; the call that fails for a refusal is made again, on the same values.
pub(super) fn run_refused(directory: &Path, point: usize, refusal: Refusal) {
    let disk = Rc::new(Disk {
        left: Cell::new(point),
        refusal,
        refused: RefCell::default(),
    });
    let mut job = Job::open(directory);
    for call in Job::CALLS {
        if !disk.refused.borrow().is_empty() {
            call(&mut job).unwrap();
            continue;
        }
        let asked = Rc::clone(&disk);
        let answer = move |action, path: &Path| asked.answer(action, path);
        if let Err(error) = fault::during(answer, || call(&mut job)) {
            disk.check(&error);
            check_old_or_new(directory);
            call(&mut job).unwrap();
        }
    }
    assert!(!disk.refused.borrow().is_empty());
    assert_eq!(seen(directory), NEW);
}

#[test]
fn refused_any_change_a_call_says_so_leaves_old_or_new_and_succeeds_when_it_is_made_again() {
    let ground = Ground::new();
    let (points, expected) = ground.survey();
    for refusal in [Refusal::NoSpace, Refusal::InputOutput] {
        for point in chosen(points.len(), 32) {
            let (action, path) = &points[point - 1];
            eprintln!("{refusal:?} for {action} {}", path.display());
            let copy = ground.copy();
            run_refused(copy.path(), point, refusal);
            finish(copy.path(), &expected);
        }
    }
}
