//! The top entry of a changelog, as a .changes carries it in its field Changes (deb-changelog(5)).

/// Text of the top version block: the lines after its heading, without the leading blanks of the field.
pub fn top_entry(changes_field: &str) -> &str {
    let headings: Vec<usize> = line_starts(changes_field)
        .filter(|at| is_heading(&changes_field[*at..]))
        .collect();
    let Some(first) = headings.first() else {
        return changes_field;
    };
    let begin = changes_field[*first..]
        .find('\n')
        .map_or(changes_field.len(), |end| first + end + 1);
    let end = headings.get(1).copied().unwrap_or(changes_field.len());
    &changes_field[begin..end]
}

fn line_starts(text: &str) -> impl Iterator<Item = usize> {
    std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1))
}

/// Entries are indented and empty lines are dots; what stands at the margin is a heading.
fn is_heading(rest: &str) -> bool {
    !rest.is_empty() && !rest.starts_with([' ', '\t', '\n', '.'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deb::Paragraph;

    #[test]
    fn only_the_top_version_counts() {
        let text = "\
Changes:
 hello (2.10-3~test13+1) trixie-test-unstable; urgency=low
 .
   * MINI_BUILDD_OPTION: lintian-mode=ignore
   * Rebuild.
 .
 hello (2.10-3) unstable; urgency=low
 .
   * MINI_BUILDD_OPTION: auto-ports=trixie-test-unstable
";
        let paragraph: Paragraph = text.parse().unwrap();
        assert_eq!(
            top_entry(paragraph.get("Changes").unwrap()),
            ".\n  * MINI_BUILDD_OPTION: lintian-mode=ignore\n  * Rebuild.\n.\n"
        );
    }

    #[test]
    fn a_text_without_heading_is_its_own_entry() {
        assert_eq!(top_entry("\n  * x"), "\n  * x");
        assert_eq!(top_entry(""), "");
        assert_eq!(top_entry("hello (1) x; urgency=low"), "");
    }
}
