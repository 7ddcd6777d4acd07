//! Runs a host program as root of a user namespace that has the sessions' ids and the caller's.
use std::convert::Infallible;
use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, exit};

use nix::sched::CloneFlags;

use crate::idmap::IdMap;
use crate::refusal::Attempt;
use crate::userns;

/// As env(1) and chroot(1) exit when they themselves fail.
const FAILED: i32 = 125;

/// What [`run`] reads before the program's name.
pub(crate) fn arguments(ids: &IdMap) -> [String; 1] {
    let text = serde_json::to_string(ids).expect("numbers in structures are valid JSON");
    [text]
}

pub(crate) fn run(arguments: impl Iterator<Item = OsString>) -> ! {
    match try_run(arguments) {
        Ok(never) => match never {},
        Err(error) => {
            let _ = writeln!(io::stderr(), "{error}");
            exit(FAILED)
        }
    }
}

fn try_run(mut arguments: impl Iterator<Item = OsString>) -> Result<Infallible, String> {
    let ids = arguments.next().unwrap_or_default();
    let ids: IdMap = serde_json::from_slice(ids.as_encoded_bytes())
        .map_err(|error| format!("can't read the ids: {error}"))?;
    let program = arguments.next().unwrap_or_default();
    let ids = ids.with_caller().map_err(|error| error.to_string())?;
    userns::enter(&ids, CloneFlags::empty())
        .and_then(|()| userns::become_root())
        .map_err(|refusal| refusal.to_string())?;
    // The caller may be host root, whose id is mapped here: a setuid program would become it.
    rustix::thread::set_no_new_privs(true)
        .map_err(|errno| Attempt::SetNoNewPrivileges.refused(errno).to_string())?;
    let error = Command::new(&program).args(arguments).exec();
    Err(format!("can't execute {}: {error}", program.display()))
}
