//! Builds of our own builder: `builds`, `build` and `build_log`.
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;
use std::str::FromStr;

use serde_json::{Value, json};

use crate::api::argument::{Argument, ArgumentValue, Kind};
use crate::api::call::blocking;
use crate::api::{Arguments, Auth, Call, CallError, Context};
use crate::build::supervisor::{self, State};
use crate::model::BuildKey;
use crate::store::jobs::{self, Build, BuilderState};

use super::arguments::{BEFORE, LIMIT, limit};

/// Bytes of a log that one answer has.
const MOST_LOG: u64 = 1 << 20;

pub(super) const LIST: Call = Call {
    name: "builds",
    doc: "List the builds of this builder, the latest first, page by page\n\n\
          What `next` of a page is, `before` of the next one must be; it is null in the last page.",
    auth: Auth::None,
    running: false,
    confirm: false,
    changes: false,
    arguments: &[BEFORE.spec, LIMIT.spec],
    run: |context, arguments| Box::pin(list(context, arguments)),
};

pub(super) const SHOW: Call = Call {
    name: "build",
    doc: "Show how a build of this builder goes or ended, and what its phases took",
    auth: Auth::None,
    running: false,
    confirm: false,
    changes: false,
    arguments: &[BKEY.spec],
    run: |context, arguments| Box::pin(show(context, arguments)),
};

pub(super) const LOG: Call = Call {
    name: "build_log",
    doc: "Show the log of a build of this builder, as far as it is written\n\n\
          At most a MiB; what `next` is, `offset` of the next call must be.",
    auth: Auth::None,
    running: false,
    confirm: false,
    changes: false,
    arguments: &[BKEY.spec, OFFSET.spec],
    run: |context, arguments| Box::pin(log(context, arguments)),
};

const BKEY: Argument<BuildKey> =
    Argument::positional("bkey", "SOURCE/VERSION/TIMECODE/ARCHITECTURE of the build");
const OFFSET: Argument<i64> = Argument::option("offset", 'o', "0", "Begin behind so many bytes");

impl ArgumentValue for BuildKey {
    const KIND: Kind = Kind::Text;
    fn parse(text: &str) -> Result<BuildKey, String> {
        BuildKey::from_str(text)
    }
}

async fn list(context: &Context, arguments: &Arguments) -> Result<Value, CallError> {
    let before = arguments.get(&BEFORE)?.unwrap_or(i64::MAX);
    let limit = limit(arguments)?;
    let builds = context
        .read(move |tx| jobs::latest_builds(tx, before, limit))
        .await?;
    let is_full = builds.len() == usize::try_from(limit).unwrap_or(usize::MAX);
    let next = builds.last().map(|(id, _)| *id).filter(|_| is_full);
    let builds = builds.iter().map(|(_, build)| described(build));
    Ok(json!({"builds": builds.collect::<Value>(), "next": next}))
}

pub(super) fn described(build: &Build) -> Value {
    let state = match build.state {
        BuilderState::Queued => "queued",
        BuilderState::Building => "building",
        BuilderState::Built => "built",
        BuilderState::Uploaded => "uploaded",
    };
    json!({
        "bkey": build.request.key().to_string(),
        "distribution": build.request.subject.distribution,
        "packager": build.request.packager,
        "state": state,
        "attempts": build.attempts,
    })
}

async fn show(context: &Context, arguments: &Arguments) -> Result<Value, CallError> {
    let build = find(context, arguments.get(&BKEY)?).await?;
    let directory = context.instance.home.build_directory(&build.request.key());
    let is_there = directory.is_dir();
    let mut value = described(&build);
    if is_there {
        let state = blocking("read a verdict", move || supervisor::state(&directory)).await?;
        value["running"] = matches!(state, State::Running).into();
        if let State::Ended(verdict) = state {
            value["status"] = verdict.status.as_str().into();
            value["error"] = verdict.error.into();
            value["summary"] = json!(verdict.summary);
            value["phases"] = json!(verdict.phases);
        }
    }
    Ok(value)
}

async fn log(context: &Context, arguments: &Arguments) -> Result<Value, CallError> {
    let build = find(context, arguments.get(&BKEY)?).await?;
    let offset = u64::try_from(arguments.get(&OFFSET)?).unwrap_or(0);
    let key = build.request.key();
    let path = build.request.subject.buildlog();
    let name = path.rsplit('/').next().unwrap_or_default();
    let path = context.instance.home.build_directory(&key).join(name);
    let read = blocking("read a log", move || read(path, offset)).await?;
    let Some((text, next)) = read else {
        let fault = format!(
            "There is no log of {key} here: it has not begun, or was removed after some days"
        );
        return Err(CallError::NotFound(fault));
    };
    Ok(json!({"log": text, "next": next}))
}

fn read(path: PathBuf, offset: u64) -> io::Result<Option<(String, u64)>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    file.seek(SeekFrom::Start(offset))?;
    let mut text = Vec::new();
    file.take(MOST_LOG).read_to_end(&mut text)?;
    let next = offset + text.len() as u64;
    Ok(Some((String::from_utf8_lossy(&text).into_owned(), next)))
}

async fn find(context: &Context, key: BuildKey) -> Result<Build, CallError> {
    let wanted = key.clone();
    let found = context.read(move |tx| jobs::build(tx, &wanted)).await?;
    found.ok_or_else(|| CallError::NotFound(format!("No such build here: {key}")))
}
