use std::str::FromStr;

use super::{Error, Paragraph};

/// Build information (deb-buildinfo(5)).
#[derive(Clone, Debug)]
pub struct Buildinfo {
    pub paragraph: Paragraph,
}

/// Parses an unsigned file; the fields that name the build must be there.
impl FromStr for Buildinfo {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        let paragraph: Paragraph = text.parse()?;
        for field in ["Source", "Version", "Architecture"] {
            paragraph.required(field)?;
        }
        Ok(Buildinfo { paragraph })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: &str = "\
Format: 1.0
Source: hello
Binary: hello
Architecture: amd64
Version: 2.10-3
Build-Origin: Debian
Installed-Build-Depends:
 autoconf (= 2.71-3),
 base-files (= 12.4+deb12u11)
Environment:
 DEB_BUILD_OPTIONS=\"parallel=2\"
 LANG=\"C.UTF-8\"
";

    #[test]
    fn real_files_survive_a_round_trip() {
        let buildinfo: Buildinfo = HELLO.parse().unwrap();
        assert_eq!(buildinfo.paragraph.to_string(), HELLO);
    }

    #[test]
    fn a_file_about_no_source_is_refused() {
        let error = "Format: 1.0\n".parse::<Buildinfo>().unwrap_err();
        assert_eq!(error, Error::MissingField("Source"));
    }
}
