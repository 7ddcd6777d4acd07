use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::api::{json, markdown, openapi};

use super::Failure;

/// Writes what the manual has from the program: api.md and openapi.json.
#[derive(Args, Debug)]
pub(super) struct Options {
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

#[derive(Debug, thiserror::Error)]
#[error("can't write {path}")]
struct Error {
    path: PathBuf,
    source: io::Error,
}

pub(super) fn run(options: &Options) -> Result<ExitCode, Failure> {
    for (name, text) in documents() {
        let path = options.directory.join(name);
        fs::write(&path, text).map_err(|source| Error { path, source })?;
    }
    Ok(ExitCode::SUCCESS)
}

fn documents() -> [(&'static str, String); 2] {
    let openapi = json::plain(&openapi::document()) + "\n";
    [("api.md", markdown::document()), ("openapi.json", openapi)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn committed_documents_are_those_of_the_program() {
        let docs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
        for (name, text) in documents() {
            let committed = fs::read_to_string(docs.join(name)).unwrap_or_default();
            assert!(
                committed == text,
                "docs/{name} is not what the program writes; run: cargo run -- documents docs"
            );
        }
    }
}
