//! Settings of malloc(3) for a process that is idle most of its life.
//!
//! By itself malloc raises, at the first large piece that is freed, the sizes from which it gives memory back, and keeps
//! an arena for each thread that ever ran beside others: after a few builds the daemon held three times the memory that it
//! uses. mallopt(3) reads its environment when a program starts, so the program starts once more.
use std::env;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// Names and values, as mallopt(3) has them; one of them in the environment is the administrator's word.
const SETTINGS: [(&str, &str); 3] = [
    ("MALLOC_ARENA_MAX", "2"),
    ("MALLOC_MMAP_THRESHOLD_", "262144"),
    ("MALLOC_TRIM_THRESHOLD_", "131072"),
];

/// Starts this program again, as the same process, unless it has the settings; call it before any thread exists.
pub(super) fn settle() {
    if SETTINGS.iter().any(|(name, _)| env::var_os(name).is_some()) {
        return;
    }
    // Not /proc/self/exe: it would be the process's name.
    let Ok(program) = env::current_exe() else {
        return;
    };
    let mut arguments = env::args_os();
    let error = Command::new(program)
        .arg0(arguments.next().unwrap_or_default())
        .args(arguments)
        .envs(SETTINGS)
        .exec();
    tracing::debug!(%error, "can't start again with less memory");
}
