//! Holds the layout of docs/architecture.md: who may use whom, how files are named, how long they get.
use std::fs;
use std::path::{Path, PathBuf};

/// Modules of `src/`, lowest first; a module uses those of lower ranks only, never one of its own rank.
const RANKS: [&[&str]; 16] = [
    // 0 formats
    &["cause", "deb", "endpoint"],
    // 1 model
    &["model"],
    // 2 outside
    &["home", "command", "certificate", "fault", "shares"],
    &["store", "pgp", "upload", "fetch", "mail"],
    &["accounts", "keys", "archive", "message"],
    // 3 engine
    &["chroots", "remotes", "events", "maintenance"],
    &["build"],
    &["incoming", "repositories"],
    &["lifecycle"],
    &["packager", "builder", "setup"],
    &["cron"],
    &["instance"],
    // 4 calls
    &["api"],
    // 5 front ends
    &["web"],
    &["http", "ftp"],
    &["cli"],
];

/// Layers 0 and 1 are free of these.
const PURE: [&str; 3] = ["deb", "endpoint", "model"];
const IMPURE: [&str; 9] = [
    "std::fs",
    "std::process",
    "std::env",
    "std::thread",
    "tokio",
    "rustix",
    "Timestamp::now",
    "::now()",
    "async fn",
];

const FORBIDDEN_NAMES: [&str; 7] = [
    "util", "utils", "common", "helpers", "misc", "types", "errors",
];
const MAX_LINES: usize = 500;
const UNSAFE_FILE: &str = "sandbox/src/syscall.rs";

fn rank(module: &str) -> Option<usize> {
    RANKS.iter().position(|rank| rank.contains(&module))
}

/// Faults of one file, whose path is relative to the root of the tree.
fn faults(path: &str, text: &str) -> Vec<String> {
    let code = without_comments_and_strings(text);
    let mut faults = Vec::new();
    if text.lines().count() > MAX_LINES {
        faults.push(format!("has more than {MAX_LINES} lines"));
    }
    let path_words: Vec<&str> = path.trim_end_matches(".rs").split('/').collect();
    if path_words.last() == Some(&"mod") {
        faults.push("is a mod.rs".into());
    }
    for word in path_words
        .iter()
        .filter(|word| FORBIDDEN_NAMES.contains(word))
    {
        faults.push(format!("{word} says nothing about its matter"));
    }
    if path != UNSAFE_FILE && has_unsafe(&code) {
        faults.push(format!("unsafe stands outside {UNSAFE_FILE}"));
    }
    if let Some((module, depth)) = module_of(path) {
        faults.extend(module_faults(module, depth, &code));
    }
    faults
}

/// Module below the crate's root that a file belongs to, and how deep the file's own module lies.
fn module_of(path: &str) -> Option<(&str, usize)> {
    let inner = path.strip_prefix("src/")?.strip_suffix(".rs")?;
    let module = inner.split('/').next()?;
    (!["main", "lib"].contains(&module)).then(|| (module, inner.split('/').count()))
}

fn module_faults(module: &str, depth: usize, code: &str) -> Vec<String> {
    let Some(own) = rank(module) else {
        return vec![format!("{module} has no rank")];
    };
    let mut faults = Vec::new();
    for used in used_modules(depth, code)
        .iter()
        .filter(|used| *used != module)
    {
        match rank(used) {
            None => faults.push(format!("uses crate::{used}, which has no rank")),
            Some(rank) if rank > own => faults.push(format!("uses {used} upwards")),
            Some(rank) if rank == own => faults.push(format!("uses {used} sideways")),
            Some(_) => {}
        }
    }
    if PURE.contains(&module) {
        let tests = code.find("#[cfg(test)]").unwrap_or(code.len());
        for word in IMPURE.iter().filter(|word| code[..tests].contains(**word)) {
            faults.push(format!("{word} has no place in {module}"));
        }
    }
    faults
}

/// First segments of `crate::…` paths, and of `super::…` paths that climb to the crate's root.
fn used_modules(depth: usize, code: &str) -> Vec<String> {
    let mut used: Vec<String> = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        if !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$') {
            used.extend(first_segments(&code[at + "crate::".len()..]));
        }
    }
    let climb = "super::".repeat(depth);
    for (at, _) in code.match_indices(&climb) {
        let segments = first_segments(&code[at + climb.len()..]);
        // In an inline module the same chain ends lower; only known names are meant for the root.
        used.extend(segments.into_iter().filter(|name| rank(name).is_some()));
    }
    used.sort();
    used.dedup();
    used
}

/// `a::b` → a; `{a::b, c}` → a, c.
fn first_segments(path: &str) -> Vec<String> {
    let word = |text: &str| -> String {
        let word = text.trim_start().chars();
        word.take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect()
    };
    let Some(group) = path.strip_prefix('{') else {
        return vec![word(path)];
    };
    let mut segments = vec![word(group)];
    let mut depth = 0;
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => segments.push(word(&group[at + 1..])),
            _ => {}
        }
    }
    segments.retain(|segment| !segment.is_empty() && segment != "self");
    segments
}

fn has_unsafe(code: &str) -> bool {
    code.match_indices("unsafe").any(|(at, word)| {
        let is_part = code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let rest = code[at + word.len()..].trim_start();
        let opens = ["{", "fn ", "impl ", "impl<", "extern ", "trait "];
        !is_part && (opens.iter().any(|open| rest.starts_with(open)) || rest.starts_with("_code)"))
    })
}

/// Blanks them out; good enough for code that rustfmt has seen.
fn without_comments_and_strings(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = String::new();
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(length) = raw_string(rest).filter(|_| !is_word(bytes, at)) {
            length
        } else if rest.starts_with('"') {
            string(rest)
        } else if rest.starts_with("'\\''") || rest.starts_with("'\"'") {
            rest.find('\'')
                .map_or(1, |_| if rest.starts_with("'\"") { 3 } else { 4 })
        } else {
            0
        };
        if skipped > 0 {
            code.push(' ');
            at += skipped;
        } else {
            let c = rest.chars().next().expect("at < text.len()");
            code.push(c);
            at += c.len_utf8();
        }
    }
    code
}

fn is_word(bytes: &[u8], at: usize) -> bool {
    at > 0 && bytes[at - 1].is_ascii_alphanumeric() && bytes[at - 1] != b'b'
}

/// Length of a `"…"`.
fn string(rest: &str) -> usize {
    let mut escaped = true;
    for (at, c) in rest.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// Length of an `r"…"` or `r#"…"#`.
fn raw_string(rest: &str) -> Option<usize> {
    let inner = rest.strip_prefix('r')?;
    let hashes = inner.len() - inner.trim_start_matches('#').len();
    let content = inner[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = content.find(&end)?;
    Some(1 + hashes + 1 + length + end.len())
}

fn rust_files(directory: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    for entry in entries.map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            rust_files(&entry, found);
        } else if entry.extension().is_some_and(|ending| ending == "rs") {
            found.push(entry);
        }
    }
}

#[test]
fn the_tree_keeps_its_layers() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for directory in ["src", "sandbox", "backends", "tests"] {
        rust_files(&root.join(directory), &mut files);
    }
    assert!(files.len() > 50, "only {} files found", files.len());
    let mut all = Vec::new();
    for file in files {
        let path = file
            .strip_prefix(root)
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        let text = fs::read_to_string(&file).unwrap();
        all.extend(
            faults(&path, &text)
                .iter()
                .map(|fault| format!("{path}: {fault}")),
        );
    }
    assert!(all.is_empty(), "\n{}", all.join("\n"));
}

#[test]
fn uses_upwards_and_sideways_are_found() {
    for (path, text, fault) in [
        (
            "src/deb/name.rs",
            "use crate::model::Event;",
            "uses model upwards",
        ),
        (
            "src/deb.rs",
            "fn f() -> super::endpoint::Error {}",
            "uses endpoint sideways",
        ),
        (
            "src/store/items.rs",
            "use crate::{deb, pgp::{a, home}, model};",
            "uses pgp sideways",
        ),
        ("src/home.rs", "use super::store;", "uses store upwards"),
        (
            "src/store/items.rs",
            "use super::super::archive;",
            "uses archive upwards",
        ),
        (
            "src/api.rs",
            "pub(in crate::cli) fn f() {}",
            "uses cli upwards",
        ),
        (
            "src/ftp.rs",
            "use crate::Thing;",
            "uses crate::Thing, which has no rank",
        ),
        ("src/new.rs", "", "new has no rank"),
        (
            "src/model.rs",
            "use std::fs;",
            "std::fs has no place in model",
        ),
        (
            "src/model/key.rs",
            "Timestamp::now",
            "Timestamp::now has no place in model",
        ),
    ] {
        assert_eq!(faults(path, text), [fault], "{path}");
    }
}

#[test]
fn lawful_uses_are_let_through() {
    for (path, text) in [
        (
            "src/model.rs",
            "use crate::deb::Paragraph;\nuse crate::model::key;",
        ),
        ("src/cli.rs", "use crate::{api, http::Router, instance};"),
        (
            "src/model/key.rs",
            "#[cfg(test)]\nmod tests { use super::*; use std::fs; }",
        ),
        (
            "src/deb.rs",
            "// use crate::cli;\nconst A: &str = \"crate::cli\"; const B: &str = r#\"crate::cli\"#;",
        ),
        ("src/deb/name.rs", "use super::Error; use mycrate::cli;"),
        ("src/main.rs", "use mini_buildd::cli; use crate::anything;"),
        (
            "src/deb.rs",
            "const QUOTE: char = '\"'; // \" crate::cli\nfn f() {}",
        ),
    ] {
        assert!(
            faults(path, text).is_empty(),
            "{path}: {:?}",
            faults(path, text)
        );
    }
}

#[test]
fn unsafe_long_and_nameless_files_are_found() {
    let long = "\n".repeat(MAX_LINES + 1);
    let unsafety = format!("unsafe stands outside {UNSAFE_FILE}");
    for (path, text, fault) in [
        (
            "backends/src/dir.rs",
            "fn f() { unsafe { g() } }",
            unsafety.as_str(),
        ),
        ("sandbox/src/step.rs", "#![allow(unsafe_code)]", &unsafety),
        ("sandbox/src/step.rs", &long, "has more than 500 lines"),
        ("src/deb/util.rs", "", "util says nothing about its matter"),
        (
            "src/model/helpers/x.rs",
            "",
            "helpers says nothing about its matter",
        ),
        ("src/model/mod.rs", "", "is a mod.rs"),
    ] {
        assert_eq!(faults(path, text), [fault], "{path}");
    }
    assert!(faults(UNSAFE_FILE, "#![expect(unsafe_code)] unsafe { f() }").is_empty());
    assert!(faults("src/deb.rs", "// unsafe { }\nlet unsafe_code = 1;").is_empty());
}
