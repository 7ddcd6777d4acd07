//! Asks on the terminal before something that can't be undone.
use std::io::{IsTerminal, Write as _, stderr, stdin};

/// `false` where there is no terminal to ask on.
pub(super) fn is_confirmed(question: &str) -> bool {
    if !stdin().is_terminal() {
        return false;
    }
    // Nobody is left to be told that standard error can't be written.
    let _ = write!(stderr(), "{question} Type yes: ");
    let mut answer = String::new();
    stdin().read_line(&mut answer).is_ok() && answer.trim() == "yes"
}
