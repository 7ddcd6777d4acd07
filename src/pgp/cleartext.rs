//! Cleartext signature framework (RFC 9580, section 7), taken apart by its strict grammar.
use super::Error;

const BEGIN_MESSAGE: &str = "-----BEGIN PGP SIGNED MESSAGE-----";
pub(super) const BEGIN_SIGNATURE: &str = "-----BEGIN PGP SIGNATURE-----";
const END_SIGNATURE: &str = "-----END PGP SIGNATURE-----";

/// One signed block and nothing else.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cleartext {
    /// What was signed, but for the line ends: dash-escapes undone, blanks at line ends removed.
    pub(super) text: String,
    /// The armor with the signatures.
    pub(super) signature: String,
}

/// Takes a text apart that must be one signed block with nothing but blank lines around it.
pub(super) fn split(signed: &[u8]) -> Result<Cleartext, Error> {
    let signed = std::str::from_utf8(signed).map_err(|_| malformed("not UTF-8"))?;
    let mut lines = signed.lines().map(trim_end).peekable();
    while lines.next_if(|line| line.is_empty()).is_some() {}
    if lines.next() != Some(BEGIN_MESSAGE) {
        let armored = signed.lines().any(is_armor);
        return Err(if armored {
            Error::TextOutside
        } else {
            Error::NotSigned
        });
    }
    loop {
        match lines.next() {
            None => return Err(malformed("it ends within its header")),
            Some("") => break,
            Some(line) if is_hash_header(line) => {}
            Some(line) => return Err(malformed(format!("header line {line:?}"))),
        }
    }
    let mut text = String::with_capacity(signed.len());
    loop {
        let line = lines
            .next()
            .ok_or_else(|| malformed("it ends without a signature"))?;
        if line == BEGIN_SIGNATURE {
            break;
        }
        text.push_str(signed_line(line)?);
        text.push('\n');
    }
    let mut signature = format!("{BEGIN_SIGNATURE}\n");
    loop {
        match lines.next() {
            None => return Err(malformed("it ends within its signature")),
            Some(line) if line == END_SIGNATURE => break,
            Some(line) if is_armor(line) => {
                return Err(malformed(format!("{line:?} within the signature")));
            }
            Some(line) => {
                signature.push_str(line);
                signature.push('\n');
            }
        }
    }
    signature.push_str(END_SIGNATURE);
    signature.push('\n');
    if !lines.all(str::is_empty) {
        return Err(Error::TextOutside);
    }
    Ok(Cleartext { text, signature })
}

/// Text of an upload that needs no signature: unsigned, or the inside of one signed block.
pub fn unauthenticated_text(text: &[u8]) -> Result<String, Error> {
    match split(text) {
        Ok(cleartext) => Ok(cleartext.text),
        Err(Error::NotSigned) => {
            let text = std::str::from_utf8(text).map_err(|_| malformed("not UTF-8"))?;
            Ok(text.lines().flat_map(|line| [line, "\n"]).collect())
        }
        Err(fault) => Err(fault),
    }
}

fn malformed(fault: impl Into<String>) -> Error {
    Error::Malformed(fault.into())
}

// Blanks at line ends are not signed (RFC 9580, section 7.2); `lines` has taken one CR off.
fn trim_end(line: &str) -> &str {
    line.trim_end_matches([' ', '\t'])
}

fn is_armor(line: &str) -> bool {
    line.starts_with("-----BEGIN PGP ") || line.starts_with("-----END PGP ")
}

fn is_hash_header(line: &str) -> bool {
    line.strip_prefix("Hash: ").is_some_and(|hashes| {
        hashes
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | ',' | ' '))
    })
}

/// Undoes the dash-escape; refuses what verifiers read differently.
fn signed_line(line: &str) -> Result<&str, Error> {
    // Some verifiers end a line at a bare CR, others do not.
    if line.contains('\r') {
        return Err(malformed(format!("carriage return within {line:?}")));
    }
    if !line.starts_with('-') {
        return Ok(line);
    }
    let Some(inner) = line.strip_prefix("- ") else {
        return Err(malformed(format!("{line:?} is not dash-escaped")));
    };
    if is_armor(inner) {
        return Err(malformed("a signed text within the signed text"));
    }
    Ok(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNATURE: &str =
        "-----BEGIN PGP SIGNATURE-----\n\niQ==\n=abcd\n-----END PGP SIGNATURE-----\n";

    fn signed(body: &str) -> String {
        format!("{BEGIN_MESSAGE}\nHash: SHA512\n\n{body}{SIGNATURE}")
    }

    fn fault(text: &str) -> String {
        split(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn one_block_is_text_and_signature() {
        assert_eq!(
            split(signed("Source: hello\n").as_bytes()).unwrap(),
            Cleartext {
                text: "Source: hello\n".into(),
                signature: SIGNATURE.into(),
            }
        );
    }

    #[test]
    fn dash_escapes_are_undone_and_blanks_at_line_ends_go() {
        let cleartext = split(signed("- -x\n- - y\nz \t\n\n").as_bytes()).unwrap();
        assert_eq!(cleartext.text, "-x\n- y\nz\n\n");
    }

    #[test]
    fn line_ends_of_dos_are_the_same_text() {
        let text = signed("Source: hello\nVersion: 1\n").replace('\n', "\r\n");
        assert_eq!(
            split(text.as_bytes()).unwrap().text,
            "Source: hello\nVersion: 1\n"
        );
        assert!(fault(&signed("a\rb\n")).contains("carriage return"));
        assert!(fault(&signed("a\r\r\n")).contains("carriage return"));
    }

    #[test]
    fn blank_lines_may_surround_the_block() {
        assert!(split(format!("\n \n{}\n\t\n", signed("a\n")).as_bytes()).is_ok());
    }

    #[test]
    fn text_before_or_after_the_block_is_refused() {
        let block = signed("Source: hello\n");
        for text in [
            format!("Source: evil\n\n{block}"),
            format!("{block}\nSource: evil\n"),
            format!("{block}{block}"),
            format!("\u{feff}{block}"),
            format!("{SIGNATURE}{block}"),
        ] {
            assert!(
                matches!(split(text.as_bytes()), Err(Error::TextOutside)),
                "{text}"
            );
        }
    }

    #[test]
    fn nested_blocks_are_refused() {
        let inner = signed("Source: evil\n").replace("-----", "- -----");
        assert!(fault(&signed(&inner)).contains("within the signed text"));
        assert!(fault(&signed(&signed("a\n"))).contains("not dash-escaped"));
        let twice = SIGNATURE.replace("iQ==\n", &format!("iQ==\n{BEGIN_SIGNATURE}\n"));
        let text = format!("{BEGIN_MESSAGE}\n\na\n{twice}");
        assert!(fault(&text).contains("within the signature"));
    }

    #[test]
    fn headers_hold_hash_names_only() {
        for header in [
            "Source: evil",
            "NotDashEscaped: you",
            "Hash: SHA512\u{b}x",
            "x",
        ] {
            let text = format!("{BEGIN_MESSAGE}\n{header}\n\na\n{SIGNATURE}");
            assert!(fault(&text).contains("header line"), "{header}");
        }
    }

    #[test]
    fn a_cut_text_is_malformed() {
        let text = signed("Source: hello\n");
        for end in [40, 60, 80, 110, text.len() - 10] {
            assert!(
                matches!(split(&text.as_bytes()[..end]), Err(Error::Malformed(_))),
                "{end}"
            );
        }
    }

    #[test]
    fn other_text_is_not_signed() {
        assert!(matches!(split(b"Source: hello\n"), Err(Error::NotSigned)));
        assert!(matches!(split(b""), Err(Error::NotSigned)));
    }

    #[test]
    fn unauthenticated_text_may_be_signed_or_not() {
        assert_eq!(unauthenticated_text(b"a\r\nb").unwrap(), "a\nb\n");
        assert_eq!(
            unauthenticated_text(signed("a\n").as_bytes()).unwrap(),
            "a\n"
        );
        assert!(unauthenticated_text(format!("b\n{}", signed("a\n")).as_bytes()).is_err());
        assert!(unauthenticated_text(b"\xff").is_err());
    }
}
