//! Progress that a person likes to watch, on standard error: one line a phase, live on a terminal.
use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Shows phases one after another and remembers how long each took.
pub(crate) struct Progress {
    spinner: Option<ProgressBar>,
    began: Instant,
    title: String,
    terminal: bool,
    seconds: Vec<(String, f64)>,
}

impl Progress {
    pub(crate) fn new() -> Progress {
        Progress {
            spinner: None,
            began: Instant::now(),
            title: String::new(),
            terminal: stderr().is_terminal(),
            seconds: Vec::new(),
        }
    }

    /// Begins a phase; `name` is its key in [`Progress::seconds`].
    pub(crate) fn begin(&mut self, name: &str, title: &str) {
        self.began = Instant::now();
        title.clone_into(&mut self.title);
        self.seconds.push((name.to_owned(), 0.0));
        if self.terminal {
            let style = ProgressStyle::with_template(
                "{spinner:.cyan} {prefix} {elapsed:>4}  {wide_msg:.dim}",
            )
            .unwrap_or_else(|_| ProgressStyle::default_spinner());
            let spinner = ProgressBar::new_spinner()
                .with_style(style)
                .with_prefix(title.to_owned());
            spinner.enable_steady_tick(Duration::from_millis(120));
            self.spinner = Some(spinner);
        } else {
            eprintln!("… {title}");
        }
    }

    /// What the phase is doing right now; shown on terminals only.
    pub(crate) fn detail(&self, text: &str) {
        if let Some(spinner) = &self.spinner {
            spinner.set_message(text.to_owned());
        }
    }

    /// A line that stays, within the phase.
    pub(crate) fn note(&self, text: &str) {
        match &self.spinner {
            Some(spinner) => spinner.println(format!("    {text}")),
            None => eprintln!("    {text}"),
        }
    }

    /// Ends the phase well; `result` says what there is now.
    pub(crate) fn end(&mut self, result: &str) {
        let took = self.began.elapsed().as_secs_f64();
        if let Some(last) = self.seconds.last_mut() {
            last.1 = (took * 1000.0).round() / 1000.0;
        }
        self.clear();
        eprintln!(
            "✓ {} ({took:.1} s){}{result}",
            self.title,
            if result.is_empty() { "" } else { ": " }
        );
    }

    /// Takes the live line away, so that an error stands alone.
    pub(crate) fn clear(&mut self) {
        if let Some(spinner) = self.spinner.take() {
            spinner.finish_and_clear();
        }
    }

    /// Seconds of each phase so far, in order.
    pub(crate) fn seconds(&self) -> &[(String, f64)] {
        &self.seconds
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
