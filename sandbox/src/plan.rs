//! From an OCI runtime spec to the steps that make its session; all rules are here.
use std::path::{Component, Path, PathBuf};

use oci_spec::runtime::{Linux, LinuxPersonalityDomain, Mount, Spec};
use serde::{Deserialize, Serialize};

use crate::mount_options::{Attribute, Bind, MountOptions, OptionError, Parameter, split_lowerdir};

/// Layers are named by descriptor numbers in one parameter, which holds 255 characters.
const MOST_LAYERS: usize = 60;
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];
const DEVICE_LINKS: [(&str, &str); 5] = [
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
    ("/dev/ptmx", "pts/ptmx"),
];

/// One thing to do in the new namespaces. Paths named `target` are inside the root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Step {
    /// Nothing mounted from now on is seen outside, and the other way round.
    MakePrivate,
    /// Makes `source` the root; until it is entered, it sits on `at`.
    Root {
        at: PathBuf,
        source: Source,
        attributes: Attributes,
    },
    Mount {
        target: PathBuf,
        source: Source,
        attributes: Attributes,
    },
    /// The host's node of this name.
    Device(String),
    Link {
        target: PathBuf,
        to: String,
    },
    Mask(PathBuf),
    MakeReadOnly(PathBuf),
    SetHostname(String),
    SetPersonality(Personality),
    MakeRootReadOnly,
    EnterRoot,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Source {
    Bind {
        path: PathBuf,
        recursive: bool,
    },
    Overlay {
        /// Topmost first.
        lower: Vec<PathBuf>,
        upper: Option<Upper>,
        parameters: Vec<Parameter>,
    },
    New {
        kind: String,
        parameters: Vec<Parameter>,
    },
}

/// The writable part of an overlay; the directories are made when missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Upper {
    pub(crate) directory: PathBuf,
    pub(crate) work: PathBuf,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attributes {
    pub(crate) set: Vec<Attribute>,
    pub(crate) recursive: bool,
}

/// Which machine processes take the kernel for (personality(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Personality {
    Linux,
    /// uname(2) names the 32-bit machine: i686 on x86_64.
    Linux32,
}

/// What is wrong with a spec.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    #[error("the spec has no root")]
    NoRoot,
    #[error("{what} {path} is not an absolute path without ..")]
    Path { what: &'static str, path: PathBuf },
    #[error("only the first mount can be the root")]
    LateRoot,
    #[error("mount on {target} has a wrong option")]
    Option {
        target: PathBuf,
        source: OptionError,
    },
    #[error("mount on {target}: no source")]
    NoSource { target: PathBuf },
    #[error("mount on {target}: can't mount file systems of type {kind:?} in a session")]
    Type { target: PathBuf, kind: String },
    #[error("overlay on {target}: {what}")]
    Overlay { target: PathBuf, what: &'static str },
    #[error("{0} of the spec is not supported")]
    Unsupported(&'static str),
}

pub(crate) fn plan(spec: &Spec) -> Result<Vec<Step>, PlanError> {
    refuse_unsupported(spec)?;
    let root = spec.root().as_ref().ok_or(PlanError::NoRoot)?;
    let at = absolute("root path", root.path())?;
    let mut mounts = spec.mounts().as_deref().unwrap_or_default();
    let mut steps = vec![Step::MakePrivate];
    match mounts.split_first() {
        Some((first, others)) if is_root(first) => {
            let (source, attributes) = source_of(first)?;
            steps.push(Step::Root {
                at,
                source,
                attributes,
            });
            mounts = others;
        }
        _ => steps.push(Step::Root {
            source: Source::Bind {
                path: at.clone(),
                recursive: true,
            },
            at,
            attributes: Attributes::default(),
        }),
    }
    for mount in mounts {
        steps.extend(steps_of(mount)?);
    }
    if let Some(linux) = spec.linux() {
        steps.extend(steps_of_paths(linux)?);
    }
    steps.extend(spec.hostname().clone().map(Step::SetHostname));
    steps.extend(personality(spec).map(Step::SetPersonality));
    if root.readonly().unwrap_or(false) {
        steps.push(Step::MakeRootReadOnly);
    }
    steps.push(Step::EnterRoot);
    Ok(steps)
}

/// What a caller may rely on must not be left out in silence.
fn refuse_unsupported(spec: &Spec) -> Result<(), PlanError> {
    let mut unsupported = vec![
        (spec.hooks().is_some(), "hooks"),
        (spec.domainname().is_some(), "domainname"),
        (spec.uid_mappings().is_some(), "uidMappings"),
    ];
    if let Some(linux) = spec.linux() {
        let mappings = linux.uid_mappings().iter().chain(linux.gid_mappings());
        unsupported.extend([
            (mappings.flatten().next().is_some(), "linux.uidMappings"),
            (linux.sysctl().is_some(), "linux.sysctl"),
            (
                linux
                    .personality()
                    .as_ref()
                    .is_some_and(|personality| personality.flags().is_some()),
                "linux.personality.flags",
            ),
            (
                linux.devices().iter().flatten().next().is_some(),
                "linux.devices",
            ),
        ]);
    }
    match unsupported.into_iter().find(|(present, _)| *present) {
        Some((_, what)) => Err(PlanError::Unsupported(what)),
        None => Ok(()),
    }
}

/// `None`: the caller's, which processes inherit.
fn personality(spec: &Spec) -> Option<Personality> {
    let personality = spec.linux().as_ref()?.personality().as_ref()?;
    Some(match personality.domain() {
        LinuxPersonalityDomain::PerLinux => Personality::Linux,
        LinuxPersonalityDomain::PerLinux32 => Personality::Linux32,
    })
}

fn is_root(mount: &Mount) -> bool {
    mount.destination() == Path::new("/")
}

fn steps_of(mount: &Mount) -> Result<Vec<Step>, PlanError> {
    if is_root(mount) {
        return Err(PlanError::LateRoot);
    }
    let target = absolute("mount destination", mount.destination())?;
    let (source, attributes) = source_of(mount)?;
    let is_fresh_dev = target == Path::new("/dev")
        && matches!(&source, Source::New { kind, .. } if kind == "tmpfs");
    let mut steps = vec![Step::Mount {
        target,
        source,
        attributes,
    }];
    if is_fresh_dev {
        steps.extend(DEVICES.iter().map(|name| Step::Device((*name).to_owned())));
        steps.extend(DEVICE_LINKS.iter().map(|(target, to)| Step::Link {
            target: PathBuf::from(target),
            to: (*to).to_owned(),
        }));
    }
    Ok(steps)
}

fn source_of(mount: &Mount) -> Result<(Source, Attributes), PlanError> {
    let target = mount.destination();
    let options = mount.options().as_deref().unwrap_or_default();
    let options = MountOptions::parse(options).map_err(|source| PlanError::Option {
        target: target.clone(),
        source,
    })?;
    let attributes = Attributes {
        set: options.attributes,
        recursive: options.recursive_attributes,
    };
    let kind = mount.typ().as_deref().unwrap_or_default();
    let source = match (kind, options.bind) {
        ("bind" | "none" | "", bind) | (_, bind @ Some(_)) => {
            let path = mount.source().as_ref().ok_or_else(|| PlanError::NoSource {
                target: target.clone(),
            })?;
            Source::Bind {
                path: absolute("bind source", path)?,
                recursive: bind == Some(Bind::Recursive),
            }
        }
        ("overlay", None) => overlay(target, options.parameters)?,
        ("proc" | "sysfs" | "tmpfs" | "devpts" | "mqueue", None) => Source::New {
            kind: kind.to_owned(),
            parameters: options.parameters,
        },
        (other, None) => {
            return Err(PlanError::Type {
                target: target.clone(),
                kind: other.to_owned(),
            });
        }
    };
    Ok((source, attributes))
}

fn overlay(target: &Path, given: Vec<Parameter>) -> Result<Source, PlanError> {
    let wrong = |what| PlanError::Overlay {
        target: target.to_path_buf(),
        what,
    };
    let mut lower = Vec::new();
    let mut upper = None;
    let mut work = None;
    let mut parameters = Vec::new();
    for parameter in given {
        match parameter {
            Parameter::Value(name, value) if name == "lowerdir" => {
                lower.extend(split_lowerdir(&value));
            }
            Parameter::Value(name, value) if name == "lowerdir+" => lower.push(value),
            Parameter::Value(name, value) if name == "upperdir" => upper = Some(value),
            Parameter::Value(name, value) if name == "workdir" => work = Some(value),
            other => parameters.push(other),
        }
    }
    if lower.is_empty() {
        return Err(wrong("no lowerdir"));
    }
    if lower.len() > MOST_LAYERS {
        return Err(wrong("more than 60 lower directories"));
    }
    let upper = match (upper, work) {
        (None, None) => None,
        (Some(directory), Some(work)) => Some(Upper {
            directory: absolute_below_root("upperdir", Path::new(&directory))?,
            work: absolute_below_root("workdir", Path::new(&work))?,
        }),
        (Some(_), None) | (None, Some(_)) => {
            return Err(wrong("upperdir and workdir go together"));
        }
    };
    Ok(Source::Overlay {
        lower: lower
            .iter()
            .map(|path| absolute("lowerdir", Path::new(path)))
            .collect::<Result<_, _>>()?,
        upper,
        parameters,
    })
}

fn steps_of_paths(linux: &Linux) -> Result<Vec<Step>, PlanError> {
    let masked = linux.masked_paths().iter().flatten();
    let masked = masked.map(|path| absolute_below_root("masked path", Path::new(path)));
    let readonly = linux.readonly_paths().iter().flatten();
    let readonly = readonly.map(|path| absolute_below_root("read-only path", Path::new(path)));
    let readonly = readonly.map(|path| path.map(Step::MakeReadOnly));
    // A mount on top of a mask would have to be masked again, so masks come last.
    readonly
        .chain(masked.map(|path| path.map(Step::Mask)))
        .collect()
}

fn absolute(what: &'static str, path: &Path) -> Result<PathBuf, PlanError> {
    let normal = path.components().all(|component| match component {
        Component::RootDir | Component::Normal(_) => true,
        Component::Prefix(_) | Component::CurDir | Component::ParentDir => false,
    });
    if path.is_absolute() && normal {
        return Ok(path.to_path_buf());
    }
    Err(PlanError::Path {
        what,
        path: path.to_path_buf(),
    })
}

fn absolute_below_root(what: &'static str, path: &Path) -> Result<PathBuf, PlanError> {
    let path = absolute(what, path)?;
    if path.file_name().is_none() {
        return Err(PlanError::Path { what, path });
    }
    Ok(path)
}

#[cfg(test)]
mod tests;
