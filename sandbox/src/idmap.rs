use serde::{Deserialize, Serialize};

use crate::Error;

/// One line of uid_map: `count` ids from `inside` are host ids from `outside` (user_namespaces(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdRange {
    pub inside: u32,
    pub outside: u32,
    pub count: u32,
}

/// The ids that exist inside a session; host id 0 and the caller's own id are never among them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdMap {
    pub uids: Vec<IdRange>,
    pub gids: Vec<IdRange>,
}

impl IdMap {
    /// Finds the subordinate ids of the calling user (subuid(5), subgid(5)).
    pub fn of_caller() -> Result<IdMap, Error> {
        todo!()
    }
}
