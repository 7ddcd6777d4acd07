use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a build failed, by what the kernel says; what the log says is never asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Failure {
    ExitCode(i32),
    Signal(i32),
    Memory,
    Processes,
    Disk,
    WallTime,
    Silence,
    /// It failed, and had tried to reach what no build can reach.
    Network,
}

/// In one word, as events and buildresults have it: `exit-code-2`, `memory`.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::ExitCode(code) => write!(f, "exit-code-{code}"),
            Failure::Signal(signal) => write!(f, "signal-{signal}"),
            Failure::Memory => f.write_str("memory"),
            Failure::Processes => f.write_str("processes"),
            Failure::Disk => f.write_str("disk"),
            Failure::WallTime => f.write_str("wall-time"),
            Failure::Silence => f.write_str("silence"),
            Failure::Network => f.write_str("network"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_told_in_one_word() {
        assert_eq!(Failure::ExitCode(2).to_string(), "exit-code-2");
        assert_eq!(Failure::WallTime.to_string(), "wall-time");
    }
}
