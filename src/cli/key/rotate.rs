//! `mini-buildd key rotate`
use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;

use crate::cli::{Failure, confirm, home};
use crate::keys::{self, KeySet};
use crate::setup;
use crate::store::{Store, items};

use super::Window;

/// Makes a new key that signs beside the present one, and takes its place when the window ends.
///
/// All is published anew at once. What instances send each other is signed by the former key until then. It is kept
/// after, but signs no more.
#[derive(Args, Debug)]
pub(super) struct Options {
    #[command(flatten)]
    home: home::Options,
    #[command(flatten)]
    window: Window,
    /// End the window now: the former key signs no more.
    #[arg(long, conflicts_with = "days")]
    finish: bool,
    /// Don't ask.
    #[arg(short, long, requires = "finish")]
    yes: bool,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("nothing was changed; to end the window without being asked, add --yes")]
    Unconfirmed,
    #[error("the instance has no settings; run mini-buildd up again")]
    Incomplete,
}

pub(super) fn run(options: &Options) -> Result<ExitCode, Failure> {
    let home = options.home.own()?;
    if options.finish {
        let next = KeySet::read(&home)?
            .next
            .ok_or(keys::Error::NothingToFinish)?;
        let question = format!(
            "Clients without key {} will refuse the repositories. End the window now?",
            next.key.fingerprint()
        );
        if !(options.yes || confirm::is_confirmed(&question)) {
            return Err(Error::Unconfirmed.into());
        }
        keys::finish(&home, Timestamp::now())?;
        super::publish(&home)?;
        return Ok(ExitCode::SUCCESS);
    }
    let store = Store::open(&home.database())?;
    let (daemon, _) = store
        .read(|tx| items::get(tx, "daemon"))?
        .ok_or(Error::Incomplete)?;
    let key = setup::signing_key(&daemon)?;
    super::begin(&home, &key, options.window.end(Timestamp::now()))?;
    Ok(ExitCode::SUCCESS)
}
