//! Runs host programs; the error carries the command line and what it said.
use std::process::Command;

use crate::Error;

/// Most of a failed command's standard error that is kept, in bytes.
const KEPT: usize = 4096;

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> Result<(), Error> {
    output(command).map(|_output| ())
}

/// Runs a command to its end; what it said.
pub(crate) fn output(command: &mut Command) -> Result<String, Error> {
    let output = command.output().map_err(|source| Error::StartTool {
        command: line(command),
        source,
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(Error::Tool {
        command: line(command),
        status: output.status,
        stderr: end_of(&output.stderr),
    })
}

fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    words.join(" ")
}

fn end_of(text: &[u8]) -> String {
    let end = &text[text.len().saturating_sub(KEPT)..];
    String::from_utf8_lossy(end).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_command_is_named_with_what_it_said() {
        let error = run(Command::new("sh").args(["-c", "echo no room >&2; exit 3"])).unwrap_err();

        assert_eq!(
            error.to_string(),
            "sh -c echo no room >&2; exit 3: exit status: 3: no room"
        );
    }

    #[test]
    fn a_missing_command_is_named() {
        let error = run(&mut Command::new("/nonexistent/mkfs")).unwrap_err();

        assert_eq!(error.to_string(), "can't run /nonexistent/mkfs");
    }
}
