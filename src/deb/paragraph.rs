use std::fmt;
use std::str::FromStr;

use super::Error;

/// Largest paragraph in bytes; the .changes of the largest Debian sources stay below 1 MiB.
const MAX_SIZE: usize = 8 << 20;
const MAX_FIELDS: usize = 500;

/// Fields of one control paragraph in their order (deb822(5)); names compare without case.
///
/// Strict where readers differ: armor, comments, carriage returns, NUL and repeated fields are refused, so that what we
/// read is what every other program reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Paragraph {
    /// Values begin after the colon and keep their blanks, so that what was read is written unchanged.
    fields: Vec<(String, String)>,
}

impl Paragraph {
    /// Parses any number of paragraphs.
    pub fn parse_all(text: &str) -> Result<Vec<Paragraph>, Error> {
        let mut paragraphs = Vec::new();
        let mut current = Reader::default();
        // Not `lines()`: it would take carriage returns off.
        for (index, line) in text.split('\n').enumerate() {
            if is_blank(line) {
                paragraphs.extend(current.finish());
                current = Reader::default();
            } else {
                current
                    .line(line)
                    .map_err(|fault| Error::Syntax(format!("line {}: {fault}", index + 1)))?;
            }
        }
        paragraphs.extend(current.finish());
        Ok(paragraphs)
    }

    /// Value of a field; continuation lines are joined by newlines, each without its leading blank.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.position(name).map(|at| value(&self.fields[at].1))
    }

    pub fn required(&self, name: &'static str) -> Result<&str, Error> {
        self.get(name).ok_or(Error::MissingField(name))
    }

    /// Parses a required field's value; a fault names the field.
    pub fn parsed<T: FromStr<Err: fmt::Display>>(&self, name: &'static str) -> Result<T, Error> {
        let value = self.required(name)?;
        value.parse().map_err(|fault: T::Err| Error::Field {
            field: name.to_owned(),
            fault: fault.to_string(),
        })
    }

    /// Sets or appends a field; a newline in `value` becomes a continuation line.
    ///
    /// No value can end the field: empty lines inside become `.`, as Description fields have it, and trailing newlines,
    /// carriage returns and NUL are dropped.
    pub fn set(&mut self, name: &str, value: impl AsRef<str>) {
        let value = clean(value.as_ref());
        match self.position(name) {
            Some(at) => self.fields[at].1 = value,
            None => self.push(self.fields.len(), name, value),
        }
    }

    /// Sets a field that stands before the first one for which `is_next` holds, else at the end.
    pub fn set_before(
        &mut self,
        is_next: impl Fn(&str) -> bool,
        name: &str,
        value: impl AsRef<str>,
    ) {
        self.remove(name);
        let at = self
            .fields
            .iter()
            .position(|(other, _)| is_next(other))
            .unwrap_or(self.fields.len());
        self.push(at, name, clean(value.as_ref()));
    }

    pub fn remove(&mut self, name: &str) -> Option<String> {
        self.position(name)
            .map(|at| value(&self.fields.remove(at).1).to_owned())
    }

    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields
            .iter()
            .map(|(name, raw)| (name.as_str(), value(raw)))
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.fields
            .iter()
            .position(|(other, _)| other.eq_ignore_ascii_case(name))
    }

    fn push(&mut self, at: usize, name: &str, value: String) {
        assert!(is_field_name(name), "{name:?} is no field name");
        self.fields.insert(at, (name.to_owned(), value));
    }
}

/// Parses exactly one paragraph.
impl FromStr for Paragraph {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        let mut paragraphs = Paragraph::parse_all(text)?;
        match (paragraphs.pop(), paragraphs.len()) {
            (Some(paragraph), 0) => Ok(paragraph),
            (last, others) => Err(Error::Paragraphs(others + usize::from(last.is_some()))),
        }
    }
}

/// Writes the fields, each ended by a newline; an empty value as `Name:`.
impl fmt::Display for Paragraph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.fields {
            let mut lines = value.split('\n');
            writeln!(f, "{name}:{}", lines.next().unwrap_or_default())?;
            for line in lines {
                writeln!(f, " {line}")?;
            }
        }
        Ok(())
    }
}

/// Collects the lines of one paragraph.
#[derive(Default)]
struct Reader {
    paragraph: Paragraph,
    size: usize,
}

impl Reader {
    fn line(&mut self, line: &str) -> Result<(), &'static str> {
        self.size += line.len();
        if self.size > MAX_SIZE {
            return Err("the paragraph is too long");
        }
        if line.contains('\r') || line.contains('\0') {
            return Err("holds a carriage return or NUL");
        }
        if let Some(continuation) = line.strip_prefix([' ', '\t']) {
            let (_, value) = self
                .paragraph
                .fields
                .last_mut()
                .ok_or("a continuation without a field")?;
            value.push('\n');
            value.push_str(continuation);
            return Ok(());
        }
        if line.starts_with("-----") {
            return Err("armor is not part of a control file");
        }
        let (name, value) = line.split_once(':').ok_or("no colon")?;
        if !is_field_name(name) {
            return Err("not a field name");
        }
        if self.paragraph.position(name).is_some() {
            return Err("the field is there twice");
        }
        if self.paragraph.fields.len() == MAX_FIELDS {
            return Err("too many fields");
        }
        self.paragraph
            .fields
            .push((name.to_owned(), value.to_owned()));
        Ok(())
    }

    fn finish(self) -> Option<Paragraph> {
        (!self.paragraph.fields.is_empty()).then_some(self.paragraph)
    }
}

/// Policy 5.1: printable ASCII without blank and colon, not beginning with `#` or `-`.
fn is_field_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(['#', '-'])
        && name.bytes().all(|b| b.is_ascii_graphic() && b != b':')
}

fn is_blank(line: &str) -> bool {
    line.bytes().all(|b| b == b' ' || b == b'\t')
}

/// Takes the blanks off that stand around it.
fn value(raw: &str) -> &str {
    raw.trim_matches([' ', '\t'])
}

/// A value as it is kept.
fn clean(text: &str) -> String {
    if !text.contains(['\n', '\r', '\0']) && !value(text).is_empty() {
        return format!(" {}", value(text));
    }
    let text = text.replace(['\r', '\0'], "");
    let mut lines = text.trim_end_matches('\n').split('\n');
    let first = value(lines.next().unwrap_or_default());
    let blank = if first.is_empty() { "" } else { " " };
    lines.fold(format!("{blank}{first}"), |mut text, line| {
        text.push('\n');
        text.push_str(if is_blank(line) { "." } else { line });
        text
    })
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const DSC: &str = "\
Format: 3.0 (native)
Source: mbd-test-cpp
Architecture: any
Maintainer: Stephan Sürken <absurd@debian.org>
Package-List:
 mbd-test-cpp deb misc optional arch=any
Files:
 280ff82aee9c886a42ff0ae446ee85df 3280 mbd-test-cpp_1.tar.xz
";
    const PACKAGES: &str = "\
Package: hello
Version: 2.10-3
Description: example package based on GNU hello
 The GNU hello program produces a familiar, friendly greeting.  It
 allows non-programmers to use a classic computer science tool.
 .
   indented: verbatim
Homepage: https://www.gnu.org/software/hello/
";

    #[test]
    fn real_files_survive_a_round_trip() {
        for text in [
            DSC,
            PACKAGES,
            "X-Mini-Buildd-Add-Depends:\nDistribution: x\n",
            "AlsoAcceptFor: \nDescription: GNU dbm \nFiles: \n a  \nOdd:x\n",
        ] {
            assert_eq!(text.parse::<Paragraph>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn names_compare_without_case_and_lines_keep_their_indent() {
        let paragraph: Paragraph = PACKAGES.parse().unwrap();
        assert_eq!(paragraph.get("VERSION"), Some("2.10-3"));
        let description = paragraph.get("Description").unwrap();
        assert!(description.ends_with("\n.\n  indented: verbatim"));
        assert_eq!(
            paragraph.required("Source"),
            Err(Error::MissingField("Source"))
        );
    }

    #[test]
    fn blanks_around_a_value_are_not_part_of_it() {
        let paragraph: Paragraph = "A:  x \nB: \nC:x\n".parse().unwrap();
        let values: Vec<&str> = paragraph.fields().map(|(_, value)| value).collect();
        assert_eq!(values, ["x", "", "x"]);
    }

    #[test]
    fn lists_begin_with_an_empty_line() {
        let paragraph: Paragraph = DSC.parse().unwrap();
        assert!(paragraph.get("Files").unwrap().starts_with("\n280ff82a"));
    }

    #[test]
    fn several_paragraphs_are_told_apart_even_by_blanks() {
        assert_eq!(
            Paragraph::parse_all("\nA: 1\n \t\nB: 2\n\n\n")
                .unwrap()
                .len(),
            2
        );
        assert_eq!(
            "A: 1\n\nB: 2\n".parse::<Paragraph>(),
            Err(Error::Paragraphs(2))
        );
        assert_eq!("".parse::<Paragraph>(), Err(Error::Paragraphs(0)));
    }

    #[test]
    fn texts_that_readers_take_differently_are_refused() {
        for (text, fault) in [
            ("A: 1\na: 2\n", "line 2: the field is there twice"),
            (
                "-----BEGIN PGP SIGNED MESSAGE-----\n",
                "line 1: armor is not part of a control file",
            ),
            ("A: 1\r\n", "line 1: holds a carriage return or NUL"),
            ("A: 1\0\n", "line 1: holds a carriage return or NUL"),
            (" x\n", "line 1: a continuation without a field"),
            ("A: 1\n# comment: x\n", "line 2: not a field name"),
            ("A b: 1\n", "line 1: not a field name"),
            ("word\n", "line 1: no colon"),
            (": x\n", "line 1: not a field name"),
        ] {
            assert_eq!(
                text.parse::<Paragraph>(),
                Err(Error::Syntax(fault.into())),
                "{text:?}"
            );
        }
    }

    #[test]
    fn size_is_bounded() {
        let long = format!("A: {}\n", "x".repeat(MAX_SIZE));
        assert!(long.parse::<Paragraph>().is_err());
        let fields: Vec<String> = (0..=MAX_FIELDS).map(|n| format!("F{n}: x\n")).collect();
        let many = fields.concat();
        assert!(many.parse::<Paragraph>().is_err());
    }

    #[test]
    fn a_value_cannot_inject_a_field_or_a_paragraph() {
        let mut paragraph = Paragraph::default();
        paragraph.set("Error", "bad\nStatus: good\n\n \nA: 1\r\n\n");
        paragraph.set("Last", "\n");
        let text = paragraph.to_string();
        assert_eq!(text, "Error: bad\n Status: good\n .\n .\n A: 1\nLast:\n");
        assert_eq!(text.parse::<Paragraph>().unwrap(), paragraph);
    }

    #[test]
    fn setting_keeps_the_place_and_removing_returns_the_value() {
        let mut paragraph: Paragraph = "A: 1\nB: 2\nC: 3\n".parse().unwrap();
        paragraph.set("a", "4");
        paragraph.set_before(|name| name == "C", "X", "5");
        assert_eq!(paragraph.remove("b"), Some("2".into()));
        assert_eq!(paragraph.to_string(), "A: 4\nX: 5\nC: 3\n");
    }

    proptest! {
        #[test]
        fn no_value_ends_its_field(values in vec("[ -~\\n\\t\\r\0:#.é-]{0,60}", 1..9)) {
            let mut paragraph = Paragraph::default();
            for (number, value) in values.into_iter().enumerate() {
                paragraph.set(&format!("Field{number}"), value);
            }
            let text = paragraph.to_string();
            prop_assert_eq!(text.parse::<Paragraph>().unwrap(), paragraph);
        }

        #[test]
        fn what_is_read_is_written_unchanged(text in "([A-C]{1,2}:[ -~]{0,9}\n([ \t][!-~][ -~]{0,9}\n){0,2}){1,4}") {
            if let Ok(paragraph) = text.parse::<Paragraph>() {
                prop_assert_eq!(paragraph.to_string(), text.replace("\n\t", "\n "));
            }
        }
    }
}
