//! The frames that sbuild's readers, people and programs, find their way by: pure text.
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Width between the corners of a box.
const WIDTH: usize = 78;

/// Box around the title of the whole log: `| hello 2.10-3 (amd64)      Sun, 22 Nov 2026 05:46:20 +0000 |`.
pub(super) fn title(text: &str, time: Timestamp) -> String {
    let time = rfc2822(time);
    let room = WIDTH.saturating_sub(3 + time.len());
    let rule = "=".repeat(WIDTH);
    // A title too long for its room makes the line longer, not unreadable.
    format!("+{rule}+\n| {text:<room$} {time} |\n+{rule}+\n\n")
}

/// Box that a section begins with.
pub(super) fn section(title: &str) -> String {
    let room = WIDTH - 2;
    let rule = "-".repeat(WIDTH);
    format!("\n+{rule}+\n| {title:<room$} |\n+{rule}+\n\n")
}

/// Underlined title of a part of a section.
pub(super) fn subsection(title: &str) -> String {
    format!("\n{title}\n{}\n\n", "-".repeat(title.chars().count()))
}

/// Line across the whole width.
pub(super) fn rule() -> String {
    format!("{}\n", "-".repeat(WIDTH + 2))
}

pub(super) fn rfc2822(time: Timestamp) -> String {
    time.to_zoned(TimeZone::UTC)
        .strftime("%a, %d %b %Y %H:%M:%S +0000")
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn box_is_eighty_columns_wide() {
        let lines = section("Update chroot");
        assert!(
            lines
                .lines()
                .filter(|line| !line.is_empty())
                .all(|line| line.len() == 80)
        );
        assert_eq!(
            lines.lines().nth(2).unwrap().trim_end_matches([' ', '|']),
            "| Update chroot"
        );
    }

    #[test]
    fn title_ends_with_the_time() {
        let time = "2026-11-22T05:46:20Z".parse().unwrap();
        let line = title("hello 2.10-3 (amd64)", time);
        assert_eq!(
            line.lines().nth(1).unwrap(),
            "| hello 2.10-3 (amd64)                         Sun, 22 Nov 2026 05:46:20 +0000 |"
        );
    }

    #[test]
    fn long_title_is_parted_from_the_time() {
        let time = "2026-11-22T05:46:20Z".parse().unwrap();
        let text = "mini-buildd-demo 1.20261122090743~test12+1 (amd64)";
        assert!(title(text, time).contains("(amd64) Sun, 22 Nov 2026"));
    }

    #[test]
    fn subsection_is_underlined() {
        assert_eq!(
            subsection("dpkg-buildpackage"),
            "\ndpkg-buildpackage\n-----------------\n\n"
        );
    }
}
