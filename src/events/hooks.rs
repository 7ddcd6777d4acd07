//! Event hooks: executables in etc/event-hooks, run one after another with the event's file as argument.
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tracing::warn;

/// After this a hook is killed: events wait for it.
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// Runs all hooks; what fails is logged and passed over.
pub fn run(directory: &Path, event: &Path) {
    for hook in hooks(directory) {
        match run_one(&hook, event, TIME_LIMIT) {
            Ok(Some(status)) if status.success() => {}
            Ok(Some(status)) => warn!(hook = %hook.display(), %status, "event hook failed"),
            Ok(None) => warn!(hook = %hook.display(), "event hook took too long and was killed"),
            Err(error) => warn!(hook = %hook.display(), %error, "event hook can't be run"),
        }
    }
}

/// Executables whose names stock would run (`[!_.]*[!~]`), sorted.
fn hooks(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let mut hooks: Vec<PathBuf> = entries
        .flatten()
        .filter(|entry| entry.file_name().to_str().is_some_and(is_hook_name))
        .map(|entry| entry.path())
        .filter(|path| is_executable(path))
        .collect();
    hooks.sort();
    hooks
}

fn is_hook_name(name: &str) -> bool {
    name.chars().count() > 1 && !name.starts_with(['_', '.']) && !name.ends_with('~')
}

fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

/// `None`: killed at the limit.
fn run_one(hook: &Path, event: &Path, limit: Duration) -> std::io::Result<Option<ExitStatus>> {
    let mut child = Command::new(hook)
        .arg(event)
        // It may hold a password.
        .env_remove("MINI_BUILDD_SMTP")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()?;
    let end = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= end {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(Duration::from_millis(10));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(path: &Path, text: &str) {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn backup_and_hidden_files_are_no_hooks() {
        assert!(is_hook_name("10-mail"));
        assert!(!is_hook_name("_off"));
        assert!(!is_hook_name(".swp"));
        assert!(!is_hook_name("10-mail~"));
    }

    #[test]
    fn hooks_run_in_order_with_the_file_as_argument() {
        let home = tempfile::tempdir().unwrap();
        let out = home.path().join("out");
        let hooks = home.path().join("hooks");
        fs::create_dir(&hooks).unwrap();
        for name in ["20-two", "10-one", "_off"] {
            let text = format!("#!/bin/sh\necho {name} $1 >>{}\n", out.display());
            script(&hooks.join(name), &text);
        }
        run(&hooks, Path::new("/e.json"));
        assert_eq!(
            fs::read_to_string(&out).unwrap(),
            "10-one /e.json\n20-two /e.json\n"
        );
    }

    #[test]
    fn hook_that_hangs_is_killed() {
        let home = tempfile::tempdir().unwrap();
        let hook = home.path().join("hang");
        script(&hook, "#!/bin/sh\nexec sleep 60\n");
        let ended = run_one(&hook, Path::new("/e"), Duration::from_millis(50));
        assert!(ended.unwrap().is_none());
    }
}
