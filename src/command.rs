//! Runs a host command; an error carries the command line and what it said.
use std::process::{Command, Output, Stdio};

/// Longest tail of what a failed command said that its error carries.
const STDERR_LENGTH: usize = 4096;

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("can't run {command}")]
    Start {
        command: String,
        source: std::io::Error,
    },
    #[error("{command} ended with {status}: {stderr}")]
    Failed {
        command: String,
        status: std::process::ExitStatus,
        stderr: String,
    },
}

/// Runs to the end with closed stdin; anything but success is an error.
pub fn run(command: &mut Command) -> Result<Output, Error> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|source| Error::Start {
            command: command_line(command),
            source,
        })?;
    if !output.status.success() {
        return Err(Error::Failed {
            command: command_line(command),
            status: output.status,
            stderr: tail(&output.stderr),
        });
    }
    Ok(output)
}

/// The command as it would be typed.
fn command_line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(|word| quoted(&word.to_string_lossy())).collect();
    words.join(" ")
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=+@%,^~".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.into();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

fn tail(stderr: &[u8]) -> String {
    let start = stderr.len().saturating_sub(STDERR_LENGTH);
    String::from_utf8_lossy(&stderr[start..]).trim().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Result<Output, Error> {
        run(Command::new("sh").args(["-c", script]))
    }

    #[test]
    fn output_of_a_successful_command_is_returned() {
        let output = shell("echo out; echo err >&2; cat").unwrap();
        assert_eq!(output.stdout, b"out\n");
        assert_eq!(output.stderr, b"err\n");
    }

    #[test]
    fn failure_names_command_status_and_what_it_said() {
        assert_eq!(
            shell("echo it\\'s broken >&2; exit 3")
                .unwrap_err()
                .to_string(),
            r"sh -c 'echo it\'\''s broken >&2; exit 3' ended with exit status: 3: it's broken"
        );
        let killed = shell("kill -9 $$").unwrap_err().to_string();
        assert!(killed.contains("signal: 9"), "{killed}");
    }

    #[test]
    fn only_the_end_of_long_complaints_is_kept() {
        let Err(Error::Failed { stderr, .. }) =
            shell("i=0; while [ $i -lt 2000 ]; do echo line $i >&2; i=$((i+1)); done; exit 1")
        else {
            panic!("expected a failure");
        };
        assert!(stderr.len() <= STDERR_LENGTH);
        assert!(stderr.ends_with("line 1999"), "{stderr}");
    }

    #[test]
    fn a_missing_program_is_named() {
        let fault = run(Command::new("/nonexistent/tool").arg("")).unwrap_err();
        assert_eq!(fault.to_string(), "can't run /nonexistent/tool ''");
    }
}
