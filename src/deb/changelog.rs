//! The top entry of a changelog, as a .changes carries it in its field Changes (deb-changelog(5)).

/// Text of the top version block: the lines after its heading, without the leading blanks of the field.
pub fn top_entry(_changes_field: &str) -> &str {
    todo!()
}
