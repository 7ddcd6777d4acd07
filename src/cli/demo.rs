//! `mini-buildd demo`: one upload the whole way, on this machine, to watch.
mod package;
mod watch;

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use clap::Args;
use jiff::Timestamp;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Map, Value, json};

use super::daemon::Running;
use super::progress::Progress;
use super::{Failure, backend, up};
use crate::chroots::{Chroots, Trial};
use crate::deb::{PackageName, Version};
use crate::fetch::Client;
use crate::home::Home;
use crate::model::Diststr;
use crate::pgp::SigningKey;
use crate::{setup, upload};

/// Who uploads in the demo.
const UPLOADER: &str = "Demo Uploader";
const EMAIL: &str = "demo@example.org";
/// Any free port.
const LOOPBACK: &str = "tcp:port=0:interface=127.0.0.1";
const HOSTNAME: &str = "localhost";
/// The daemon binds its ports in less than a second; a loaded machine may take longer.
const START_TIME: Duration = Duration::from_secs(60);
/// Keys and configuration are smaller.
const ANSWER_LIMIT: usize = 1 << 20;
/// Between two looks at what is not there yet.
const PAUSE: Duration = Duration::from_millis(50);

/// Shows one upload the whole way: FTP, sandboxed build, signed repository, apt install.
///
/// Makes an instance of its own with a chroot of this machine's release, which are kept for the next time.
#[derive(Args, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the command line"
)]
pub(super) struct Options {
    /// Directory of the demo's instance [default: mini-buildd-demo in $XDG_DATA_HOME or ~/.local/share].
    #[arg(short = 'H', long, value_name = "DIR")]
    home: Option<PathBuf>,
    #[command(flatten)]
    backend: backend::Options,
    /// Install missing Debian packages without asking (as root).
    #[arg(short, long)]
    yes: bool,
    /// Leave the daemon running.
    #[arg(short, long)]
    keep: bool,
    /// Show the build log while it is written.
    #[arg(long)]
    log: bool,
    /// End with one line on standard output: a JSON object of what was installed, where it is, and the seconds of each
    /// phase.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("no home directory is known; name the demo's with --home")]
    NoHome,
    #[error("can't {action} {path}", path = path.display())]
    File {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("can't start the daemon")]
    Start(#[source] io::Error),
    #[error("the daemon ended with {status} instead of serving; it said: {said}")]
    Ended {
        status: std::process::ExitStatus,
        said: String,
    },
    #[error("the daemon did not serve within {seconds} s; see {log}", log = log.display())]
    Silent { seconds: u64, log: PathBuf },
}

pub(super) fn run(options: &Options) -> Result<ExitCode, Failure> {
    let home = Home::new(directory(options)?);
    home.refuse_stock()?;
    let mut progress = Progress::new();
    let uploader = uploader_key(&home)?.public_armored();
    let wanted = up::Wanted {
        yes: options.yes,
        hostname: HOSTNAME.into(),
        chroots: true,
        architectures: Vec::new(),
        backend: options.backend.wanted(),
        setup: setup::Wishes {
            identity: Some("demo".into()),
            ftp_endpoint: LOOPBACK.parse()?,
            max_parallel_builds: None,
            uploaders: vec![("demo".into(), uploader)],
        },
    };
    let made = up::make(&home, &wanted, &mut progress)?;

    progress.begin("daemon", "Starting the daemon");
    let mut daemon = Daemon::start(&home, options.keep)?;
    let running = daemon.wait_until_serving(&home)?;
    progress.end(&format!(
        "{} and {}",
        running.http_url, running.incoming_url
    ));

    let installed = go(options, &home, &made, &running, &mut daemon, &mut progress)?;
    let sources = sources(&running, &made.diststr, "/etc/apt/keyrings/mini-buildd.asc");
    let dput = ask(&running, "dput_conf")?;
    tell(options, &home, &running, &sources, &dput, &daemon);
    if options.json {
        let seconds: Map<String, Value> = progress
            .seconds()
            .iter()
            .map(|(name, took)| (name.clone(), json!(took)))
            .collect();
        let told = json!({
            "installed": format!("{} {}", package::SOURCE, installed.version),
            "output": installed.output,
            "url": running.http_url,
            "home": home.root(),
            "seconds": seconds,
        });
        super::output::write(&format!("{told}\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

struct Installed {
    version: Version,
    /// What the installed program printed.
    output: String,
}

/// Uploads, watches, installs.
fn go(
    options: &Options,
    home: &Home,
    made: &up::Made,
    running: &Running,
    daemon: &mut Daemon,
    progress: &mut Progress,
) -> Result<Installed, Failure> {
    let diststr = &made.diststr;
    let now = Timestamp::now();
    let version = version(&made.version_suffix, now)?;
    progress.begin(
        "upload",
        &format!("Uploading {} {version} to {diststr}", package::SOURCE),
    );
    let directory = tempdir(home)?;
    let key = uploader_key(home)?;
    let author = package::Author {
        name: &format!("{UPLOADER} <{EMAIL}>"),
        key: &key,
    };
    let mut files = package::write(&directory, &version, diststr, &author, now)?;
    let changes = files.pop().expect("the .changes is the last");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(upload::upload(&running.incoming_url, &files, &changes, &[]))?;
    // Sent; a copy has no use.
    let _ = fs::remove_dir_all(&directory);
    progress.end("by FTP, signed");

    progress.begin("build", "Building");
    let mut watch = watch::Watch::new(home, package::SOURCE, &version, options.log);
    let event = watch.until_end(progress, || daemon.child.try_wait().ok().flatten())?;
    progress.end(&event);

    progress.begin("install", "Installing with apt in another sandbox");
    let source: PackageName = package::SOURCE.parse()?;
    let output = Chroots::of_caller(home.clone())?.try_package(
        &made.chroot,
        &Trial {
            sources: &sources(running, diststr, Trial::KEY),
            key: &ask(running, "pub_key")?,
            package: &source,
            command: &[package::SOURCE],
        },
        &mut |line| progress.detail(line),
    )?;
    let output = output.trim().to_owned();
    progress.end(&format!("it says: {output}"));
    Ok(Installed { version, output })
}

fn directory(options: &Options) -> Result<PathBuf, Error> {
    let variable = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let directory = match &options.home {
        Some(directory) => directory.clone(),
        None => variable("XDG_DATA_HOME")
            .or_else(|| variable("HOME").map(|home| home.join(".local/share")))
            .ok_or(Error::NoHome)?
            .join("mini-buildd-demo"),
    };
    Ok(std::path::absolute(&directory).unwrap_or(directory))
}

/// The demo's uploader has a key of its own, made once.
fn uploader_key(home: &Home) -> Result<SigningKey, Failure> {
    let path = home.root().join("demo-uploader.asc");
    if path.exists() {
        return Ok(SigningKey::load(&path)?);
    }
    fs::create_dir_all(home.root()).map_err(|source| Error::File {
        action: "make",
        path: home.root().to_owned(),
        source,
    })?;
    let key = SigningKey::generate(UPLOADER, EMAIL)?;
    key.save(&path)?;
    Ok(key)
}

/// New at every run, in the order of time.
fn version(suffix: &str, now: Timestamp) -> Result<Version, Failure> {
    Ok(format!("1.{}{suffix}", now.strftime("%Y%m%d%H%M%S")).parse()?)
}

fn tempdir(home: &Home) -> Result<PathBuf, Error> {
    let path = home
        .root()
        .join(format!("demo-source.{}", std::process::id()));
    match fs::create_dir(&path) {
        Ok(()) => Ok(path),
        Err(source) => Err(Error::File {
            action: "make",
            path,
            source,
        }),
    }
}

/// Answer of the instance's API as plain text.
fn ask(running: &Running, call: &str) -> Result<String, Failure> {
    let url = format!("{}/mini_buildd/api/{call}/?output=plain", running.http_url);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let answer = runtime.block_on(Client::new().get(&url, ANSWER_LIMIT, START_TIME))?;
    Ok(String::from_utf8(answer)?)
}

/// The deb822 entry for apt.
fn sources(running: &Running, diststr: &Diststr, key: &str) -> String {
    format!(
        "Types: deb deb-src\nURIs: {}/repositories/{}/\nSuites: {diststr}\nComponents: main\nSigned-By: {key}\n",
        running.http_url, diststr.repository
    )
}

fn tell(
    options: &Options,
    home: &Home,
    running: &Running,
    sources: &str,
    dput: &str,
    daemon: &Daemon,
) {
    let home = home.root().display();
    let keeping = if options.keep {
        format!(
            "The daemon goes on; end it with: kill {}\n\
             To upload with a key of yours: mini-buildd up --no-start --home {home} --uploader-key FILE",
            daemon.child.id()
        )
    } else {
        "That held while the daemon ran, which has ended; demo --keep leaves it running.".into()
    };
    let text = format!(
        "\nWhat apt needs, as /etc/apt/sources.list.d/mini-buildd.sources \
         (the key: {url}/mini_buildd/api/pub_key/?output=plain):\n\n{}\n\
         What dput needs, in ~/.dput.cf:\n\n{}\n{url}/\n{keeping}\n",
        indented(sources),
        indented(dput),
        url = running.http_url,
    );
    // Nobody is left to be told that standard error can't be written.
    let _ = io::stderr().write_all(text.as_bytes());
}

fn indented(text: &str) -> String {
    let lines = text.lines().map(|line| format!("    {line}\n"));
    lines.collect::<Vec<_>>().concat()
}

/// The daemon of the demo, a process of its own.
struct Daemon {
    child: Child,
    log: PathBuf,
    keep: bool,
}

impl Daemon {
    fn start(home: &Home, keep: bool) -> Result<Daemon, Error> {
        let log = home.log().join("daemon.log");
        let file = |source| Error::File {
            action: "write",
            path: log.clone(),
            source,
        };
        let output = File::create(&log).map_err(file)?;
        let errors = output.try_clone().map_err(file)?;
        let mut command = Command::new(std::env::current_exe().map_err(Error::Start)?);
        command
            .args([
                "--http-endpoint",
                LOOPBACK,
                "--hostname",
                HOSTNAME,
                "--home",
            ])
            .arg(home.root())
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors);
        if keep {
            // Ctrl-C is meant for the demo alone.
            command.process_group(0);
        }
        let child = command.spawn().map_err(Error::Start)?;
        Ok(Daemon { child, log, keep })
    }

    fn wait_until_serving(&mut self, home: &Home) -> Result<Running, Error> {
        let deadline = Instant::now() + START_TIME;
        while Instant::now() < deadline {
            if let Some(running) =
                Running::read(home).filter(|running| running.pid == self.child.id())
            {
                return Ok(running);
            }
            if let Some(status) = self.child.try_wait().map_err(Error::Start)? {
                let said = fs::read_to_string(&self.log)
                    .unwrap_or_default()
                    .trim()
                    .to_owned();
                return Err(Error::Ended { status, said });
            }
            std::thread::sleep(PAUSE);
        }
        Err(Error::Silent {
            seconds: START_TIME.as_secs(),
            log: self.log.clone(),
        })
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // One that ended already is only waited for.
            let _ = kill_process(pid, Signal::TERM);
        }
        let _ = self.child.wait();
    }
}
