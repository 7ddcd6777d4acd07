//! Whole instances on each kind of storage: a hostile build-dependency, and everything killed together.
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use mini_buildd::model::EventType;
use rustix::process::{Pid, Signal, kill_process};
use sha2::{Digest as _, Sha256};

use super::lent::Lent;
use super::outside::{Outside, SECRET};
use super::place::{Storage, test_on};
use crate::base::{Base, new_directory};
use crate::buildd::{Buildd, files_below};
use crate::small_source::SmallSource;

/// Found in command lines of what runs in sessions; longer than it takes to kill them.
const SLOW: &str = "sleep 6.0217";

/// A maintainer script runs as root of the session, with the network. What it does to the session's own root is in the
/// layers of those who install the package, and nowhere else.
const POSTINST: &str = r#"
for way in "" /proc/1/root /proc/self/root/../../..; do
	cat "$way$SECRET" 2>/dev/null && echo REACHED "$way"
	echo overwritten 2>/dev/null >"$way$VICTIM" && echo REACHED "$way"
done
kill -9 $HOST_PID 2>/dev/null && echo REACHED process
mknod /disk b 8 0 2>/dev/null && echo REACHED device
mount -t tmpfs none /mnt 2>/dev/null && echo REACHED mount
unshare -m true 2>/dev/null && echo REACHED namespace
echo h 2>/dev/null >/proc/sysrq-trigger && echo REACHED sysrq
echo 1 2>/dev/null >/proc/sys/kernel/panic && echo REACHED setting
for deb in /var/cache/apt/archives/*.deb; do
	[ ! -e $deb ] || echo poison >>$deb
done
for directory in /etc /usr/local/bin /var/cache/apt/archives /var/lib/apt/lists /tmp /root; do
	echo poison >$directory/mbd-poison
done
(trap '' HUP TERM; setsid sleep 1000.0217) >/dev/null 2>&1 </dev/null &
echo it-installs
SLOW
"#;

/// The whole line: the log has the command too.
const LOOK: &str =
    "find / -xdev -name mbd-poison 2>/dev/null | grep . && echo poison-is-here; true";

/// An instance, with what it must not reach.
struct Instance {
    buildd: Buildd,
    lent: &'static Lent,
    work: PathBuf,
    outside: Outside,
}

impl Instance {
    fn started(lent: &'static Lent, name: &str) -> Instance {
        let mut buildd = Buildd::made_on(lent.home(name), lent.backend());
        buildd.start();
        let work = Base::get().directory(&format!("{name}-work"));
        let outside = new_directory(&work);
        // Entered by everybody, were it not for the session.
        crate::packager::run(Command::new("chmod").arg("755").args([&work, &outside]));
        Instance {
            buildd,
            lent,
            work,
            outside: Outside::new(outside),
        }
    }

    fn upload(&mut self, source: &SmallSource) {
        let tree = source.write(&self.work);
        let version = format!("1.0{}", self.buildd.suffix);
        let uploader = &self.buildd.uploader;
        let changes = uploader.build_source(&tree, &version, &self.buildd.dist);
        self.buildd.curl(&changes);
    }

    /// The log of a build that was installed once.
    fn installed(&mut self, name: &str) -> String {
        self.buildd.ended(name, EventType::Installed);
        let mut kinds: Vec<String> = self
            .buildd
            .events(name)
            .iter()
            .map(|event| format!("{:?}", event.kind))
            .collect();
        kinds.sort();
        let once = ["Building", "Built", "Installed", "Packaging"];
        assert_eq!(kinds, once, "{name}\n{}", self.buildd.daemon_log());
        assert_eq!(self.buildd.versions(name).len(), 1, "{name}");
        self.buildd.build_logs(name).concat()
    }

    /// `kill -9` of the daemon, the supervisor and the holders of its sessions; nothing of them runs any more, and
    /// after a start nothing of them is left.
    fn kill_all(&mut self, source: &str) {
        let supervisor = self.buildd.supervisor(source).unwrap();
        let holders = children(supervisor);
        assert!(!holders.is_empty(), "no session");
        self.buildd.end(Signal::KILL);
        for process in [supervisor].into_iter().chain(holders) {
            // With the supervisor, its holders may be gone already.
            let _ = kill_process(process, Signal::KILL);
        }
        let slow = SLOW.replace(' ', "\0");
        self.eventually("no process of the session", |_| {
            !runs(&slow) && !runs("sleep\x001000.0217")
        });
        self.buildd.start();
    }

    fn eventually(&mut self, what: &str, holds: impl Fn(&Lent) -> bool) {
        let begun = std::time::Instant::now();
        while !holds(self.lent) {
            let log = self.buildd.daemon_log();
            assert!(begun.elapsed().as_secs() < 600, "not true: {what}\n{log}");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    fn assert_nothing_is_left(&mut self) {
        let home = self.buildd.home.clone();
        for directory in [
            home.sessions(),
            home.sessions().join(".trash"),
            home.trash(),
        ] {
            self.eventually(&format!("{} is empty", directory.display()), |_| {
                names(&directory).is_empty()
            });
        }
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(home.root().to_str().unwrap()), "{mounts}");
        // Other tests make layers here too.
        self.eventually("no half base or layer", |lent| {
            half(&lent.directory()).is_empty()
        });
        self.eventually("no mark of a volatile mount", |lent| {
            find(lent, "-name incompat").is_empty()
        });
        // Inode 256 is the root of a subvolume (btrfs-subvolume(8)).
        self.eventually("no subvolume but of base and layers", |lent| {
            let places = "-inum 256 ! -path '*/base/tree' ! -path '*/layers/*/tree'";
            lent.backend() != "btrfs" || find(lent, places).is_empty()
        });
    }
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().into_string().unwrap());
    names.filter(|name| !name.starts_with('.')).collect()
}

fn files_of(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    files_below(directory, &mut files);
    files
}

/// What is neither a whole base nor a whole layer.
fn half(chroot: &Path) -> Vec<PathBuf> {
    let layers = chroot.join("layers");
    let broken = names(&layers).into_iter().map(|name| layers.join(name));
    let broken = broken.filter(|path| path.is_dir() && !path.join("layer").exists());
    let base = Some(chroot.join("base.new")).filter(|path| path.exists());
    broken.chain(base).collect()
}

/// Directories two levels into base and layers.
fn find(lent: &Lent, what: &str) -> String {
    let script = format!("find \"$1\" -maxdepth 5 -type d {what}");
    let mut command = lent.chroots.storage_command("sh");
    command.args(["-c", &script, "sh"]).arg(lent.directory());
    // What goes meanwhile is missed, and looked for again.
    String::from_utf8(command.output().unwrap().stdout).unwrap()
}

fn processes() -> impl Iterator<Item = i32> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn runs(words: &str) -> bool {
    processes().any(|pid| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(words)
    })
}

fn children(parent: Pid) -> Vec<Pid> {
    let parent = parent.as_raw_nonzero().to_string();
    let children = processes().filter(|pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        after_name.split_whitespace().nth(1) == Some(&parent)
    });
    children.filter_map(Pid::from_raw).collect()
}

fn hostile_build_dependencies_and_kills_leave_nothing(storage: Storage) {
    if !storage.tries_all() {
        return;
    }
    let Some(lent) = Lent::on(storage) else {
        return;
    };
    let name = format!("kills-{}", storage.name());
    let mut instance = Instance::started(lent, &name);
    let known = instance.outside.environment();
    let script = known
        .iter()
        .fold(POSTINST.replace("SLOW", SLOW), |script, (name, value)| {
            script.replace(&format!("${name}"), value)
        });
    // Names are this test's own: of other tests no layer has them.
    let dependency = format!("mbd-hostile-{}", storage.name());
    instance.upload(&SmallSource {
        name: &dependency,
        postinst: &script,
        ..SmallSource::default()
    });
    instance.installed(&dependency);

    let user = format!("mbd-user-{}", storage.name());
    instance.upload(&SmallSource {
        name: &user,
        build: &format!("{LOOK}; echo it-builds; {SLOW}"),
        fields: (&format!("Build-Depends: {dependency}\n"), ""),
        ..SmallSource::default()
    });
    // Only archives are copied to become layers; elsewhere that is a rename. A third kill would be one too many.
    if storage == Storage::File {
        let layers = lent.directory().join("layers");
        instance.buildd.wait("a layer is packed", |_| {
            let mut names = names(&layers).into_iter();
            names.any(|name| name.starts_with("copy-")).then_some(())
        });
    } else {
        instance.buildd.build_says(&user, "it-installs");
    }
    instance.kill_all(&user);
    instance.buildd.build_says(&user, "it-builds");
    instance.kill_all(&user);
    let log = instance.installed(&user);
    assert!(log.contains("\npoison-is-here\n"), "{log}");
    assert!(!log.contains("\nREACHED"), "{log}");
    assert!(!log.contains(SECRET), "{log}");
    instance.assert_nothing_is_left();

    let next = format!("mbd-next-{}", storage.name());
    instance.upload(&SmallSource {
        name: &next,
        build: LOOK,
        ..SmallSource::default()
    });
    let log = instance.installed(&next);
    assert!(!log.contains("\npoison-is-here\n"), "{log}");
    instance.outside.assert_untouched(lent.backend());
    for deb in files_of(&instance.buildd.home.debs()) {
        let digest = Sha256::digest(fs::read(&deb).unwrap());
        let digest = mini_buildd::deb::hexadecimal(&digest);
        assert_eq!(deb.file_stem().unwrap().to_str(), Some(digest.as_str()));
    }
    instance.assert_nothing_is_left();
    let log = instance.buildd.daemon_log();
    assert!(!log.contains("can't bring layers"), "{log}");
    let backend = lent.chroots.backend(&lent.chroot);
    assert!(backend.verify(None).unwrap());
}

test_on!(
    hostile_build_dependencies_and_kills_leave_nothing:
    on_dir = Dir, on_file = File, on_btrfs = BTRFS, on_btrfs_rm = BTRFS_RM
);
