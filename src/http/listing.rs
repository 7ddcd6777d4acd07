use std::ffi::OsStr;

use axum::http::StatusCode;
use axum::response::Response;
use maud::html;

use super::page;
use super::path::escape;
use super::tree::Entry;

/// Shows the files of a directory.
pub(super) fn response(title: &str, entries: &[Entry]) -> Response {
    let content = html! {
        table {
            tr { th { "Name" } th { "Size" } th { "Last modified" } }
            tr { td { a href="../" { "../" } } td {} td {} }
            @for entry in entries {
                @let slash = if entry.size.is_none() { "/" } else { "" };
                tr {
                    td { a href={ "./" (escape(&entry.name)) (slash) } { (shown(&entry.name)) (slash) } }
                    td { @if let Some(size) = entry.size { (size) } }
                    td { (entry.modified) }
                }
            }
        }
    };
    page::page(StatusCode::OK, title, &content)
}

/// A name as text: control characters, and those that turn the direction of writing, as escapes.
pub(super) fn shown(name: &OsStr) -> String {
    let mut text = String::new();
    for character in name.to_string_lossy().chars() {
        if character.is_control()
            || matches!(character, '\u{200e}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        {
            text.extend(character.escape_unicode());
        } else {
            text.push(character);
        }
    }
    text
}
