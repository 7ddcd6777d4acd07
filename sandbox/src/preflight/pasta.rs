//! What pasta(1) needs, which gives sessions a network apart from the host's.
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;

use rustix::fs::makedev;

use super::{Finding, Problem, Weight};
use crate::engine::{Engine, Wish};
use crate::userns;

const TUN: &str = "/dev/net/tun";

pub(super) fn findings() -> [Finding; 2] {
    let program = userns::find("pasta")
        .is_none()
        .then(|| recommended("pasta is not installed", "apt install passt".to_owned()));
    [
        Finding {
            name: "pasta",
            problem: program,
        },
        Finding {
            name: TUN,
            problem: tun(),
        },
    ]
}

/// What would help where pasta failed, if it is one of the things that are looked for.
pub(crate) fn remedy() -> Option<String> {
    let mut problems = findings().into_iter().filter_map(|finding| finding.problem);
    problems.find_map(|problem| problem.remedy)
}

fn tun() -> Option<Problem> {
    // pasta has the session's ids, so that root's own file is closed to it.
    let closed = fs::metadata(TUN).is_ok_and(|metadata| metadata.mode() & 0o006 != 0o006);
    let what = match open_tun() {
        Err(error) => format!("can't open {TUN}: {error}"),
        Ok(()) if closed => format!("sessions can't open {TUN}"),
        Ok(()) => return None,
    };
    let remedy = match Engine::of_this_process() {
        _ if closed => format!("chmod 666 {TUN}"),
        engine @ Some(_) => Wish::Tun.remedy(engine),
        None => format!("modprobe tun; if {TUN} is still missing: mknod -m 666 {TUN} c 10 200"),
    };
    Some(recommended(&what, remedy))
}

fn open_tun() -> io::Result<()> {
    let file = File::options().read(true).write(true).open(TUN)?;
    // What a container binds there may be another device.
    if file.metadata()?.rdev() != makedev(10, 200) {
        return Err(io::Error::other("it is not the TUN device, 10:200"));
    }
    Ok(())
}

fn recommended(what: &str, remedy: String) -> Problem {
    Problem {
        weight: Weight::Recommended,
        what: format!("{what}; apt in builds gets the host's whole network instead"),
        remedy: Some(remedy),
    }
}
