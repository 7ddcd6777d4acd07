//! `mini-buildd dput`: uploads to an instance, ours or stock's, and waits for what becomes of it.
mod target;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use jiff::{Timestamp, ToSpan as _};
use tokio::time::timeout;

use super::follow::Follower;
use super::{Failure, output};
use crate::deb::Changes;
use crate::endpoint::ClientEndpoint;
use crate::model::{Event, EventType};
use crate::{message, pgp, upload};

use target::Target;

/// What happened before is told within it.
const PASSED: Duration = Duration::from_millis(300);
/// Larger ones are no .changes.
const LIMIT: u64 = 8 << 20;

/// Uploads a package, and, with --check-result, waits until it is installed, failed or rejected.
///
/// The target is a section of ~/.dput.cf or /etc/dput.cf, as `mini-buildd api dput_conf` gives it, or an FTP endpoint
/// like ftp://localhost:8067. What was uploaded before is told by a file NAME.upload beside NAME.changes.
#[derive(Args, Debug)]
pub(super) struct Options {
    /// dput's configuration, instead of ~/.dput.cf and /etc/dput.cf.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Upload though it was uploaded before.
    #[arg(short, long)]
    force: bool,
    /// Wait for INSTALLED (success), FAILED or REJECTED (failure).
    #[arg(short = 'C', long)]
    check_result: bool,
    /// HTTP endpoint of the instance, for --check-result [default: the port before that of FTP].
    #[arg(long, value_name = "ENDPOINT")]
    http_endpoint: Option<ClientEndpoint>,
    target: String,
    /// The .changes file.
    changes: PathBuf,
}

pub(super) fn run(options: &Options) -> Result<ExitCode, Failure> {
    let target = Target::find(&options.target, options.config.as_deref())?;
    let changes = read(&options.changes)?;
    let directory = options.changes.parent().unwrap_or(Path::new(""));
    let files = changes.files.iter();
    let files: Vec<PathBuf> = files
        .map(|listed| directory.join(listed.name.as_str()))
        .collect();
    if let Some(missing) = files.iter().find(|file| !file.is_file()) {
        return Err(format!(
            "{} lists {}, which is not there",
            options.changes.display(),
            missing.display()
        )
        .into());
    }
    let mark = options.changes.with_extension("upload");
    if !options.force
        && let Ok(before) = std::fs::read_to_string(&mark)
    {
        return Err(format!(
            "{} was uploaded to {} before; to upload it again, add --force",
            options.changes.display(),
            before.trim()
        )
        .into());
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let follower = if options.check_result {
        let http = match &options.http_endpoint {
            Some(endpoint) => endpoint.clone(),
            None => target.http()?,
        };
        Some(runtime.block_on(follow_from_now_on(&http))?)
    } else {
        None
    };
    runtime.block_on(upload::upload(&target.url, &files, &options.changes, &[]))?;
    std::fs::write(&mark, format!("{}\n", target.url))?;
    output::write(&format!(
        "{} {} is uploaded to {}\n",
        changes.source, changes.version, target.url
    ))?;
    let Some(mut follower) = follower else {
        return Ok(ExitCode::SUCCESS);
    };
    loop {
        let event = runtime.block_on(follower.next())?;
        let is_it =
            event.source == changes.source.as_str() && event.version == changes.version.as_str();
        if !is_it {
            continue;
        }
        let code = match event.kind {
            EventType::Installed => ExitCode::SUCCESS,
            EventType::Failed | EventType::Rejected => ExitCode::FAILURE,
            _ => continue,
        };
        output::write(&format!("{}\n", verdict(&event)))?;
        return Ok(code);
    }
}

/// Follows events; those of an earlier upload of the same version are passed over.
async fn follow_from_now_on(http: &ClientEndpoint) -> Result<Follower, Failure> {
    // The clocks of both machines may differ a little.
    let mut follower = Follower::new(http, Some(Timestamp::now() - 1.minute()))?;
    while let Ok(passed) = timeout(PASSED, follower.next()).await {
        passed?;
    }
    Ok(follower)
}

fn verdict(event: &Event) -> String {
    let said = format!(
        "{} {} {}: {}",
        event.source, event.version, event.distribution, event.kind
    );
    let detail = event
        .extra
        .get("error")
        .and_then(|error| error.get("detail")?.as_str());
    detail.map_or(said.clone(), |detail| format!("{said}: {detail}"))
}

fn read(path: &Path) -> Result<Changes, Failure> {
    let content = message::read_text(path, LIMIT)?;
    let text = pgp::unauthenticated_text(&content)?;
    let changes: Changes = text
        .parse()
        .map_err(|fault| format!("{}: {fault}", path.display()))?;
    Ok(changes)
}
