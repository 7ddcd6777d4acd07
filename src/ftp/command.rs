//! What a line of a client means. Pure.
use crate::deb::FileName;

/// A command that this server has an answer for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command {
    User(String),
    Password,
    ChangeDirectory(String),
    PrintDirectory,
    Type(String),
    /// Security mechanism (RFC 4217).
    Authenticate(String),
    ProtectionBuffer,
    Protection(String),
    Passive,
    ExtendedPassive(String),
    Store(String),
    Size(String),
    List {
        path: String,
        names_only: bool,
    },
    Abort,
    Features,
    System,
    Noop,
    Quit,
    /// Known to FTP but not done here.
    Refused(&'static str),
    Unknown,
}

/// Where a session is; all that there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Root,
    Incoming,
}

/// Commands of FTP that would change or reveal more than one's own upload, or connect elsewhere.
const REFUSED: &[&str] = &[
    "ACCT", "ADAT", "ALLO", "APPE", "CCC", "CDUP", "DELE", "EPRT", "HELP", "MDTM", "MFMT", "MKD",
    "MLSD", "MLST", "MODE", "OPTS", "PORT", "REIN", "REST", "RETR", "RMD", "RNFR", "RNTO", "SITE",
    "SMNT", "STAT", "STOU", "STRU",
];

/// Reads a line without its end; bytes that are no printable ASCII make it unknown.
pub(super) fn parse(line: &[u8]) -> Command {
    // Before ABOR clients send Telnet signals (RFC 959, section 4.1.3).
    let start = line.iter().position(|byte| *byte < 0xf0);
    let line = &line[start.unwrap_or(line.len())..];
    let printable = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
    let Some(line) = std::str::from_utf8(line)
        .ok()
        .filter(|line| line.as_bytes().iter().all(printable))
    else {
        return Command::Unknown;
    };
    let (verb, argument) = line.split_once(' ').unwrap_or((line, ""));
    let verb = verb.to_ascii_uppercase();
    let text = || argument.to_owned();
    match verb.as_str() {
        "USER" => Command::User(text()),
        "PASS" => Command::Password,
        "CWD" => Command::ChangeDirectory(text()),
        "PWD" => Command::PrintDirectory,
        "TYPE" => Command::Type(text()),
        "AUTH" => Command::Authenticate(text()),
        "PBSZ" => Command::ProtectionBuffer,
        "PROT" => Command::Protection(text()),
        "PASV" => Command::Passive,
        "EPSV" => Command::ExtendedPassive(text()),
        "STOR" => Command::Store(text()),
        "SIZE" => Command::Size(text()),
        "LIST" | "NLST" => Command::List {
            path: without_options(argument).into(),
            names_only: verb == "NLST",
        },
        "ABOR" => Command::Abort,
        "FEAT" => Command::Features,
        "SYST" => Command::System,
        "NOOP" => Command::Noop,
        "QUIT" => Command::Quit,
        _ => REFUSED
            .iter()
            .find(|refused| **refused == verb)
            .map_or(Command::Unknown, |refused| Command::Refused(refused)),
    }
}

/// Clients send options of ls as if a shell were here: `LIST -la /incoming`.
fn without_options(argument: &str) -> &str {
    let mut rest = argument.trim_start();
    while rest.starts_with('-') {
        rest = rest
            .split_once(' ')
            .map_or("", |(_, rest)| rest)
            .trim_start();
    }
    rest
}

impl Place {
    pub(super) fn path(self) -> &'static str {
        match self {
            Place::Root => "/",
            Place::Incoming => "/incoming",
        }
    }

    /// Where a path leads; nowhere if it is neither of the two places.
    pub(super) fn directory(self, path: &str) -> Option<Place> {
        match self.resolve(path).as_slice() {
            [] => Some(Place::Root),
            ["incoming"] => Some(Place::Incoming),
            _ => None,
        }
    }

    /// Name of a file in /incoming.
    pub(super) fn file(self, path: &str) -> Option<FileName> {
        match self.resolve(path).as_slice() {
            ["incoming", name] => name.parse().ok(),
            _ => None,
        }
    }

    fn resolve(self, path: &str) -> Vec<&str> {
        let mut parts = match self {
            Place::Incoming if !path.starts_with('/') => vec!["incoming"],
            Place::Root | Place::Incoming => Vec::new(),
        };
        for part in path.split('/') {
            match part {
                "" | "." => {}
                ".." => {
                    parts.pop();
                }
                part => parts.push(part),
            }
        }
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbs_are_read_in_any_case_and_arguments_verbatim() {
        assert_eq!(parse(b"user anonymous"), Command::User("anonymous".into()));
        assert_eq!(parse(b"STOR a b"), Command::Store("a b".into()));
        assert_eq!(parse(b"PASV"), Command::Passive);
        assert_eq!(parse(b"EPSV ALL"), Command::ExtendedPassive("ALL".into()));
    }

    #[test]
    fn what_is_not_offered_is_refused_by_name() {
        for verb in [
            "APPE", "DELE", "MKD", "RNFR", "RETR", "PORT", "EPRT", "REST", "SITE",
        ] {
            assert_eq!(
                parse(format!("{verb} x").as_bytes()),
                Command::Refused(verb)
            );
        }
        assert_eq!(parse(b"XYZZY"), Command::Unknown);
    }

    #[test]
    fn binary_lines_are_unknown() {
        for line in [
            &b"STOR \xffx"[..],
            b"STOR a\0b",
            b"\xc3\x28",
            b"CWD a\x1b[2J",
            b"",
        ] {
            assert_eq!(parse(line), Command::Unknown, "{line:?}");
        }
    }

    #[test]
    fn telnet_signals_before_abort_are_skipped() {
        assert_eq!(parse(b"\xff\xf4\xff\xf2ABOR"), Command::Abort);
    }

    #[test]
    fn options_of_lists_are_skipped() {
        let list = |path: &str| Command::List {
            path: path.into(),
            names_only: false,
        };
        assert_eq!(parse(b"LIST"), list(""));
        assert_eq!(parse(b"LIST -la"), list(""));
        assert_eq!(parse(b"LIST -a -l /incoming"), list("/incoming"));
    }

    #[test]
    fn paths_lead_to_the_two_places_only() {
        use Place::{Incoming, Root};
        assert_eq!(Root.directory("incoming"), Some(Incoming));
        assert_eq!(Root.directory("/incoming/"), Some(Incoming));
        assert_eq!(Root.directory("../../incoming/."), Some(Incoming));
        assert_eq!(Incoming.directory(""), Some(Incoming));
        assert_eq!(Incoming.directory(".."), Some(Root));
        assert_eq!(Incoming.directory("incoming"), None);
        assert_eq!(Root.directory("/etc"), None);
    }

    #[test]
    fn files_are_in_incoming_and_have_plain_names() {
        use Place::{Incoming, Root};
        let name = |place: Place, path| place.file(path).map(|name| name.to_string());
        assert_eq!(name(Incoming, "a_1.dsc").as_deref(), Some("a_1.dsc"));
        assert_eq!(name(Root, "/incoming/a_1.dsc").as_deref(), Some("a_1.dsc"));
        for path in [
            "../a",
            "/a",
            "b/a",
            ".a",
            "",
            "a b",
            "/incoming",
            "-a",
            "a\\b",
        ] {
            assert_eq!(name(Incoming, path), None, "{path}");
        }
        assert_eq!(name(Root, "a"), None);
    }
}
