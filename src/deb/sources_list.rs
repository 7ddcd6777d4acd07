use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Error, Paragraph};

/// One apt source (sources.list(5)).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// `deb` or `deb-src`.
    pub types: Vec<String>,
    pub uri: String,
    /// Ends with a slash where the archive is flat; it has no components then.
    pub suite: String,
    pub components: Vec<String>,
    /// Option names as in the one-line style: `signed-by`, `check-valid-until`.
    pub options: Vec<(String, String)>,
}

impl Source {
    /// Reads one-line style files; comments are skipped.
    pub fn parse_list(text: &str) -> Result<Vec<Source>, Error> {
        let mut sources = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let words = words(line);
            if !words.is_empty() {
                sources.push(from_words(&words).map_err(|fault| {
                    Error::Syntax(format!("sources.list line {}: {fault}", index + 1))
                })?);
            }
        }
        Ok(sources)
    }

    /// Reads deb822 style files; disabled stanzas are skipped.
    pub fn parse_deb822(text: &str) -> Result<Vec<Source>, Error> {
        let without_comments: String = text
            .split_inclusive('\n')
            .filter(|line| !line.starts_with('#'))
            .collect();
        let mut sources = Vec::new();
        for stanza in Paragraph::parse_all(&without_comments)? {
            if stanza.get("Enabled").is_none_or(is_yes) {
                sources.extend(from_stanza(&stanza)?);
            }
        }
        Ok(sources)
    }

    /// The stanza of a .sources file.
    pub fn to_deb822(&self) -> String {
        let mut stanza = Paragraph::default();
        stanza.set("Types", self.types.join(" "));
        stanza.set("URIs", self.uri.as_str());
        stanza.set("Suites", self.suite.as_str());
        if !self.components.is_empty() {
            stanza.set("Components", self.components.join(" "));
        }
        for (name, value) in &self.options {
            let value = if is_list(name) {
                value.replace(',', " ")
            } else {
                value.clone()
            };
            stanza.set(&field_of(name), value);
        }
        stanza.to_string()
    }

    pub fn option(&self, name: &str) -> Option<&str> {
        let (_, value) = self.options.iter().find(|(other, _)| other == name)?;
        Some(value)
    }

    /// Tells whether it is for `architecture`; most sources are for all that their archive has.
    pub fn is_for(&self, architecture: &str) -> bool {
        let Some(listed) = self.option("arch") else {
            return true;
        };
        let mut listed = listed.split([',', ' ']);
        listed.any(|listed| listed == architecture)
    }

    /// URL of the file that names its indices and their digests.
    pub fn release_url(&self) -> String {
        let uri = self.uri.trim_end_matches('/');
        let suite = self.suite.trim_matches('/');
        if self.suite.ends_with('/') {
            return format!("{uri}/{suite}/InRelease");
        }
        format!("{uri}/dists/{suite}/InRelease")
    }

    fn validated(self) -> Result<Source, String> {
        if let Some(kind) = self
            .types
            .iter()
            .find(|kind| !["deb", "deb-src"].contains(&kind.as_str()))
        {
            return Err(format!("unknown type {kind:?}"));
        }
        if !self.uri.contains(':') {
            return Err(format!("{:?} is no URI", self.uri));
        }
        match (self.suite.ends_with('/'), self.components.is_empty()) {
            (true, false) => Err(format!("flat suite {:?} can't have components", self.suite)),
            (false, true) => Err(format!("suite {:?} has no component", self.suite)),
            (true, true) | (false, false) => Ok(self),
        }
    }
}

/// Writes one line a type in one-line style; brackets are always there, as stock has it: `deb [] URI SUITE main`.
///
/// A key that is embedded in `signed-by` has no one-line form and is left out; apt then refuses the source.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options: Vec<String> = self
            .options
            .iter()
            .filter(|(_, value)| !value.contains('\n'))
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        for (index, kind) in self.types.iter().enumerate() {
            let newline = if index == 0 { "" } else { "\n" };
            let options = options.join(" ");
            write!(f, "{newline}{kind} [{options}] {} {}", self.uri, self.suite)?;
            for component in &self.components {
                write!(f, " {component}")?;
            }
        }
        Ok(())
    }
}

/// Words of a line as apt splits them: brackets and quotes keep blanks together, `#` begins a comment elsewhere.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let (mut in_brackets, mut in_quotes) = (false, false);
    for c in line.chars() {
        match c {
            '"' => in_quotes = !in_quotes,
            '#' if !in_brackets && !in_quotes => break,
            c if c.is_ascii_whitespace() && !in_brackets && !in_quotes => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            c => {
                in_brackets = c == '[' || in_brackets && c != ']';
                word.push(c);
            }
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

fn from_words(words: &[String]) -> Result<Source, String> {
    let (kind, rest) = words.split_first().ok_or("is empty")?;
    let (options, rest) = match rest.split_first() {
        Some((first, rest)) if first.starts_with('[') => {
            let inner = first
                .strip_prefix('[')
                .and_then(|text| text.strip_suffix(']'))
                .ok_or_else(|| format!("{first:?} has no closing bracket"))?;
            (options(inner)?, rest)
        }
        _ => (Vec::new(), rest),
    };
    let [uri, suite, components @ ..] = rest else {
        return Err("URI and suite are needed".into());
    };
    let source = Source {
        types: vec![kind.clone()],
        uri: uri.clone(),
        suite: suite.clone(),
        components: components.to_vec(),
        options,
    };
    source.validated()
}

fn options(text: &str) -> Result<Vec<(String, String)>, String> {
    text.split_ascii_whitespace()
        .map(|option| match option.split_once('=') {
            Some((name, value)) => Ok((name.to_ascii_lowercase(), value.to_owned())),
            None => Err(format!("option {option:?} has no value")),
        })
        .collect()
}

/// One source for each URI and suite.
fn from_stanza(stanza: &Paragraph) -> Result<Vec<Source>, Error> {
    let list = |field: &'static str| -> Result<Vec<String>, Error> {
        let words = stanza.required(field)?.split_ascii_whitespace();
        Ok(words.map(str::to_owned).collect())
    };
    let components = stanza.get("Components").unwrap_or_default();
    let components: Vec<String> = components
        .split_ascii_whitespace()
        .map(str::to_owned)
        .collect();
    let options: Vec<(String, String)> = stanza
        .fields()
        .filter_map(|(field, value)| Some((option_of(field)?, value)))
        .map(|(name, value)| {
            let words: Vec<&str> = value.split_ascii_whitespace().collect();
            let value = if is_list(&name) {
                words.join(",")
            } else {
                value.trim().to_owned()
            };
            (name, value)
        })
        .collect();
    let (types, suites) = (list("Types")?, list("Suites")?);
    let mut sources = Vec::new();
    for uri in list("URIs")? {
        for suite in &suites {
            let source = Source {
                types: types.clone(),
                uri: uri.clone(),
                suite: suite.clone(),
                components: components.clone(),
                options: options.clone(),
            };
            sources.push(source.validated().map_err(Error::Syntax)?);
        }
    }
    Ok(sources)
}

/// Field names of options whose one-line names are not just the field in small letters.
const RENAMED: [(&str, &str); 3] = [
    ("Architectures", "arch"),
    ("Languages", "lang"),
    ("Targets", "target"),
];

fn option_of(field: &str) -> Option<String> {
    let name = field.to_ascii_lowercase();
    if ["types", "uris", "suites", "components", "enabled"].contains(&name.as_str())
        || name.starts_with("x-")
    {
        return None;
    }
    let renamed = RENAMED
        .iter()
        .find(|(other, _)| other.eq_ignore_ascii_case(field));
    Some(renamed.map_or(name, |(_, option)| (*option).to_owned()))
}

fn field_of(option: &str) -> String {
    if let Some((field, _)) = RENAMED.iter().find(|(_, name)| *name == option) {
        return (*field).to_owned();
    }
    let parts = option.split('-').map(|part| {
        let (first, rest) = part.split_at(part.len().min(1));
        first.to_ascii_uppercase() + rest
    });
    parts.collect::<Vec<_>>().join("-")
}

fn is_list(option: &str) -> bool {
    RENAMED.iter().any(|(_, name)| *name == option)
}

/// apt's words for false; all else is true.
fn is_yes(value: &str) -> bool {
    !["no", "false", "without", "off", "disable", "0"]
        .contains(&value.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(line: &str) -> Source {
        let mut sources = Source::parse_list(line).unwrap();
        assert_eq!(sources.len(), 1);
        sources.remove(0)
    }

    #[test]
    fn lines_of_stock_survive_a_round_trip() {
        for line in [
            "deb [check-valid-until=yes] http://buildd.test:9999/debian/ trixie-security main contrib",
            "deb [] http://buildd.test:8066/repositories/test trixie-test-unstable main",
            "deb-src [arch=amd64,i386 signed-by=/x] http://buildd.test/debian sid main",
            "deb [] http://buildd.test/flat ./",
        ] {
            assert_eq!(one(line).to_string(), line);
        }
    }

    #[test]
    fn comments_quotes_and_blanks_in_brackets_are_understood() {
        let text = "# deb http://x y z\n\n\tdeb\thttp://a  sid main # main\n";
        assert_eq!(Source::parse_list(text).unwrap().len(), 1);
        let source = one("deb [ arch=amd64 Trusted=yes ] http://a sid main");
        assert_eq!(source.option("arch"), Some("amd64"));
        assert_eq!(source.option("trusted"), Some("yes"));
        let disc = one("deb cdrom:[Debian GNU/Linux 12 #1]/ bookworm main");
        assert_eq!(disc.uri, "cdrom:[Debian GNU/Linux 12 #1]/");
    }

    #[test]
    fn broken_lines_are_named() {
        for (line, fault) in [
            ("rpm http://a sid main", "unknown type \"rpm\""),
            ("deb http://a sid", "suite \"sid\" has no component"),
            (
                "deb http://a ./ main",
                "flat suite \"./\" can't have components",
            ),
            ("deb http://a", "URI and suite are needed"),
            ("deb /srv sid main", "\"/srv\" is no URI"),
            (
                "deb [trusted] http://a sid main",
                "option \"trusted\" has no value",
            ),
            (
                "deb [a=b http://a sid main",
                "\"[a=b http://a sid main\" has no closing bracket",
            ),
        ] {
            let error = Source::parse_list(&format!("\n{line}")).unwrap_err();
            assert_eq!(
                error,
                Error::Syntax(format!("sources.list line 2: {fault}"))
            );
        }
    }

    #[test]
    fn source_is_for_all_architectures_unless_it_lists_some() {
        assert!(one("deb http://a sid main").is_for("s390x"));
        let source = one("deb [arch=amd64,i386] http://a sid main");
        assert!(source.is_for("i386") && !source.is_for("arm64"));
    }

    #[test]
    fn release_stands_below_dists_unless_the_archive_is_flat() {
        let url = |line: &str| one(line).release_url();
        assert_eq!(
            url("deb http://buildd.test/debian/ trixie main"),
            "http://buildd.test/debian/dists/trixie/InRelease"
        );
        assert_eq!(
            url("deb http://buildd.test/debian ./"),
            "http://buildd.test/debian/./InRelease"
        );
    }

    const DEBIAN_SOURCES: &str = "\
# Debian's own
Types: deb deb-src
URIs: http://buildd.test/debian
Suites: trixie trixie-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://buildd.test/debian-security http://buildd.test/b
Suites: trixie-security
Components: main
Architectures: amd64 i386
Enabled: yes

Types: deb
URIs: http://buildd.test/off
Suites: ./
Enabled: no
";

    #[test]
    fn stanzas_expand_to_each_uri_and_suite() {
        let sources = Source::parse_deb822(DEBIAN_SOURCES).unwrap();
        let lines: Vec<String> = sources.iter().map(Source::to_string).collect();
        let signed = "[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]";
        assert_eq!(
            lines.join("\n"),
            format!(
                "\
deb {signed} http://buildd.test/debian trixie main contrib
deb-src {signed} http://buildd.test/debian trixie main contrib
deb {signed} http://buildd.test/debian trixie-updates main contrib
deb-src {signed} http://buildd.test/debian trixie-updates main contrib
deb [arch=amd64,i386] http://buildd.test/debian-security trixie-security main
deb [arch=amd64,i386] http://buildd.test/b trixie-security main"
            )
        );
    }

    #[test]
    fn an_embedded_key_stays_whole_in_a_stanza_and_out_of_a_line() {
        let stanza = "\
Types: deb
URIs: http://buildd.test/debian
Suites: trixie
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mQENBGsCgMgBCADLwNwY
 -----END PGP PUBLIC KEY BLOCK-----
Check-Valid-Until: no
";
        let sources = Source::parse_deb822(stanza).unwrap();
        assert!(
            sources[0]
                .option("signed-by")
                .unwrap()
                .contains("\n.\nmQEN")
        );
        assert_eq!(
            sources[0].to_string(),
            "deb [check-valid-until=no] http://buildd.test/debian trixie main"
        );
        let again = Source::parse_deb822(&sources[0].to_deb822()).unwrap();
        assert_eq!(again[0].option("check-valid-until"), Some("no"));
        assert_eq!(again.len(), 1);
    }
}
