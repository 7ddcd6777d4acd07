use super::checksums::Kind;
use super::{
    Architecture, BinaryPackage, Error, FileName, ListedFile, PackageName, Paragraph, Version,
};

/// A package as an index, Packages or Sources, lists it (repository format).
#[derive(Clone, Debug)]
pub struct Indexed {
    pub name: PackageName,
    pub version: Version,
    /// `source` in Sources.
    pub architecture: Architecture,
    pub source: PackageName,
    pub source_version: Version,
    /// Of its files, below the repository's: words that are safe in paths.
    pub directory: String,
    pub files: Vec<ListedFile>,
}

impl Indexed {
    /// Reads a stanza of Packages.
    pub fn binary(stanza: Paragraph) -> Result<Indexed, Error> {
        let path = stanza.required("Filename")?;
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
        let directory = safe("Filename", directory)?;
        let name: FileName = name
            .parse()
            .map_err(|fault: Error| fault.in_field("Filename"))?;
        let files = vec![ListedFile::of_packages(&stanza, name)?];
        let package = BinaryPackage::from_paragraph(stanza)?;
        Ok(Indexed {
            name: package.name,
            version: package.version,
            architecture: package.architecture,
            source: package.source,
            source_version: package.source_version,
            directory,
            files,
        })
    }

    /// Reads a stanza of Sources.
    pub fn source(stanza: &Paragraph) -> Result<Indexed, Error> {
        let name: PackageName = stanza.parsed("Package")?;
        let version: Version = stanza.parsed("Version")?;
        Ok(Indexed {
            architecture: "source".parse()?,
            source: name.clone(),
            source_version: version.clone(),
            directory: safe("Directory", stanza.required("Directory")?)?,
            files: ListedFile::merge(stanza, Kind::Dsc)?,
            name,
            version,
        })
    }
}

fn safe(field: &'static str, directory: &str) -> Result<String, Error> {
    if directory.split('/').all(FileName::is_safe) {
        return Ok(directory.to_owned());
    }
    Err(Error::Field {
        field: field.to_owned(),
        fault: format!("{directory:?} is no path below the repository"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binary_is_found_with_its_source_and_sums() {
        let stanza = format!(
            "Package: hello-data\nSource: hello (1.0)\nVersion: 1.0+b1\nArchitecture: all\n\
             Filename: pool/main/h/hello/hello-data_1.0+b1_all.deb\nSize: 7\nMD5sum: {}\nSHA256: {}\n",
            "a".repeat(32),
            "b".repeat(64)
        );
        let indexed = Indexed::binary(stanza.parse().unwrap()).unwrap();
        assert_eq!(indexed.source, "hello");
        assert_eq!(indexed.source_version.as_str(), "1.0");
        assert_eq!(indexed.directory, "pool/main/h/hello");
        let [file] = &indexed.files[..] else {
            panic!("{indexed:?}");
        };
        assert_eq!(file.name.as_str(), "hello-data_1.0+b1_all.deb");
        assert_eq!(file.size, 7);
        assert_eq!(file.sha1, None);
        assert_eq!(file.sha256, Some("b".repeat(64)));
    }

    #[test]
    fn files_outside_of_the_repository_are_refused() {
        for path in [
            "/etc/hello_1.0_all.deb",
            "pool/../../hello_1.0_all.deb",
            "hello_1.0_all.deb",
        ] {
            let stanza = format!(
                "Package: hello\nVersion: 1.0\nArchitecture: all\nFilename: {path}\nSize: 7\nMD5sum: {}\n",
                "a".repeat(32)
            );
            let refused = Indexed::binary(stanza.parse().unwrap()).unwrap_err();
            assert!(
                refused.to_string().starts_with("field Filename: "),
                "{refused}"
            );
        }
        let stanza = format!(
            "Package: hello\nVersion: 1.0\nDirectory: ../x\nFiles:\n {} 7 hello_1.0.dsc\n",
            "a".repeat(32)
        );
        let refused = Indexed::source(&stanza.parse().unwrap()).unwrap_err();
        assert!(
            refused.to_string().starts_with("field Directory: "),
            "{refused}"
        );
    }
}
