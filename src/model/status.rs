use serde::{Deserialize, Serialize};

use jiff::Timestamp;

/// What an item is good for now; impossible combinations can't be written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    Removed,
    Prepared(Check),
    Active { checked: Timestamp },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Check {
    Unchecked,
    Changed,
    Failed,
    FailedReactivate,
    Checked(Timestamp),
}

impl Status {
    pub fn is_active(self) -> bool {
        matches!(self, Status::Active { .. })
    }
}
