//! Limits of one process, as its caller asks for them (getrlimit(2)).
use rustix::process::{Resource, setrlimit};

use crate::process::Rlimit;
use crate::refusal::{Attempt, Refusal};

pub(crate) fn apply(limit: &Rlimit) -> Result<(), Refusal> {
    let attempt = || Attempt::SetLimit(limit.kind.clone());
    let resource =
        resource(&limit.kind).ok_or_else(|| attempt().said("there is no such limit".to_owned()))?;
    let limit = rustix::process::Rlimit {
        current: finite(limit.soft),
        maximum: finite(limit.hard),
    };
    setrlimit(resource, limit).map_err(|errno| attempt().refused(errno))
}

/// RLIM_INFINITY is the highest number.
fn finite(limit: u64) -> Option<u64> {
    (limit != u64::MAX).then_some(limit)
}

fn resource(kind: &str) -> Option<Resource> {
    Some(match kind {
        "RLIMIT_AS" => Resource::As,
        "RLIMIT_CORE" => Resource::Core,
        "RLIMIT_CPU" => Resource::Cpu,
        "RLIMIT_DATA" => Resource::Data,
        "RLIMIT_FSIZE" => Resource::Fsize,
        "RLIMIT_LOCKS" => Resource::Locks,
        "RLIMIT_MEMLOCK" => Resource::Memlock,
        "RLIMIT_MSGQUEUE" => Resource::Msgqueue,
        "RLIMIT_NICE" => Resource::Nice,
        "RLIMIT_NOFILE" => Resource::Nofile,
        "RLIMIT_NPROC" => Resource::Nproc,
        "RLIMIT_RSS" => Resource::Rss,
        "RLIMIT_RTPRIO" => Resource::Rtprio,
        "RLIMIT_RTTIME" => Resource::Rttime,
        "RLIMIT_SIGPENDING" => Resource::Sigpending,
        "RLIMIT_STACK" => Resource::Stack,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_named_as_in_the_runtime_spec() {
        assert!(matches!(resource("RLIMIT_NOFILE"), Some(Resource::Nofile)));
        assert!(resource("NOFILE").is_none());
    }

    #[test]
    fn highest_number_is_no_limit() {
        assert_eq!(finite(u64::MAX), None);
        assert_eq!(finite(0), Some(0));
    }
}
