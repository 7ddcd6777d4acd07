//! What debootstrap says: all of it into the log, its messages to who waits, the end into the error.
use std::collections::VecDeque;
use std::io::{self, Write};

/// Lines that a failure is told with.
const KEPT: usize = 12;

pub(super) struct Output<'a, Log> {
    log: Log,
    written: io::Result<()>,
    last: VecDeque<String>,
    progress: &'a mut dyn FnMut(&str),
}

impl<'a, Log: Write> Output<'a, Log> {
    pub(super) fn new(log: Log, progress: &'a mut dyn FnMut(&str)) -> Self {
        Output {
            log,
            written: Ok(()),
            last: VecDeque::new(),
            progress,
        }
    }

    pub(super) fn line(&mut self, bytes: &[u8]) {
        // A full disk is told at the end; debootstrap must not hang meanwhile.
        if self.written.is_ok() {
            self.written = self.log.write_all(bytes);
        }
        let line = String::from_utf8_lossy(bytes).trim_end().to_owned();
        if let Some(message) = line.strip_prefix("I: ") {
            (self.progress)(message);
        }
        if self.last.len() == KEPT {
            self.last.pop_front();
        }
        self.last.push_back(line);
    }

    /// The last lines, if all were logged.
    pub(super) fn end(self) -> io::Result<String> {
        self.written.map(|()| Vec::from(self.last).join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_passed_on_and_all_is_logged() {
        let lines = ["I: Retrieving InRelease \n", "W: odd\n", "I: Checking"];
        let (mut log, mut messages) = (Vec::new(), Vec::new());
        let mut note = |message: &str| messages.push(message.to_owned());
        let mut output = Output::new(&mut log, &mut note);
        for line in lines {
            output.line(line.as_bytes());
        }

        assert_eq!(
            output.end().unwrap(),
            "I: Retrieving InRelease\nW: odd\nI: Checking"
        );
        assert_eq!(messages, ["Retrieving InRelease", "Checking"]);
        assert_eq!(log, lines.concat().as_bytes());
    }

    #[test]
    fn a_failure_is_told_with_the_last_lines() {
        let mut ignore = |_: &str| {};
        let mut output = Output::new(io::sink(), &mut ignore);
        for number in 0..100 {
            output.line(format!("{number}\n").as_bytes());
        }

        assert_eq!(output.end().unwrap().lines().next(), Some("88"));
    }
}
