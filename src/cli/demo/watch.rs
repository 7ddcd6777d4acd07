//! Follows an upload by its event files and build logs until it has ended.
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use super::super::progress::Progress;
use crate::deb::Version;
use crate::home::Home;
use crate::model::{Event, EventType};

#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("the upload ended {kind}: {detail}; see {directory}", directory = directory.display())]
    Ended {
        kind: EventType,
        detail: String,
        directory: PathBuf,
    },
    #[error("the daemon ended with {status} before the upload did; the next demo goes on with it")]
    Daemon { status: ExitStatus },
}

pub(super) struct Watch {
    events: PathBuf,
    builds: PathBuf,
    show_log: bool,
    log: Option<File>,
    /// Not yet a whole line.
    rest: String,
}

impl Watch {
    pub(super) fn new(home: &Home, source: &str, version: &Version, show_log: bool) -> Watch {
        let below = |directory: PathBuf| directory.join(source).join(version.as_str());
        Watch {
            events: below(home.events()),
            builds: below(home.builds()),
            show_log,
            log: None,
            rest: String::new(),
        }
    }

    /// Shows what goes on; returns once INSTALLED, with a word on it.
    ///
    /// `daemon_ended` tells that nothing will come any more.
    pub(super) fn until_end(
        &mut self,
        progress: &Progress,
        mut daemon_ended: impl FnMut() -> Option<ExitStatus>,
    ) -> Result<String, Error> {
        loop {
            let ended = daemon_ended();
            self.follow_log(progress);
            if let Some((event, directory)) = self.last_event() {
                self.follow_log(progress);
                if event.kind == EventType::Installed {
                    return Ok(format!("INSTALLED in {}", event.distribution));
                }
                let detail = event
                    .extra
                    .get("error")
                    .and_then(|error| error.get("detail"));
                return Err(Error::Ended {
                    kind: event.kind,
                    detail: detail
                        .and_then(|text| text.as_str())
                        .unwrap_or("no detail")
                        .to_owned(),
                    directory,
                });
            }
            if let Some(status) = ended {
                return Err(Error::Daemon { status });
            }
            std::thread::sleep(super::PAUSE);
        }
    }

    fn last_event(&self) -> Option<(Event, PathBuf)> {
        let ends = [EventType::Installed, EventType::Failed, EventType::Rejected];
        for path in files_below(&self.events, 2) {
            let name = path.file_name()?.to_string_lossy().into_owned();
            if ends
                .iter()
                .any(|end| name.ends_with(&format!("_{end}.json")))
            {
                let event = serde_json::from_str(&fs::read_to_string(&path).ok()?).ok()?;
                return Some((event, path.parent()?.to_owned()));
            }
        }
        None
    }

    fn follow_log(&mut self, progress: &Progress) {
        if self.log.is_none() {
            let found = files_below(&self.builds, 2).into_iter().find(|path| {
                path.extension()
                    .is_some_and(|extension| extension == "buildlog")
            });
            if let Some(path) = found
                && let Ok(file) = File::open(&path)
            {
                progress.note(&format!("log: {}", path.display()));
                self.log = Some(file);
            }
        }
        let Some(file) = &mut self.log else {
            return;
        };
        let mut read = Vec::new();
        // What can't be read now is read at the next look.
        let _ = file.read_to_end(&mut read);
        self.rest.push_str(&String::from_utf8_lossy(&read));
        while let Some(end) = self.rest.find('\n') {
            let line: String = self.rest.drain(..=end).collect();
            if self.show_log {
                show(line.trim_end(), progress);
            } else if let Some(title) = section(line.trim_end()) {
                progress.note(title);
            } else {
                progress.detail(&printable(line.trim_end()));
            }
        }
    }
}

fn show(line: &str, progress: &Progress) {
    progress.note(&printable(line));
}

/// The log is data: it must not steer the terminal.
fn printable(line: &str) -> String {
    line.chars()
        .filter(|character| !character.is_control())
        .collect()
}

/// Title in the box of a section: `| Title     |`.
fn section(line: &str) -> Option<&str> {
    let title = line.strip_prefix("| ")?.strip_suffix('|')?.trim();
    (!title.is_empty()).then_some(title)
}

/// Files at the given depth below a directory; none where it does not exist yet.
fn files_below(directory: &Path, depth: u32) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory)
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .map(|entry| entry.path());
    if depth == 0 {
        return entries.filter(|path| path.is_file()).collect();
    }
    entries
        .filter(|path| path.is_dir())
        .flat_map(|path| files_below(&path, depth - 1))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_are_found_in_boxes() {
        assert_eq!(
            section("| Build                                      |"),
            Some("Build")
        );
        assert_eq!(section("+--------+"), None);
        assert_eq!(section("|        |"), None);
        assert_eq!(section("a | b |"), None);
    }

    #[test]
    fn escape_sequences_don_t_reach_the_terminal() {
        assert_eq!(printable("\u{1b}[31mred\u{7}"), "[31mred");
    }
}
