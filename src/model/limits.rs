use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What one build may use here, whoever asked for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Of all its processes together; 0: nine tenths of what the machine has.
    pub memory_mib: u64,
    /// Processes and threads at once.
    pub processes: u64,
    /// Share of the processors, where others have 100; 1 to 10000.
    pub cpu_weight: u64,
    /// Share of reading and writing disks, where others have 100; 1 to 10000.
    pub io_weight: u64,
    /// From its beginning to its end.
    pub wall_seconds: u64,
    /// Without any output, as sbuild's stalled-pkg-timeout.
    pub silence_seconds: u64,
    /// What it adds to its chroot.
    pub disk_mib: u64,
    /// What it leaves to others on the disk.
    pub free_disk_mib: u64,
    /// Results together.
    pub output_mib: u64,
    /// Build log; what comes after that is dropped.
    pub log_mib: u64,
}

const TOO_MUCH: &str = "must be 1099511627776 at most";

impl Default for Limits {
    /// Lets any package of Debian pass; sbuild ends what is silent for as long.
    fn default() -> Limits {
        Limits {
            memory_mib: 0,
            processes: 16384,
            cpu_weight: 100,
            io_weight: 100,
            wall_seconds: 2 * 24 * 3600,
            silence_seconds: 150 * 60,
            disk_mib: 256 << 10,
            free_disk_mib: 1 << 10,
            output_mib: 16 << 10,
            log_mib: 512,
        }
    }
}

/// `NAME=VALUE`, one limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    name: String,
    value: u64,
}

impl FromStr for Setting {
    type Err = String;
    fn from_str(text: &str) -> Result<Setting, String> {
        let (name, value) = text
            .split_once('=')
            .ok_or_else(|| format!("{text:?} is not NAME=VALUE"))?;
        let setting = Setting {
            name: name.to_owned(),
            value: value
                .parse()
                .map_err(|_| format!("{value:?} is not a number"))?,
        };
        let limits = Limits::default().with(&setting)?;
        match limits.fault() {
            Some((field, fault)) => Err(format!("{field} {fault}")),
            None => Ok(setting),
        }
    }
}

impl Limits {
    /// The same but for one; an unknown name is answered with the known ones.
    pub fn with(&self, setting: &Setting) -> Result<Limits, String> {
        let known = serde_json::to_value(self).map_err(|error| error.to_string())?;
        let mut fields = known.as_object().cloned().unwrap_or_default();
        let Some(field) = fields.get_mut(&setting.name) else {
            let names: Vec<&str> = fields.keys().map(String::as_str).collect();
            let names = names.join(", ");
            return Err(format!("{:?} is none of {names}", setting.name));
        };
        *field = setting.value.into();
        serde_json::from_value(fields.into()).map_err(|error| error.to_string())
    }

    /// Names the first field that makes no sense, and why.
    pub fn fault(&self) -> Option<(&'static str, &'static str)> {
        let is_weight = |weight| (1..=10_000).contains(&weight);
        // More than any disk has; beyond, bytes could not be counted.
        let is_size = |mib| mib <= 1 << 40;
        let checks = [
            ("memory_mib", is_size(self.memory_mib), TOO_MUCH),
            ("disk_mib", is_size(self.disk_mib), TOO_MUCH),
            ("free_disk_mib", is_size(self.free_disk_mib), TOO_MUCH),
            ("output_mib", is_size(self.output_mib), TOO_MUCH),
            ("log_mib", is_size(self.log_mib), TOO_MUCH),
            ("processes", self.processes >= 16, "must be 16 at least"),
            (
                "cpu_weight",
                is_weight(self.cpu_weight),
                "must be 1 to 10000",
            ),
            ("io_weight", is_weight(self.io_weight), "must be 1 to 10000"),
            ("wall_seconds", self.wall_seconds > 0, "must be above 0"),
            (
                "silence_seconds",
                self.silence_seconds > 0,
                "must be above 0",
            ),
            ("disk_mib", self.disk_mib > 0, "must be above 0"),
            ("output_mib", self.output_mib > 0, "must be above 0"),
            ("log_mib", self.log_mib > 0, "must be above 0"),
        ];
        let fault = checks.into_iter().find(|(_, holds, _)| !holds);
        fault.map(|(field, _, fault)| (field, fault))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_is_the_default() {
        let limits: Limits = serde_json::from_str(r#"{"processes": 100}"#).unwrap();
        let expected = Limits {
            processes: 100,
            ..Limits::default()
        };
        assert_eq!(limits, expected);
    }

    #[test]
    fn one_limit_is_set_by_name() {
        let setting: Setting = "memory_mib=4096".parse().unwrap();
        let limits = Limits::default().with(&setting).unwrap();
        assert_eq!(limits.memory_mib, 4096);
        assert_eq!(limits.processes, Limits::default().processes);
        for wrong in ["memory_mib", "memory_mib=much", "patience=1", "io_weight=0"] {
            assert!(wrong.parse::<Setting>().is_err(), "{wrong}");
        }
        let unknown = "patience=1".parse::<Setting>().unwrap_err();
        assert!(unknown.contains("silence_seconds"), "{unknown}");
    }

    #[test]
    fn faults_are_named() {
        assert_eq!(Limits::default().fault(), None);
        let limits = Limits {
            cpu_weight: 0,
            ..Limits::default()
        };
        assert_eq!(limits.fault(), Some(("cpu_weight", "must be 1 to 10000")));
    }
}
