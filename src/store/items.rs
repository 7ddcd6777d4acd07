use crate::model::{Item, Status};

use super::{Error, Transaction};

pub fn get<T: Item>(_tx: &Transaction<'_>, _name: &str) -> Result<Option<(T, Status)>, Error> {
    todo!()
}

/// All of a kind, by name.
pub fn all<T: Item>(_tx: &Transaction<'_>) -> Result<Vec<(T, Status)>, Error> {
    todo!()
}

/// Makes or replaces.
pub fn put<T: Item>(_tx: &Transaction<'_>, _item: &T, _status: Status) -> Result<(), Error> {
    todo!()
}

pub fn remove<T: Item>(_tx: &Transaction<'_>, _name: &str) -> Result<bool, Error> {
    todo!()
}
