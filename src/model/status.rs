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

/// What preparing an item means; afterwards it is [`Status::PREPARED`] unless nothing was to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preparation {
    Create,
    Sync,
    Nothing,
}

/// An action that an item's status does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("it is not prepared")]
    NotPrepared,
    #[error("it was changed and must be prepared again: mini-buildd item pca KIND NAME")]
    Changed,
    #[error("its last check failed; it will be active when a check passes")]
    WillReactivate,
}

impl Status {
    pub const PREPARED: Status = Status::Prepared(Check::Unchecked);

    pub fn is_active(self) -> bool {
        matches!(self, Status::Active { .. })
    }

    /// Active, or active again as soon as a check passes.
    pub fn is_to_be_active(self) -> bool {
        self.is_active() || self == Status::Prepared(Check::FailedReactivate)
    }

    /// Stock's mark for the state of the check.
    pub fn mark(self) -> char {
        match self {
            Status::Removed | Status::Prepared(Check::Unchecked) => '-',
            Status::Prepared(Check::Changed) => '*',
            Status::Prepared(Check::Failed) => 'x',
            Status::Prepared(Check::FailedReactivate) => 'A',
            Status::Prepared(Check::Checked(_)) | Status::Active { .. } => 'C',
        }
    }

    pub fn prepare(self) -> Preparation {
        match self {
            Status::Removed => Preparation::Create,
            Status::Prepared(Check::Changed) => Preparation::Sync,
            Status::Prepared(_) | Status::Active { .. } => Preparation::Nothing,
        }
    }

    /// Tells whether a check is to run: an earlier good one is enough unless forced.
    pub fn needs_check(self, force: bool) -> Result<bool, Refused> {
        self.checkable()?;
        let is_good = matches!(
            self,
            Status::Prepared(Check::Checked(_)) | Status::Active { .. }
        );
        Ok(force || !is_good)
    }

    pub fn check_passed(self, at: Timestamp) -> Result<Status, Refused> {
        self.checkable()?;
        Ok(if self.is_to_be_active() {
            Status::Active { checked: at }
        } else {
            Status::Prepared(Check::Checked(at))
        })
    }

    pub fn check_failed(self) -> Result<Status, Refused> {
        self.checkable()?;
        Ok(Status::Prepared(if self.is_to_be_active() {
            Check::FailedReactivate
        } else {
            Check::Failed
        }))
    }

    pub fn activate(self) -> Result<Status, Refused> {
        match self {
            Status::Removed => Err(Refused::NotPrepared),
            Status::Prepared(Check::Changed) => Err(Refused::Changed),
            Status::Prepared(Check::FailedReactivate) => Err(Refused::WillReactivate),
            Status::Prepared(Check::Unchecked | Check::Failed) => {
                Ok(Status::Prepared(Check::FailedReactivate))
            }
            Status::Prepared(Check::Checked(checked)) | Status::Active { checked } => {
                Ok(Status::Active { checked })
            }
        }
    }

    pub fn deactivate(self) -> Status {
        match self {
            Status::Active { checked } => Status::Prepared(Check::Checked(checked)),
            Status::Prepared(Check::FailedReactivate) => Status::Prepared(Check::Failed),
            Status::Removed | Status::Prepared(_) => self,
        }
    }

    /// The item's fields were edited.
    pub fn changed(self) -> Status {
        match self {
            Status::Removed => Status::Removed,
            Status::Prepared(_) | Status::Active { .. } => Status::Prepared(Check::Changed),
        }
    }

    pub fn remove(self) -> Status {
        Status::Removed
    }

    fn checkable(self) -> Result<(), Refused> {
        match self {
            Status::Removed => Err(Refused::NotPrepared),
            Status::Prepared(Check::Changed) => Err(Refused::Changed),
            Status::Prepared(_) | Status::Active { .. } => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of docs/architecture.md; `–`: the state stays.
    const TABLE: &str = "
| from             | prepare | passes           | fails            | activate         | deactivate | changed | remove  |
| Removed          | create  | error            | error            | error            | –          | –       | –       |
| Unchecked        | –       | Checked          | Failed           | FailedReactivate | –          | Changed | Removed |
| Changed          | sync    | error            | error            | error            | –          | –       | Removed |
| Failed           | –       | Checked          | Failed           | FailedReactivate | –          | Changed | Removed |
| FailedReactivate | –       | Active           | –                | error            | Failed     | Changed | Removed |
| Checked          | –       | Checked          | Failed           | Active           | –          | Changed | Removed |
| Active           | –       | Active           | FailedReactivate | –                | Checked    | Changed | Removed |
";

    fn named(name: &str) -> Status {
        let checked = Timestamp::UNIX_EPOCH;
        match name {
            "Removed" => Status::Removed,
            "Active" => Status::Active { checked },
            "Unchecked" => Status::Prepared(Check::Unchecked),
            "Changed" => Status::Prepared(Check::Changed),
            "Failed" => Status::Prepared(Check::Failed),
            "FailedReactivate" => Status::Prepared(Check::FailedReactivate),
            "Checked" => Status::Prepared(Check::Checked(checked)),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn the_table_holds() {
        let rows = TABLE.lines().skip(2).map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            cells
        });
        for row in rows {
            let from = named(row[1]);
            let preparation = match row[2] {
                "create" => Preparation::Create,
                "sync" => Preparation::Sync,
                _ => Preparation::Nothing,
            };
            assert_eq!(from.prepare(), preparation, "{row:?}");
            let results = [
                from.check_passed(Timestamp::UNIX_EPOCH).ok(),
                from.check_failed().ok(),
                from.activate().ok(),
                Some(from.deactivate()),
                Some(from.changed()),
                Some(from.remove()),
            ];
            for (cell, result) in row[3..].iter().zip(results) {
                let expected = match *cell {
                    "error" => None,
                    "–" => Some(from),
                    name => Some(named(name)),
                };
                assert_eq!(result, expected, "{row:?}");
            }
        }
    }

    #[test]
    fn a_good_check_is_repeated_only_when_forced() {
        for (name, force, needed) in [
            ("Checked", false, Ok(false)),
            ("Active", false, Ok(false)),
            ("Active", true, Ok(true)),
            ("Failed", false, Ok(true)),
            ("FailedReactivate", false, Ok(true)),
            ("Changed", true, Err(Refused::Changed)),
            ("Removed", true, Err(Refused::NotPrepared)),
        ] {
            assert_eq!(named(name).needs_check(force), needed, "{name}");
        }
    }

    #[test]
    fn marks_are_stocks() {
        let names = [
            "Unchecked",
            "Changed",
            "Failed",
            "FailedReactivate",
            "Checked",
            "Active",
        ];
        let marks: String = names.map(|name| named(name).mark()).into_iter().collect();
        assert_eq!(marks, "-*xACC");
    }

    #[test]
    fn a_status_survives_the_database() {
        for name in ["Removed", "Unchecked", "Checked", "Active"] {
            let text = serde_json::to_string(&named(name)).unwrap();
            assert_eq!(serde_json::from_str::<Status>(&text).unwrap(), named(name));
        }
    }
}
