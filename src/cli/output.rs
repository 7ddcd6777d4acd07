//! Standard output, closed early by whoever reads it or not.
use std::io::{self, Write as _};

#[derive(Debug, thiserror::Error)]
#[error("can't write to standard output")]
pub(super) struct Error(#[source] io::Error);

/// Writes a text; that the reader went away is no error.
pub(super) fn write(text: &str) -> Result<(), Error> {
    let mut output = io::stdout().lock();
    match output
        .write_all(text.as_bytes())
        .and_then(|()| output.flush())
    {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(Error),
    }
}

/// Lines of columns, each as wide as its widest text.
pub(super) fn table(rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let texts = rows.iter().filter_map(|row| row.get(column));
        texts.map(|text| text.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..rows.first().map_or(0, Vec::len)).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths);
        let cells: Vec<String> = cells
            .map(|(text, &width)| format!("{text:width$}"))
            .collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}
