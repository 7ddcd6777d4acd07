//! Passwords from people and from files; never from the command line, which everybody on the machine sees.
use std::io::{self, BufRead as _, IsTerminal as _, Write as _, stderr, stdin};
use std::path::{Path, PathBuf};

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("can't read the password in {path}", path = path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{path} holds no password in its first line", path = path.display())]
    Empty { path: PathBuf },
    #[error("can't ask for a password")]
    Ask(#[source] io::Error),
    #[error("the two passwords differ; nothing was changed")]
    Differ,
}

/// First line of a file; `-` is standard input.
pub(super) fn read(path: &Path) -> Result<String, Error> {
    let text = if path == Path::new("-") {
        let mut line = String::new();
        stdin().lock().read_line(&mut line).map(|_| line)
    } else {
        std::fs::read_to_string(path)
    };
    let text = text.map_err(|source| Error::File {
        path: path.to_owned(),
        source,
    })?;
    let line = text.lines().next().unwrap_or_default();
    if line.is_empty() {
        return Err(Error::Empty {
            path: path.to_owned(),
        });
    }
    Ok(line.to_owned())
}

/// Asks on the terminal, which does not show it; `None` where there is none.
pub(super) fn ask(question: &str) -> Result<Option<String>, Error> {
    if !stdin().is_terminal() {
        return Ok(None);
    }
    let asked = || {
        write!(stderr(), "{question}")?;
        let _hidden = Hidden::begin()?;
        let mut line = String::new();
        stdin().read_line(&mut line)?;
        writeln!(stderr())?;
        Ok(line.trim_end_matches(['\r', '\n']).to_owned())
    };
    asked().map(Some).map_err(Error::Ask)
}

/// As [`ask`], of a new one: a slip of the finger locks nobody out.
pub(super) fn ask_twice(question: &str) -> Result<Option<String>, Error> {
    let Some(password) = ask(question)? else {
        return Ok(None);
    };
    if ask("Again: ")?.as_ref() != Some(&password) {
        return Err(Error::Differ);
    }
    Ok(Some(password))
}

/// While it lives, the terminal shows nothing of what is typed.
struct Hidden(rustix::termios::Termios);

impl Hidden {
    fn begin() -> io::Result<Hidden> {
        let shown = tcgetattr(stdin())?;
        let mut hidden = shown.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        tcsetattr(stdin(), OptionalActions::Flush, &hidden)?;
        Ok(Hidden(shown))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // The terminal is gone, then.
        let _ = tcsetattr(stdin(), OptionalActions::Now, &self.0);
    }
}
