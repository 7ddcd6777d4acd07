use serde::{Deserialize, Serialize};

/// What one build may use here, whoever asked for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
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

impl Limits {
    /// Names the first field that makes no sense, and why.
    pub fn fault(&self) -> Option<(&'static str, &'static str)> {
        let is_weight = |weight| (1..=10_000).contains(&weight);
        let checks = [
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
    fn faults_are_named() {
        assert_eq!(Limits::default().fault(), None);
        let limits = Limits {
            cpu_weight: 0,
            ..Limits::default()
        };
        assert_eq!(limits.fault(), Some(("cpu_weight", "must be 1 to 10000")));
    }
}
