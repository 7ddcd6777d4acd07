//! What is so slow that a gate has time for it only once.

/// Tells whether a test is left to the ordinary user, who may do less; `tests/run --long` runs it as root too.
pub(crate) fn is_left_to_the_user() -> bool {
    let is_left =
        rustix::process::geteuid().is_root() && std::env::var_os("MINI_BUILDD_TEST_LONG").is_none();
    if is_left {
        eprintln!("not tried as root: an ordinary user's tests/run does, and tests/run --long");
    }
    is_left
}
