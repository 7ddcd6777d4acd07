//! Bootstraps the base of an instance's chroot in another home, with the .debs of a cache.
//!
//! usage: bootstrap PROGRAM HOME NEW
//!
//! PROGRAM is mini-buildd, HOME that of an instance; NEW becomes a home, whose chroot may have a cache already. A line
//! with the seconds of debootstrap and those of preparing the base for builds, each of wall time and of CPU of this
//! process and its children, is printed; tests/bench/bootstrap reads it.
use std::error::Error;
use std::io::{Write as _, stdout};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mini_buildd::chroots::Chroots;
use mini_buildd::fetch::Proxies;
use mini_buildd::home::Home;
use mini_buildd::store::{Store, catalog::Catalog};
use nix::sys::resource::{UsageWho, getrusage};
use sandbox::{IdMap, Launcher};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().map(PathBuf::from);
    let (Some(program), Some(home), Some(new)) = (next(), next(), next()) else {
        return Err("usage: bootstrap PROGRAM HOME NEW".into());
    };
    let catalog = Store::open(&Home::new(home).database())?.read(Catalog::load)?;
    let chroot = catalog.chroots().next().ok_or("no chroot")?;
    let (source, extra) = catalog.sources_of(chroot).ok_or("no source")?;
    let launcher = Launcher {
        helper: program,
        ids: IdMap::of_caller()?,
    };
    let chroots =
        Chroots::new(Home::new(new), Arc::new(launcher)).with_proxies(Proxies::of_host()?);
    let (start, before) = (Instant::now(), cpu()?);
    let mut made = None;
    chroots.bootstrap(chroot, &source, &extra, &mut |line| {
        if line.ends_with("Preparing for builds...") {
            made = Some((Instant::now(), cpu()));
        }
    })?;
    let (end, after) = (Instant::now(), cpu()?);
    let (made, between) = made.ok_or("it was not prepared")?;
    let between = between?;
    let seconds = [
        made - start,
        between.saturating_sub(before),
        end - made,
        after.saturating_sub(between),
    ];
    let seconds = seconds.map(|time| format!("{:.3}", time.as_secs_f64()));
    writeln!(stdout(), "{}", seconds.join(" "))?;
    Ok(())
}

fn cpu() -> nix::Result<Duration> {
    let mut sum = Duration::ZERO;
    for who in [UsageWho::RUSAGE_SELF, UsageWho::RUSAGE_CHILDREN] {
        let used = getrusage(who)?;
        for time in [used.user_time(), used.system_time()] {
            // Neither is ever negative.
            sum += Duration::new(
                time.tv_sec().unsigned_abs(),
                u32::try_from(time.tv_usec()).unwrap_or_default() * 1000,
            );
        }
    }
    Ok(sum)
}
