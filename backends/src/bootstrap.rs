//! The host's debootstrap, unpatched, into a base chroot, inside a session.
//!
//! The session shows debootstrap the host's programs read-only, the new base as /target, and a /dev
//! in it that is bound beforehand: nobody may make device nodes in a user namespace.
mod output;
pub(crate) mod pkgdetails;

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use oci_spec::runtime::{Mount, Spec};
use sandbox::{Launcher, Network, Process, Session};

use output::Output;

use crate::{Access, Backend, Error, Rootfs, directory, host, set_personality, tool};

/// Where the new base is in the session.
const TARGET: &str = "/target";
/// Where downloaded .debs are in the session.
const CACHE: &str = "/cache";
/// Where this program is in the session.
const PROGRAM: &str = "/program";
/// What debootstrap reads in place of [`DEBOOTSTRAP`], which is linked there, `pkgdetails` beside it.
const DIRECTORY: &str = "/bootstrap";
const DEBOOTSTRAP: &str = "/usr/share/debootstrap";
/// The script that debootstrap is given: the suite's own, and a `smallyes` that fills a pipe by more than one byte at
/// once, as is done a dozen times.
const SUITE_SCRIPT: &str = "/suite-script";
/// debootstrap asks perl, if it finds it, and [`pkgdetails`] else.
const PERL: [&str; 2] = ["/usr/bin/perl", "/bin/perl"];
/// Devices that debootstrap looks for in the base's /dev before it makes them.
const DEVICES: &[&str] = &[
    "null", "zero", "full", "random", "urandom", "tty", "console",
];

/// Runs the arguments but for the first two, the base and the suite's own script; then takes away what belongs to one
/// machine or one download, and keeps services from being started: 101 is "action forbidden" (README.policy-rc.d,
/// sysv-rc).
const SCRIPT: &str = r#"
set -eu
if [ -n "${DEBOOTSTRAP_DIR-}" ]; then
	mkdir "$DEBOOTSTRAP_DIR"
	cd "$DEBOOTSTRAP_DIR"
	ln -s /usr/share/debootstrap/* .
	printf '#!/bin/sh\nexec /program pkgdetails "$@"\n' >pkgdetails
	chmod 755 pkgdetails
fi
if [ -n "$2" ]; then
	printf '. %s\nsmallyes() { yes "${1-y}" 2>/dev/null; }\n' "$2" >/suite-script
fi
cd "$1"
shift 2
ln -s pts/ptmx dev/ptmx
"$@"
rm -f var/cache/apt/archives/*.deb var/log/bootstrap.log var/lib/dbus/machine-id
if [ -e etc/machine-id ]; then : > etc/machine-id; fi
printf '#!/bin/sh\nexit 101\n' > usr/sbin/policy-rc.d
chmod 755 usr/sbin/policy-rc.d
"#;

/// What to bootstrap, from where.
#[derive(Clone, Debug)]
pub struct Bootstrap {
    pub codename: String,
    pub architecture: String,
    /// URI of the archive.
    pub mirror: String,
    /// Keyring file that the archive's signature is checked against.
    pub keyring: PathBuf,
    /// debootstrap's variant; a build chroot is `buildd`.
    pub variant: String,
    pub components: Vec<String>,
    /// debootstrap's script, where it is not named as the codename.
    pub script: Option<String>,
    /// Extra options for debootstrap.
    pub options: Vec<String>,
    /// Variables for debootstrap besides those that it always gets, like `http_proxy`.
    pub environment: Vec<(String, String)>,
    /// Where downloaded .debs are kept for the next time.
    pub cache: PathBuf,
    /// Where debootstrap's output goes.
    pub log: PathBuf,
}

/// Makes the base chroot of `backend`; `progress` gets each of debootstrap's `I: …` messages.
pub fn bootstrap(
    launcher: &Launcher,
    backend: &dyn Backend,
    what: &Bootstrap,
    progress: &mut dyn FnMut(&str),
) -> Result<(), Error> {
    backend.create()?;
    let rootfs = backend.open(Access::Source, None)?;
    let cache = Cache::make(launcher, &what.cache)?;
    let program = program(launcher);
    let session = launcher.begin(&spec(what, rootfs.as_ref(), &cache, program.as_deref()))?;
    run(session, &process(what, program.is_some()), what, progress)?;
    rootfs.close()
}

/// This program, if debootstrap may ask it: all may run it, and this debootstrap looks for it.
fn program(launcher: &Launcher) -> Option<PathBuf> {
    let program = fs::canonicalize(&launcher.helper).ok()?;
    let mode = fs::metadata(&program).ok()?.permissions().mode();
    let functions = fs::read_to_string(Path::new(DEBOOTSTRAP).join("functions")).ok()?;
    let is_asked = functions.contains("\"$DEBOOTSTRAP_DIR/pkgdetails\"");
    (mode & 0o005 == 0o005 && is_asked).then_some(program)
}

fn run(
    session: Session,
    process: &Process,
    what: &Bootstrap,
    progress: &mut dyn FnMut(&str),
) -> Result<(), Error> {
    let log = File::create(&what.log).map_err(Error::io("make", &what.log))?;
    let mut output = Output::new(log, progress);
    let exit = host::run(session, process, &mut |line| output.line(line))?;
    let said = output.end().map_err(Error::io("write", &what.log))?;
    if exit.success() {
        return Ok(());
    }
    Err(Error::Debootstrap {
        exit,
        log: what.log.clone(),
        said,
    })
}

/// Directories below [`Bootstrap::cache`].
struct Cache {
    /// Owned by the session's root, which fills it.
    debs: PathBuf,
    /// Empty: where the session's root is mounted.
    root: PathBuf,
}

impl Cache {
    fn make(launcher: &Launcher, directory: &Path) -> Result<Cache, Error> {
        let cache = Cache {
            debs: directory.join("debootstrap"),
            root: directory.join("root"),
        };
        directory::make_private_all(&cache.root)
            .map_err(Error::io("make directory", &cache.root))?;
        let mut make_debs = launcher.storage_command("mkdir");
        make_debs.args(["--parents", "--mode=755"]).arg(&cache.debs);
        tool::run(&mut make_debs)?;
        Ok(cache)
    }
}

fn spec(what: &Bootstrap, rootfs: &dyn Rootfs, cache: &Cache, program: Option<&Path>) -> Spec {
    let mut spec = host::spec(&cache.root, host::tmpfs("/", "755"));
    set_personality(&mut spec, &what.architecture);
    let mounts = spec.mounts_mut().get_or_insert_default();
    mounts.push(host::tmpfs("/root", "700"));
    mounts.push(host::read_only(
        &what.keyring,
        keyring_inside(&what.keyring),
    ));
    mounts.push(host::writable(&cache.debs, CACHE));
    if let Some(program) = program {
        mounts.push(host::read_only(program, PROGRAM));
        let perls = PERL.iter().filter(|perl| Path::new(perl).exists());
        mounts.extend(perls.map(|perl| host::read_only(Path::new("/dev/null"), *perl)));
    }
    if let Some(path) = local_path(&what.mirror) {
        mounts.push(host::read_only(path, path));
    }
    mounts.extend(target_mounts(rootfs));
    spec
}

/// The new base and its /dev.
fn target_mounts(rootfs: &dyn Rootfs) -> Vec<Mount> {
    let mut mounts = vec![];
    for mut mount in rootfs.mounts() {
        let below = mount
            .destination()
            .strip_prefix("/")
            .unwrap_or(Path::new(""));
        let destination = Path::new(TARGET).join(below);
        mount.set_destination(destination);
        mounts.push(mount);
    }
    if mounts.is_empty() {
        mounts.push(host::writable(rootfs.path(), TARGET));
    }
    // debootstrap mounts /proc unless it is there, which takes a capability that it has not.
    mounts.push(host::proc(Path::new(TARGET).join("proc")));
    let dev = Path::new(TARGET).join("dev");
    mounts.push(host::tmpfs(&dev, "755"));
    for device in DEVICES {
        let source = Path::new("/dev").join(device);
        // A container need not have a console.
        if source.exists() {
            mounts.push(host::writable(&source, dev.join(device)));
        }
    }
    mounts.push(host::devpts(dev.join("pts")));
    mounts
}

fn process(what: &Bootstrap, is_asked: bool) -> Process {
    let suite_script = suite_script(what).unwrap_or_default();
    let script = ["/bin/sh", "-c", SCRIPT, "sh", TARGET, &suite_script].map(str::to_owned);
    let env = [
        // debootstrap then leaves devices alone that are there, and mounts no more than it may.
        ("container", "lxc"),
        ("DEBIAN_FRONTEND", "noninteractive"),
        ("HOME", "/root"),
        ("LC_ALL", "C.UTF-8"),
        ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
    ];
    let own = (!suite_script.is_empty()).then(|| SUITE_SCRIPT.to_owned());
    let line = debootstrap(what, own.or_else(|| what.script.clone()));
    let args = script.into_iter().chain(line).collect();
    let mut process = host::process(args, &env, Network::Host);
    process.env.extend(what.environment.iter().cloned());
    if is_asked {
        let directory = ("DEBOOTSTRAP_DIR".to_owned(), DIRECTORY.to_owned());
        process.env.push(directory);
    }
    process
}

/// Path of the script that debootstrap has for the suite in all variants, if it has one.
fn suite_script(what: &Bootstrap) -> Option<String> {
    let name = what.script.as_ref().unwrap_or(&what.codename);
    let path = format!("{DEBOOTSTRAP}/scripts/{name}");
    let of_variant = format!("{path}.{}", what.variant);
    let is_taken = what.script.is_some() || !Path::new(&of_variant).exists();
    (is_taken && Path::new(&path).exists()).then_some(path)
}

/// debootstrap's command line (debootstrap(8)).
fn debootstrap(what: &Bootstrap, script: Option<String>) -> Vec<String> {
    let mut line = vec![
        "debootstrap".to_owned(),
        format!("--variant={}", what.variant),
        format!("--arch={}", what.architecture),
        format!("--keyring={}", keyring_inside(&what.keyring)),
        format!("--components={}", what.components.join(",")),
        format!("--cache-dir={CACHE}"),
    ];
    line.extend(what.options.iter().cloned());
    line.extend([what.codename.as_str(), TARGET, &what.mirror].map(str::to_owned));
    line.extend(script);
    line
}

/// gpgv tells binary and armored keyrings apart by name, so that is kept.
fn keyring_inside(keyring: &Path) -> String {
    let name = keyring.file_name().unwrap_or_default();
    format!("/keyring/{}", name.to_string_lossy())
}

/// The directory of a mirror that is one.
fn local_path(mirror: &str) -> Option<&Path> {
    let path = mirror.strip_prefix("file:")?;
    Some(Path::new(path.strip_prefix("//").unwrap_or(path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn what() -> Bootstrap {
        Bootstrap {
            codename: "bookworm".to_owned(),
            architecture: "amd64".to_owned(),
            mirror: "file:///srv/mirror".to_owned(),
            keyring: PathBuf::from("/usr/share/keyrings/archive.gpg"),
            variant: "buildd".to_owned(),
            components: vec!["main".to_owned(), "contrib".to_owned()],
            script: Some("sid".to_owned()),
            options: vec!["--no-merged-usr".to_owned()],
            environment: vec![("http_proxy".to_owned(), "http://proxy.test:3128".to_owned())],
            cache: PathBuf::from("/home/cache"),
            log: PathBuf::from("/home/log"),
        }
    }

    #[test]
    fn options_stand_before_what_is_bootstrapped() {
        assert_eq!(
            debootstrap(&what(), Some("sid".to_owned())).join(" "),
            "debootstrap --variant=buildd --arch=amd64 --keyring=/keyring/archive.gpg \
             --components=main,contrib --cache-dir=/cache --no-merged-usr \
             bookworm /target file:///srv/mirror sid"
        );
    }

    #[test]
    fn variables_are_added_to_those_of_debootstrap() {
        let env = process(&what(), true).env;
        let value = |name: &str| {
            env.iter()
                .find(|(known, _)| known == name)
                .map(|(_, value)| value.as_str())
        };
        assert_eq!(value("container"), Some("lxc"));
        assert_eq!(value("DEBOOTSTRAP_DIR"), Some("/bootstrap"));
        assert_eq!(value("http_proxy"), Some("http://proxy.test:3128"));
    }

    #[test]
    fn a_local_mirror_is_shown_to_debootstrap() {
        assert_eq!(
            local_path("file:///srv/mirror"),
            Some(Path::new("/srv/mirror"))
        );
        assert_eq!(
            local_path("file:/srv/mirror"),
            Some(Path::new("/srv/mirror"))
        );
        assert_eq!(local_path("https://mirror.example/debian"), None);
    }
}
