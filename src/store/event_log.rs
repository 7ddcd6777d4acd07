//! Events, written in the transaction of the state change they tell of; their files and hooks follow.
use crate::model::Event;

use super::{Error, Transaction};

/// A row: the event and its directory below var/events.
#[derive(Clone, Debug)]
pub struct Logged {
    pub id: i64,
    pub event: Event,
    /// `SOURCE/VERSION/TIMECODE/ARCHITECTURE`
    pub directory: String,
}

pub fn add(_tx: &Transaction<'_>, _event: &Event, _directory: &str) -> Result<i64, Error> {
    todo!()
}
/// Those whose file is not known to be written, oldest first.
pub fn unwritten(_tx: &Transaction<'_>) -> Result<Vec<Logged>, Error> {
    todo!()
}
pub fn mark_written(_tx: &Transaction<'_>, _id: i64) -> Result<(), Error> {
    todo!()
}
/// The newest, newest first.
pub fn recent(_tx: &Transaction<'_>, _limit: u32) -> Result<Vec<Logged>, Error> {
    todo!()
}
