"""An instance of our program for benchmarks: its daemon, signed uploads to it, and tables of what was measured."""
import contextlib
import ftplib
import glob
import json
import os
import pwd
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LOOPBACK = "tcp:port=0:interface=127.0.0.1"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
MAINTAINER = "Bench Uploader <bench@example.org>"
PATIENCE = 1200
KINDS = {"binary": "-b", "any": "-B", "all": "-A"}
TICKS = os.sysconf("SC_CLK_TCK")


def say(text):
    print(text, file=sys.stderr, flush=True)


def run(command, **options):
    """Runs to success; its standard output."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, **options)
    if done.returncode:
        sys.exit(f"{command}: status {done.returncode}\n{(done.stdout + done.stderr)[-3000:]}")
    return done.stdout


def load():
    return os.getloadavg()[0]


def read(path):
    with open(path, errors="replace") as file:
        return file.read()


def write(path, text, mode=0o644):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(text)
    os.chmod(path, mode)


def os_release():
    lines = (line.partition("=") for line in read("/etc/os-release").splitlines())
    return {name: value.strip('"') for name, _, value in lines}


def archive(codename):
    """URL of the archive that the host's apt has for its own release."""
    for line in run(["apt-get", "indextargets", "--format", "$(RELEASE) $(REPO_URI)",
                     "Created-By: Packages"]).splitlines():
        release, url = line.split()
        if release == codename:
            return url
    sys.exit(f"apt knows no archive of {codename}; run apt-get update")


class Sources:
    """The two source packages, and signed uploads of them in ever new versions."""

    def __init__(self, directory, codename, version_id, url):
        self.directory = directory
        self.dist = f"{codename}-test-unstable"
        self.suffix = f"~test{version_id}+"
        # gpg-agent's socket path must stay short.
        self.gnupg = tempfile.mkdtemp(prefix="gpg", dir="/tmp")
        self.env = dict(os.environ, GNUPGHOME=self.gnupg, LC_ALL="C.UTF-8")
        saved = os.path.join(directory, "uploader.key")
        os.makedirs(directory, exist_ok=True)
        gpg = ["gpg", "--batch", "--quiet"]
        if os.path.exists(saved):
            run([*gpg, "--import", saved], env=self.env)
        else:
            run([*gpg, "--passphrase", "", "--quick-gen-key", MAINTAINER, "ed25519", "sign", "never"], env=self.env)
            write(saved, run([*gpg, "--armor", "--export-secret-keys"], env=self.env), 0o600)
        self.key = os.path.join(directory, "uploader.asc")
        write(self.key, run([*gpg, "--armor", "--export"], env=self.env))
        self.trees = {"hello": self.hello(codename, url), "empty": self.empty()}

    def close(self):
        subprocess.run(["gpgconf", "--kill", "all"], env=self.env, check=False)
        shutil.rmtree(self.gnupg, ignore_errors=True)

    def hello(self, codename, url):
        tree = os.path.join(self.directory, "hello", "tree")
        if os.path.isdir(tree):
            return tree
        top = os.path.dirname(tree)
        state = os.path.join(top, "apt")
        write(f"{state}/status", "")
        write(f"{state}/sources.list", f"deb-src [signed-by={KEYRING} check-valid-until=no] {url} {codename} main\n")
        for name in ("lists/partial", "cache/archives/partial"):
            os.makedirs(f"{state}/{name}", exist_ok=True)
        settings = {"Dir::Etc::sourcelist": f"{state}/sources.list", "Dir::Etc::sourceparts": "/dev/null",
                    "Dir::State::lists": f"{state}/lists", "Dir::State::status": f"{state}/status",
                    "Dir::Cache": f"{state}/cache", "APT::Sandbox::User": "", "Acquire::Languages": "none"}
        apt = ["apt-get", "-q", *(f"-o{name}={value}" for name, value in settings.items())]
        run([*apt, "update"])
        run([*apt, "source", "--download-only", "hello"], cwd=top)
        run(["dpkg-source", "--no-check", "-x", glob.glob(f"{top}/*.dsc")[0], tree + ".new"])
        os.rename(tree + ".new", tree)
        return tree

    def empty(self):
        """One arch:all package with nothing in it, built the common way."""
        tree = os.path.join(self.directory, "empty", "tree")
        write(f"{tree}/debian/control", f"""Source: bench-empty
Section: misc
Priority: optional
Maintainer: {MAINTAINER}
Build-Depends: debhelper-compat (= 13)
Standards-Version: 4.6.2
Rules-Requires-Root: no

Package: bench-empty
Architecture: all
Depends: ${{misc:Depends}}
Description: package that holds nothing
 It shows what a build costs besides building.
""")
        write(f"{tree}/debian/rules", "#!/usr/bin/make -f\n%:\n\tdh $@\n", 0o755)
        write(f"{tree}/debian/source/format", "3.0 (native)\n")
        changelog = f"{tree}/debian/changelog"
        if not os.path.exists(changelog):
            write(changelog, f"bench-empty (1) unstable; urgency=medium\n\n  * First.\n\n"
                             f" -- {MAINTAINER}  Sun, 01 Nov 2026 00:00:00 +0000\n")
        return tree

    def next_upload(self, package):
        """Files of a signed source upload in a version that was never used; the .changes is the last."""
        tree = self.trees[package]
        changelog = f"{tree}/debian/changelog"
        source, version = read(changelog).split(maxsplit=2)[:2]
        plain, _, number = version.strip("()").partition(self.suffix)
        version = f"{plain}{self.suffix}{int(number or 0) + 1}"
        entry = (f"{source} ({version}) {self.dist}; urgency=medium\n\n  * Measure.\n\n"
                 f" -- {MAINTAINER}  {run(['date', '-R'], env=self.env).strip()}\n")
        old = read(changelog)
        if number:  # the entry of the last measurement goes
            old = old[old.index("\n -- "):].split("\n", 2)[2].lstrip("\n")
        write(changelog, f"{entry}\n{old}")
        parent = os.path.dirname(tree)
        for file in glob.glob(f"{parent}/{source}_*{self.suffix}*"):
            os.unlink(file)
        run(["dpkg-buildpackage", "-S", "-sa", "-d", "-nc", "-ui", f"--sign-key={MAINTAINER}"], cwd=tree, env=self.env)
        changes = f"{parent}/{source}_{version}_source.changes"
        listed = read(changes).partition("\nFiles:")[2].partition("\n\n")[0].splitlines()
        files = [os.path.join(parent, line.split()[-1]) for line in listed if line.startswith(" ")]
        return source, version, [*files, changes]


class Instance:
    """An instance of our program with one chroot, and its daemon."""

    def __init__(self, directory, program, user, key):
        self.home = os.path.join(directory, "home")
        os.makedirs(directory, exist_ok=True)
        os.chmod(directory, 0o755)
        # What the ordinary user can read.
        self.program = os.path.join(directory, "mini-buildd")
        shutil.copy(program, self.program)
        os.chmod(self.program, 0o755)
        self.account = pwd.getpwnam(user)
        os.chown(directory, self.account.pw_uid, self.account.pw_gid)
        self.child = None
        say("making the instance and its chroot")
        self.finish([self.program, "up", "--no-start", "--yes", "--home", self.home, "--ftp-endpoint", LOOPBACK,
                     "--identity", "bench", "--hostname", "localhost", "--uploader-key", key])

    def options(self):
        account = self.account
        env = {"PATH": PATH, "LC_ALL": "C.UTF-8", "HOME": account.pw_dir, "USER": account.pw_name}
        drop = {} if account.pw_uid == 0 else {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        return {"env": env, "cwd": "/", **drop}

    def finish(self, command):
        return run(command, **self.options())

    def path(self, *names):
        return os.path.join(self.home, *names)

    def start(self):
        """Starts the daemon; milliseconds until it serves."""
        running = self.path("var/running.json")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(running)
        with open(os.path.join(os.path.dirname(self.home), "daemon.log"), "ab") as log:
            begin = time.monotonic()
            self.child = subprocess.Popen(
                [self.program, "--home", self.home, "--http-endpoint", LOOPBACK, "--hostname", "localhost"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, **self.options())
        while not os.path.exists(running):
            if self.child.poll() is not None:
                sys.exit(f"the daemon ended with {self.child.returncode}")
            time.sleep(0.0005)
        took = time.monotonic() - begin
        self.incoming = urllib.parse.urlsplit(json.loads(read(running))["incoming_url"])
        return took * 1000

    def stop(self):
        if self.child:
            self.child.send_signal(signal.SIGTERM)
            self.child.wait()
            self.child = None

    def stat(self):
        """CPU seconds: of the daemon itself, of what it started and has ended."""
        fields = read(f"/proc/{self.child.pid}/stat").rpartition(")")[2].split()
        own, own_system, children, children_system = (int(field) / TICKS for field in fields[11:15])
        return own + own_system, children + children_system

    def memory(self):
        """Mebibytes of the daemon: resident, its share of them, those that no file holds; and how many threads it has."""
        rollup = dict(line.split(":", 1) for line in read(f"/proc/{self.child.pid}/smaps_rollup").splitlines()[1:])
        names = {"rss_mb": "Rss", "pss_mb": "Pss", "anonymous_mb": "Anonymous"}
        figures = {name: int(rollup[field].split()[0]) / 1024 for name, field in names.items()}
        return figures | {"threads": len(os.listdir(f"/proc/{self.child.pid}/task"))}

    def peak(self):
        """Most mebibytes that ever were resident."""
        status = dict(line.split(":", 1) for line in read(f"/proc/{self.child.pid}/status").splitlines())
        return int(status["VmHWM"].split()[0]) / 1024

    def wakeups(self, seconds=3):
        """Times a second that an idle thread of the daemon runs."""
        def switches():
            return {file: int(line.split()[1]) for file in glob.glob(f"/proc/{self.child.pid}/task/*/status")
                    for line in read(file).splitlines() if line.startswith("voluntary_ctxt_switches")}
        before = switches()
        time.sleep(seconds)
        return sum(count - before.get(thread, 0) for thread, count in switches().items()) / seconds

    def drop_layers(self):
        for chroot in glob.glob(self.path("var/chroots/*/*")):
            for name in ("layers", "memo"):
                shutil.rmtree(f"{chroot}/{name}", ignore_errors=True)

    def upload(self, source, version, files):
        """One upload, from the first byte sent to INSTALLED, and the figures of its build."""
        self.settle()
        own, children = self.stat()
        begin = time.time()
        with ftplib.FTP() as ftp:
            ftp.connect(self.incoming.hostname, self.incoming.port)
            ftp.login()
            ftp.cwd("incoming")
            for path in files:
                with open(path, "rb") as file:
                    ftp.storbinary("STOR " + os.path.basename(path), file)
            ftp.quit()
        events = self.path("var/events", source, version)
        build = self.path("var/builds", source, version)
        while not (installed := glob.glob(f"{events}/**/*_INSTALLED.json", recursive=True)):
            failed = glob.glob(f"{events}/**/*_FAILED.json", recursive=True)
            failed += glob.glob(f"{self.path('var/events')}/**/{source}_{version}_REJECTED.json", recursive=True)
            if failed or time.time() > begin + PATIENCE:
                logs = "".join(read(log)[-3000:] for log in glob.glob(f"{build}/**/*.buildlog", recursive=True))
                sys.exit(f"{source} {version} was not installed: {''.join(map(read, failed))}\n{logs}")
            time.sleep(0.05)
        event = os.stat(installed[0]).st_mtime
        directory, = (os.path.dirname(path) for path in glob.glob(f"{build}/**/verdict.json", recursive=True))
        verdict = json.loads(read(f"{directory}/verdict.json"))
        at = {name: os.stat(f"{directory}/{name}.json").st_mtime for name in ("assignment", "verdict")}
        assignment = json.loads(read(f"{directory}/assignment.json"))
        log = "".join(read(log) for log in glob.glob(f"{directory}/*.buildlog"))
        self.settle()
        now = self.stat()
        return {
            "wall": at["verdict"] - at["assignment"], "cpu": now[1] - children, "load": load(),
            "installed": event - begin, "daemon_cpu": now[0] - own,
            "before": at["assignment"] - begin, "after": event - at["verdict"],
            "phases": {phase["name"]: (phase["wall_ms"] / 1000, phase["cpu_ms"] / 1000)
                       for phase in verdict["phases"]},
            "parallel": assignment["parallel"], "kind": KINDS[log.partition("Build Type: ")[2].split()[0]],
            "upgraded": "apt-get dist-upgrade" in log,
        }

    def settle(self):
        """Waits until the daemon and what it started use no processor time."""
        quiet, last = 0, None
        while quiet < 4:
            time.sleep(0.1)
            quiet, last = (quiet + 1, last) if self.stat() == last else (0, self.stat())


def median(rows, name):
    return statistics.median(row[name] for row in rows)


def table(title, head, rows):
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return f"{title}\n\n" + "".join("| " + " | ".join(map(str, line)) + " |\n" for line in lines)


def replace_between(path, marker, text):
    """Puts the text between two comments of a Markdown file."""
    begin, end = f"<!-- {marker} -->\n", f"<!-- end of {marker} -->\n"
    before, found, rest = read(path).partition(begin)
    _, found_end, after = rest.partition(end)
    if not (found and found_end):
        sys.exit(f"{path} has no place for {marker}")
    write(os.path.abspath(path), f"{before}{begin}\n{text.strip()}\n\n{end}{after}")


def release_program():
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(TOP, "target"))
    program = os.path.join(target, "release", "mini-buildd")
    if not os.path.exists(program):
        say("building the release program")
        subprocess.run(["cargo", "build", "--release", "--locked"], cwd=TOP, check=True)
    return program
