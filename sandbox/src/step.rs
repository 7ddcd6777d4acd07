//! Carries out one [`Step`]; the only file that mounts, pivots, sets the hostname and the personality.
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::sys::personality::{self, Persona};
use rustix::fs::{Mode, OFlags, mkdirat, openat, symlinkat};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags,
    OpenTreeFlags, UnmountFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount,
    fsopen, mount_change, move_mount, open_tree, unmount,
};

use crate::mount_options::{Attribute, Parameter};
use crate::mount_point::{self, Kind};
use crate::plan::{Attributes, Personality, Source, Step, Upper};
use crate::refusal::{Attempt, Refusal};
use crate::syscall;

/// The files of the host that steps need, opened as the caller, who may enter where
/// root of the session may not.
pub(crate) struct HostPaths {
    open: HashMap<PathBuf, OwnedFd>,
}

impl HostPaths {
    pub(crate) fn of_steps(steps: &[Step]) -> Result<HostPaths, Refusal> {
        HostPaths::open(steps.iter().flat_map(host_paths))
    }

    pub(crate) fn of_source(source: &Source) -> Result<HostPaths, Refusal> {
        HostPaths::open(source_paths(source))
    }

    fn open(paths: impl IntoIterator<Item = PathBuf>) -> Result<HostPaths, Refusal> {
        let mut open = HashMap::new();
        for path in paths {
            let file = mount_point::open_host(&path)
                .map_err(|error| Attempt::OpenHostPath(path.clone()).refused(error))?;
            open.insert(path, file);
        }
        Ok(HostPaths { open })
    }

    fn get(&self, path: &Path) -> io::Result<BorrowedFd<'_>> {
        let file = self.open.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(file.as_fd())
    }
}

fn host_paths(step: &Step) -> Vec<PathBuf> {
    match step {
        Step::Root { at, source, .. } => {
            let mut paths = source_paths(source);
            paths.push(at.clone());
            paths
        }
        Step::Mount { source, .. } => source_paths(source),
        Step::Device(name) => vec![device_path(name)],
        Step::Mask(_) => vec![device_path("null")],
        Step::MakePrivate
        | Step::Link { .. }
        | Step::MakeReadOnly(_)
        | Step::SetHostname(_)
        | Step::SetPersonality(_)
        | Step::MakeRootReadOnly
        | Step::EnterRoot => Vec::new(),
    }
}

fn source_paths(source: &Source) -> Vec<PathBuf> {
    match source {
        Source::Bind { path, .. } => vec![path.clone()],
        Source::Overlay { lower, upper, .. } => {
            let upper = upper
                .iter()
                .flat_map(|Upper { directory, work }| [directory, work]);
            let parents = upper.filter_map(|path| path.parent().map(Path::to_path_buf));
            lower.iter().cloned().chain(parents).collect()
        }
        Source::New { .. } => Vec::new(),
    }
}

fn device_path(name: &str) -> PathBuf {
    Path::new("/dev").join(name)
}

/// Carries out all steps, the last of which enters the root.
pub(crate) fn apply_all(steps: &[Step], host: HostPaths) -> Result<(), Refusal> {
    let mut stage = Stage {
        host,
        root: None,
        nothing: None,
    };
    steps.iter().try_for_each(|step| stage.apply(step))
}

/// Makes a mount that is attached nowhere, and gone when closed.
pub(crate) fn mount_detached(source: &Source, host: HostPaths) -> Result<OwnedFd, Refusal> {
    let stage = Stage {
        host,
        root: None,
        nothing: None,
    };
    stage.mount(source, &Attributes::default(), Path::new("/"))
}

struct Stage {
    host: HostPaths,
    /// The mount that becomes the root.
    root: Option<OwnedFd>,
    /// The mount that masks directories.
    nothing: Option<OwnedFd>,
}

impl Stage {
    fn apply(&mut self, step: &Step) -> Result<(), Refusal> {
        match step {
            Step::MakePrivate => {
                let flags = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
                mount_change("/", flags).map_err(|errno| Attempt::MakePrivate.refused(errno))
            }
            Step::Root {
                at,
                source,
                attributes,
            } => {
                let mount = self.mount(source, attributes, Path::new("/"))?;
                self.host
                    .get(at)
                    .and_then(|at| attach(&mount, at))
                    .map_err(|error| attempt(source, Path::new("/")).refused(error))?;
                self.root = Some(mount);
                Ok(())
            }
            Step::Mount {
                target,
                source,
                attributes,
            } => {
                let mount = self.mount(source, attributes, target)?;
                self.attach_below_root(&mount, target)
            }
            Step::Device(name) => {
                let source = Source::Bind {
                    path: device_path(name),
                    recursive: false,
                };
                let mount = self.mount(&source, &Attributes::default(), &device_path(name))?;
                self.attach_below_root(&mount, &device_path(name))
            }
            Step::Link { target, to } => self
                .link(target, to)
                .map_err(|error| Attempt::MakeLink(target.clone()).refused(error)),
            Step::Mask(path) => self
                .mask(path)
                .map_err(|error| Attempt::Mask(path.clone()).refused(error)),
            Step::MakeReadOnly(path) => self
                .make_read_only(path)
                .map_err(|error| Attempt::MakeReadOnly(path.clone()).refused(error)),
            Step::SetHostname(name) => set_hostname(name),
            Step::SetPersonality(personality) => set_personality(*personality)
                .map_err(|errno| Attempt::SetPersonality.refused(errno)),
            Step::MakeRootReadOnly => self
                .root()
                .and_then(|root| {
                    syscall::set_mount_attributes(root, MountAttrFlags::MOUNT_ATTR_RDONLY, false)
                })
                .map_err(|error| Attempt::MakeReadOnly(PathBuf::from("/")).refused(error)),
            Step::EnterRoot => self
                .enter_root()
                .map_err(|error| Attempt::EnterRoot.refused(error)),
        }
    }

    fn root(&self) -> io::Result<BorrowedFd<'_>> {
        let root = self.root.as_ref().ok_or(io::ErrorKind::NotFound)?;
        Ok(root.as_fd())
    }

    fn mount(
        &self,
        source: &Source,
        attributes: &Attributes,
        target: &Path,
    ) -> Result<OwnedFd, Refusal> {
        let refused = |error: io::Error| attempt(source, target).refused(error);
        match source {
            Source::Bind { path, recursive } => {
                let from = self.host.get(path).map_err(refused)?;
                clone_mount(from, *recursive)
                    .and_then(|mount| set_attributes(&mount, attributes).map(|()| mount))
                    .map_err(refused)
            }
            Source::Overlay {
                lower,
                upper,
                parameters,
            } => {
                let upper = upper.as_ref().map(|upper| self.upper(upper)).transpose()?;
                self.overlay(lower, upper.as_ref(), parameters, attributes)
                    .map_err(refused)
            }
            Source::New { kind, parameters } => {
                new_mount(kind, parameters, flags(&attributes.set)).map_err(refused)
            }
        }
    }

    fn overlay(
        &self,
        lower: &[PathBuf],
        upper: Option<&(OwnedFd, OwnedFd)>,
        given: &[Parameter],
        attributes: &Attributes,
    ) -> io::Result<OwnedFd> {
        // Descriptor numbers instead of paths: nothing to escape, nothing to look up twice, and
        // short enough for the 255 characters of a parameter.
        rustix::process::chdir("/proc/self/fd")?;
        let number = |file: BorrowedFd<'_>| file.as_raw_fd().to_string();
        let layers: Vec<String> = lower
            .iter()
            .map(|path| self.host.get(path).map(number))
            .collect::<io::Result<_>>()?;
        let mut parameters = vec![Parameter::Value("lowerdir".to_owned(), layers.join(":"))];
        if let Some((directory, work)) = upper {
            parameters.extend([
                Parameter::Value("upperdir".to_owned(), number(directory.as_fd())),
                Parameter::Value("workdir".to_owned(), number(work.as_fd())),
            ]);
        }
        parameters.extend_from_slice(given);
        new_mount("overlay", &parameters, flags(&attributes.set))
    }

    /// Opens, or makes as root of the session, the upper and the work directory.
    fn upper(&self, upper: &Upper) -> Result<(OwnedFd, OwnedFd), Refusal> {
        let open = |path: &PathBuf| {
            self.open_or_make(path)
                .map_err(|error| Attempt::MakeDirectory(path.clone()).refused(error))
        };
        Ok((open(&upper.directory)?, open(&upper.work)?))
    }

    fn open_or_make(&self, path: &Path) -> io::Result<OwnedFd> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let parent = self.host.get(parent)?;
        match mkdirat(parent, name, Mode::from_bits_truncate(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(openat(parent, name, flags, Mode::empty())?)
    }

    fn attach_below_root(&self, mount: &OwnedFd, target: &Path) -> Result<(), Refusal> {
        let refused =
            |error: io::Error| Attempt::FindMountPoint(target.to_path_buf()).refused(error);
        let kind = mount_point::kind(mount.as_fd()).map_err(refused)?;
        let root = self.root().map_err(refused)?;
        let point = mount_point::find_or_make(root, target, kind).map_err(refused)?;
        attach(mount, point.as_fd()).map_err(refused)
    }

    fn link(&self, path: &Path, to: &str) -> io::Result<()> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let parent = mount_point::find(self.root()?, parent)?;
        Ok(symlinkat(to, parent, name)?)
    }

    /// Nothing to read, nothing to write; a path that does not exist needs no mask.
    fn mask(&mut self, path: &Path) -> io::Result<()> {
        let Some(point) = self.find_existing(path)? else {
            return Ok(());
        };
        let mount = match mount_point::kind(point.as_fd())? {
            Kind::Directory => self.nothing()?,
            Kind::File => clone_mount(self.host.get(&device_path("null"))?, false)?,
        };
        attach(&mount, point.as_fd())
    }

    /// An empty file system that can't be written to, the same each time.
    fn nothing(&mut self) -> io::Result<OwnedFd> {
        if let Some(nothing) = &self.nothing {
            return clone_mount(nothing.as_fd(), false);
        }
        let nothing = new_mount("tmpfs", &[], MountAttrFlags::MOUNT_ATTR_RDONLY)?;
        self.nothing = Some(nothing.try_clone()?);
        Ok(nothing)
    }

    fn make_read_only(&self, path: &Path) -> io::Result<()> {
        let Some(point) = self.find_existing(path)? else {
            return Ok(());
        };
        let mount = clone_mount(point.as_fd(), true)?;
        syscall::set_mount_attributes(mount.as_fd(), MountAttrFlags::MOUNT_ATTR_RDONLY, true)?;
        attach(&mount, point.as_fd())
    }

    fn find_existing(&self, path: &Path) -> io::Result<Option<OwnedFd>> {
        match mount_point::find(self.root()?, path) {
            Ok(point) => Ok(Some(point)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn enter_root(&self) -> io::Result<()> {
        rustix::process::fchdir(self.root()?)?;
        // The old root ends up below the new one at the same place (pivot_root(2)).
        rustix::process::pivot_root(".", ".")?;
        unmount(".", UnmountFlags::DETACH)?;
        Ok(rustix::process::chdir("/")?)
    }
}

/// Sets it where that is allowed: podman's seccomp filter refuses sethostname(2) alone to containers
/// without CAP_SYS_ADMIN, and a session there has the container's name, which gives nothing away.
fn set_hostname(name: &str) -> Result<(), Refusal> {
    match nix::unistd::sethostname(name) {
        Ok(()) | Err(nix::errno::Errno::EPERM) => Ok(()),
        Err(errno) => Err(Attempt::SetHostname(name.to_owned()).refused(errno)),
    }
}

fn set_personality(personality: Personality) -> nix::Result<()> {
    // A domain is a number in the low byte, not a flag (linux/personality.h).
    let domain = match personality {
        Personality::Linux => 0x0,
        Personality::Linux32 => 0x8,
    };
    personality::set(Persona::from_bits_retain(domain)).map(drop)
}

fn attempt(source: &Source, target: &Path) -> Attempt {
    let target = target.to_path_buf();
    match source {
        Source::Bind { path, .. } => Attempt::Bind {
            source: path.clone(),
            target,
        },
        Source::Overlay { .. } => Attempt::Mount {
            kind: "overlay".to_owned(),
            target,
        },
        Source::New { kind, .. } => Attempt::Mount {
            kind: kind.clone(),
            target,
        },
    }
}

/// Makes a mount that is attached nowhere yet.
pub(crate) fn new_mount(
    kind: &str,
    parameters: &[Parameter],
    attributes: MountAttrFlags,
) -> io::Result<OwnedFd> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for parameter in parameters {
        match parameter {
            Parameter::Flag(name) => fsconfig_set_flag(&context, name.as_str())?,
            Parameter::Value(name, value) => {
                fsconfig_set_string(&context, name.as_str(), value.as_str())?;
            }
        }
    }
    fsconfig_create(&context)?;
    Ok(fsmount(
        &context,
        FsMountFlags::FSMOUNT_CLOEXEC,
        attributes,
    )?)
}

/// Copies a mount, attached nowhere yet.
pub(crate) fn clone_mount(from: BorrowedFd<'_>, recursive: bool) -> io::Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    Ok(open_tree(from, "", flags)?)
}

fn attach(mount: &OwnedFd, at: BorrowedFd<'_>) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(move_mount(mount, "", at, "", flags)?)
}

fn set_attributes(mount: &OwnedFd, attributes: &Attributes) -> io::Result<()> {
    if attributes.set.is_empty() {
        return Ok(());
    }
    syscall::set_mount_attributes(mount.as_fd(), flags(&attributes.set), attributes.recursive)
}

fn flags(attributes: &[Attribute]) -> MountAttrFlags {
    attributes
        .iter()
        .map(|attribute| match attribute {
            Attribute::ReadOnly => MountAttrFlags::MOUNT_ATTR_RDONLY,
            Attribute::NoSuid => MountAttrFlags::MOUNT_ATTR_NOSUID,
            Attribute::NoDev => MountAttrFlags::MOUNT_ATTR_NODEV,
            Attribute::NoExec => MountAttrFlags::MOUNT_ATTR_NOEXEC,
            Attribute::NoSymlinkFollow => MountAttrFlags::MOUNT_ATTR_NOSYMFOLLOW,
            Attribute::NoDirectoryAccessTime => MountAttrFlags::MOUNT_ATTR_NODIRATIME,
            Attribute::Relatime => MountAttrFlags::MOUNT_ATTR_RELATIME,
            Attribute::Noatime => MountAttrFlags::MOUNT_ATTR_NOATIME,
            Attribute::Strictatime => MountAttrFlags::MOUNT_ATTR_STRICTATIME,
        })
        .collect()
}
