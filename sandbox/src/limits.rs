//! What the processes of a session may use together, and what holds them to it.
//!
//! Reading order: [`Limits`] is what the spec asks for, `cgroup` holds a session to it where a
//! cgroup of version 2 is delegated to the caller, `fallback` elsewhere, and [`Usage`] tells what is
//! used now and whether a limit was hit. `rlimit` is for one process, as its caller asks.
mod cgroup;
mod fallback;
pub(crate) mod rlimit;

use std::fmt;

use oci_spec::runtime::{LinuxResources, Spec};
use serde::{Deserialize, Serialize};

use crate::plan::PlanError;

use cgroup::{Cgroup, Delegation};
pub(crate) use fallback::apply_in_session;

/// Limits of a whole session; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes.
    pub memory: Option<u64>,
    /// Processes and threads.
    pub processes: Option<u64>,
    /// Share of the processors among all that want them: 1 to 10,000, others have 100.
    pub cpu_weight: Option<u64>,
    /// The same for reading and writing disks.
    pub io_weight: Option<u64>,
}

impl Limits {
    /// What the spec's `linux.resources` ask for; the weights stand among the unified ones.
    pub(crate) fn of(spec: &Spec) -> Result<Limits, PlanError> {
        let linux = spec.linux().as_ref();
        let Some(resources) = linux.and_then(|linux| linux.resources().as_ref()) else {
            return Ok(Limits::default());
        };
        refuse_unsupported(resources)?;
        let memory = resources.memory().as_ref();
        let mut limits = Limits {
            memory: memory.and_then(|memory| positive(memory.limit()?)),
            processes: resources.pids().and_then(|pids| positive(pids.limit())),
            ..Limits::default()
        };
        for (name, value) in resources.unified().iter().flatten() {
            let weight = match name.as_str() {
                "cpu.weight" => &mut limits.cpu_weight,
                "io.weight" => &mut limits.io_weight,
                _ => return Err(PlanError::Unsupported("a unified one of linux.resources")),
            };
            *weight = value
                .parse()
                .ok()
                .filter(|weight| (1..=10_000).contains(weight));
            if weight.is_none() {
                return Err(PlanError::Unsupported(
                    "a weight of linux.resources that is not 1 to 10000",
                ));
            }
        }
        Ok(limits)
    }

    /// Writes them to the spec's `linux.resources`.
    pub fn ask(&self, spec: &mut Spec) {
        use oci_spec::runtime::{LinuxMemoryBuilder, LinuxPidsBuilder};
        let mut resources = LinuxResources::default();
        let signed = |limit: u64| i64::try_from(limit).unwrap_or(i64::MAX);
        resources.set_memory(self.memory.map(|limit| {
            let memory = LinuxMemoryBuilder::default().limit(signed(limit));
            memory.build().expect("all fields have defaults")
        }));
        resources.set_pids(self.processes.map(|limit| {
            let pids = LinuxPidsBuilder::default().limit(signed(limit));
            pids.build().expect("all fields have defaults")
        }));
        let weights = [
            ("cpu.weight", self.cpu_weight),
            ("io.weight", self.io_weight),
        ];
        let weights = weights
            .into_iter()
            .filter_map(|(name, weight)| Some((name.to_owned(), weight?.to_string())));
        resources.set_unified(Some(weights.collect()));
        let mut linux = spec.linux().clone().unwrap_or_default();
        linux.set_resources(Some(resources));
        spec.set_linux(Some(linux));
    }

    fn is_none(&self) -> bool {
        *self == Limits::default()
    }
}

fn refuse_unsupported(resources: &LinuxResources) -> Result<(), PlanError> {
    let memory = resources.memory().as_ref();
    let unsupported = [
        (resources.cpu().is_some(), "linux.resources.cpu"),
        (resources.block_io().is_some(), "linux.resources.blockIO"),
        (resources.rdma().is_some(), "linux.resources.rdma"),
        (resources.network().is_some(), "linux.resources.network"),
        (
            resources
                .hugepage_limits()
                .iter()
                .flatten()
                .next()
                .is_some(),
            "linux.resources.hugepageLimits",
        ),
        (
            memory.is_some_and(|memory| {
                memory.reservation().is_some()
                    || memory.swap().is_some()
                    || memory.kernel().is_some()
                    || memory.disable_oom_killer().is_some()
            }),
            "linux.resources.memory beyond its limit",
        ),
    ];
    match unsupported.into_iter().find(|(present, _)| *present) {
        Some((_, what)) => Err(PlanError::Unsupported(what)),
        None => Ok(()),
    }
}

/// Zero and less are no limit (OCI runtime spec).
fn positive(limit: i64) -> Option<u64> {
    u64::try_from(limit).ok().filter(|limit| *limit > 0)
}

/// What holds a session to a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Means {
    /// The kernel, for the session as a whole.
    Cgroup,
    /// The kernel, by the ids of the session's pid namespace and for each of its users
    /// (RLIMIT_NPROC).
    PidNamespace,
    /// Whoever looks at [`Usage`] again and again.
    Looking,
    /// nice(2) and ioprio_set(2): each process for itself.
    Priority,
}

/// What holds a session to its limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InForce {
    pub limits: Limits,
    pub memory: Means,
    pub processes: Means,
    pub cpu: Means,
    pub io: Means,
}

impl InForce {
    /// `controllers` are those of the session's cgroup.
    fn by(limits: Limits, controllers: &[&'static str]) -> InForce {
        let means = |controller: &str, otherwise| {
            if controllers.contains(&controller) {
                Means::Cgroup
            } else {
                otherwise
            }
        };
        InForce {
            limits,
            memory: means("memory", Means::Looking),
            processes: means("pids", Means::PidNamespace),
            cpu: means("cpu", Means::Priority),
            io: means("io", Means::Priority),
        }
    }
}

impl fmt::Display for InForce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Limits {
            memory,
            processes,
            cpu_weight,
            io_weight,
        } = self.limits;
        let parts = [
            memory.map(|limit| format!("memory {} MiB ({})", limit >> 20, self.memory)),
            processes.map(|limit| format!("{limit} processes ({})", self.processes)),
            cpu_weight.map(|weight| format!("CPU weight {weight} ({})", self.cpu)),
            io_weight.map(|weight| format!("I/O weight {weight} ({})", self.io)),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        f.write_str(if parts.is_empty() { "none" } else { "" })?;
        f.write_str(&parts.join(", "))
    }
}

impl fmt::Display for Means {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Means::Cgroup => "cgroup",
            Means::PidNamespace => "pid namespace",
            Means::Looking => "looked at again and again",
            Means::Priority => "priority",
        })
    }
}

/// A session's limits, and the cgroup that holds its processes to them, if one does.
#[derive(Debug)]
pub(crate) struct Held {
    limits: Limits,
    cgroup: Option<Cgroup>,
    holder: Option<u32>,
}

impl Held {
    /// Puts the processes, the holder first, and so all that comes of them, into a cgroup where that is possible.
    pub(crate) fn of(limits: Limits, processes: &[u32]) -> Held {
        let mut cgroup = None;
        if !limits.is_none() {
            // Whatever hinders a cgroup, there are other means, and it is told which are in force.
            cgroup = Delegation::of_caller().and_then(|above| above.make(&limits).ok());
            cgroup = cgroup.filter(|cgroup| {
                let mut processes = processes.iter();
                processes.all(|process| cgroup.add(*process).is_ok())
            });
        }
        Held {
            limits,
            cgroup,
            holder: processes.first().copied(),
        }
    }

    pub(crate) fn in_force(&self) -> InForce {
        let controllers = self.cgroup.as_ref().map_or(&[][..], Cgroup::controllers);
        InForce::by(self.limits, controllers)
    }

    pub(crate) fn left_to_the_session(&self) -> Limits {
        let force = self.in_force();
        let left = |limit: Option<u64>, means| limit.filter(|_| means != Means::Cgroup);
        Limits {
            memory: left(self.limits.memory, force.memory),
            processes: left(self.limits.processes, force.processes),
            cpu_weight: left(self.limits.cpu_weight, force.cpu),
            io_weight: left(self.limits.io_weight, force.io),
        }
    }

    /// A cgroup tells also when the session `ended`; the number of its holder may then be another's.
    pub(crate) fn usage(&self, ended: bool) -> Usage {
        let told = self.cgroup.as_ref().and_then(Cgroup::usage);
        let look = |holder| fallback::usage_below(holder, &self.limits);
        told.or_else(|| self.holder.filter(|_| !ended).map(look))
            .unwrap_or_default()
    }
}

/// What the processes of a session use now, and what was held against them since its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes.
    pub memory: u64,
    /// Processes and threads.
    pub processes: u64,
    pub memory_exceeded: bool,
    pub processes_exceeded: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        memory: Some(512 << 20),
        processes: Some(100),
        cpu_weight: Some(50),
        io_weight: None,
    };

    #[test]
    fn what_is_asked_for_is_read_again() {
        let mut spec = Spec::default();
        LIMITS.ask(&mut spec);
        assert_eq!(Limits::of(&spec), Ok(LIMITS));
    }

    #[test]
    fn a_limit_that_can_not_be_held_is_refused() {
        let mut spec = Spec::default();
        LIMITS.ask(&mut spec);
        let mut linux = spec.linux().clone().unwrap();
        let mut resources = linux.resources().clone().unwrap();
        let set = [("memory.high".to_owned(), "1".to_owned())];
        resources.set_unified(Some(set.into_iter().collect()));
        linux.set_resources(Some(resources));
        spec.set_linux(Some(linux));
        assert!(Limits::of(&spec).is_err());
    }

    #[test]
    fn means_are_told_with_their_limits() {
        let text = InForce::by(LIMITS, &["memory", "pids"]).to_string();
        assert_eq!(
            text,
            "memory 512 MiB (cgroup), 100 processes (cgroup), CPU weight 50 (priority)"
        );
        assert_eq!(InForce::by(Limits::default(), &[]).to_string(), "none");
    }
}
