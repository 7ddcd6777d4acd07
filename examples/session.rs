//! Begins a session, runs a command in it and ends it, as a build does: once for each line on standard input.
//!
//! usage: session prepared|unprepared PROGRAM HOME [COMMAND...]
//!
//! PROGRAM is mini-buildd, HOME that of an instance with a chroot. `prepared` does what can be done before a session is
//! wanted, as builds do, before the line is read. After each session a line with its milliseconds, the
//! CPU milliseconds of this process and its children, and the milliseconds of beginning, running and ending is printed;
//! tests/bench/session reads it. CPU time is that until the kernel has taken all down; what the session left is deleted
//! after that.
use std::error::Error;
use std::fs::File;
use std::io::{Write as _, stdin, stdout};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mini_buildd::chroots::{Chroots, process};
use mini_buildd::home::Home;
use mini_buildd::store::{Store, catalog::Catalog};
use nix::fcntl::{Flock, FlockArg};
use nix::sys::resource::{UsageWho, getrusage};
use sandbox::{IdMap, Launcher, Network, Stdio};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().map(PathBuf::from);
    let (Some(how), Some(program), Some(home)) = (next(), next(), next()) else {
        return Err("usage: session prepared|unprepared PROGRAM HOME [COMMAND...]".into());
    };
    let is_prepared = how.as_os_str() == "prepared";
    let mut command: Vec<String> = arguments.collect();
    if command.is_empty() {
        command.push("/bin/true".to_owned());
    }
    let home = Home::new(home);
    let catalog = Store::open(&home.database())?.read(Catalog::load)?;
    let chroot = catalog.chroots().next().ok_or("no chroot")?;
    let launcher = Launcher {
        helper: program,
        ids: IdMap::of_caller()?,
    };
    let trash = home.trash().join(".lock");
    let chroots = Chroots::new(home, Arc::new(launcher));
    let backend = chroots.backend(chroot);
    let line: Vec<&str> = command.iter().map(String::as_str).collect();
    let process = process::of_root(&line, Network::None);
    let mut lines = stdin().lines();
    loop {
        if is_prepared {
            chroots.prepare();
        }
        if lines.next().is_none() {
            return Ok(());
        }
        // Who deletes holds it.
        let undisturbed = Flock::lock(File::create(&trash)?, FlockArg::LockExclusive)
            .map_err(|(_, errno)| errno)?;
        // Of what was prepared by another process, all counts: it is added when that ends.
        let (start, used) = (Instant::now(), cpu()?);
        let session = chroots.begin(chroot, backend.as_ref(), None, Network::None)?;
        let ready = Instant::now();
        let exit = session.run(&process, Stdio::default())?;
        let done = Instant::now();
        let ending = session.close()?;
        let end = Instant::now();
        if let Some(ending) = ending {
            ending.wait();
        }
        let used = cpu()?.saturating_sub(used);
        drop(undisturbed);
        if !exit.success() {
            return Err(format!("{} ended with {exit:?}", command.join(" ")).into());
        }
        writeln!(
            stdout(),
            "{:.3} {:.3} {:.3} {:.3} {:.3}",
            milliseconds(end - start),
            milliseconds(used),
            milliseconds(ready - start),
            milliseconds(done - ready),
            milliseconds(end - done),
        )?;
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn cpu() -> Result<Duration, Box<dyn Error>> {
    let mut sum = Duration::ZERO;
    for who in [UsageWho::RUSAGE_SELF, UsageWho::RUSAGE_CHILDREN] {
        let used = getrusage(who)?;
        for time in [used.user_time(), used.system_time()] {
            sum += Duration::new(
                time.tv_sec().try_into()?,
                (time.tv_usec() * 1000).try_into()?,
            );
        }
    }
    Ok(sum)
}
