//! The indices of a dist: what they are made of, and the forms in which they are published.
use std::collections::BTreeMap;
use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use liblzma::stream::{Check, Filters, LzmaOptions, Stream};
use liblzma::write::XzEncoder;

use crate::deb::{Checksums, Version};
use crate::store::{During, Transaction};

use super::{DistSettings, Error, contents};

/// Part of every input's digest: another number makes all indices anew.
const RENDERING: u32 = 1;
/// On indices of a thousand packages a third of the time of preset 6, for some percent more bytes.
const XZ_PRESET: u32 = 2;
/// The preset's (xz(1)).
const XZ_DICTIONARY: usize = 2 << 20;

/// One list of packages.
#[derive(Debug)]
pub(super) struct Index {
    /// Below the dist: `main/binary-amd64`.
    pub(super) directory: String,
    /// `Packages`
    pub(super) name: String,
    pub(super) forms: &'static [Form],
    pub(super) kind: Kind,
    component: String,
    /// Names of the slots' indices that it holds.
    members: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Stanzas,
    Contents,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Plain,
    /// In Release, so that clients know it, but no file.
    ListedPlain,
    Gz,
    Xz,
}

impl Form {
    pub(super) fn extension(self) -> &'static str {
        match self {
            Form::Plain | Form::ListedPlain => "",
            Form::Gz => ".gz",
            Form::Xz => ".xz",
        }
    }

    pub(super) fn is_file(self) -> bool {
        match self {
            Form::Plain | Form::Gz | Form::Xz => true,
            Form::ListedPlain => false,
        }
    }

    pub(super) fn encode(self, text: &str) -> io::Result<Vec<u8>> {
        match self {
            Form::Plain | Form::ListedPlain => Ok(text.as_bytes().to_vec()),
            Form::Gz => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
                encoder.write_all(text.as_bytes())?;
                encoder.finish()
            }
            Form::Xz => {
                let mut encoder = XzEncoder::new_stream(Vec::new(), xz(text.len())?);
                encoder.write_all(text.as_bytes())?;
                encoder.finish()
            }
        }
    }
}

/// With a dictionary as long as the text: the encoder's memory is several times the preset's, whatever it is given.
fn xz(length: usize) -> io::Result<Stream> {
    let dictionary = length.next_power_of_two().clamp(4 << 10, XZ_DICTIONARY);
    let mut options = LzmaOptions::new_preset(XZ_PRESET)?;
    options.dict_size(u32::try_from(dictionary).unwrap_or(u32::MAX));
    Ok(Stream::new_stream_encoder(
        Filters::new().lzma2(&options),
        Check::Crc64,
    )?)
}

/// All indices of a dist, as stock has them.
pub(super) fn indices(settings: &DistSettings) -> Vec<Index> {
    let mut indices = Vec::new();
    for component in &settings.components {
        let mut add = |directory: String, name: String, forms, kind, members| {
            indices.push(Index {
                directory,
                name,
                forms,
                kind,
                component: component.to_string(),
                members,
            });
        };
        for architecture in &settings.architectures {
            let binary = format!("binary-{architecture}");
            let installer = format!("debian-installer/{binary}");
            let debs = vec![binary.clone(), "binary-all".to_owned()];
            let udebs = vec![installer.clone(), "debian-installer/binary-all".to_owned()];
            add(
                format!("{component}/{binary}"),
                "Packages".to_owned(),
                &[Form::Plain, Form::Gz, Form::Xz],
                Kind::Stanzas,
                debs.clone(),
            );
            add(
                format!("{component}/{installer}"),
                "Packages".to_owned(),
                &[Form::Plain, Form::Gz],
                Kind::Stanzas,
                udebs,
            );
            add(
                component.to_string(),
                format!("Contents-{architecture}"),
                &[Form::ListedPlain, Form::Gz],
                Kind::Contents,
                debs,
            );
        }
        add(
            format!("{component}/source"),
            "Sources".to_owned(),
            &[Form::Plain, Form::Gz, Form::Xz],
            Kind::Stanzas,
            vec!["source".to_owned()],
        );
    }
    indices
}

/// Packages of a dist by component and index, with what they are sorted by.
pub(super) struct Members(BTreeMap<(String, String), Vec<Member>>);

struct Member {
    name: String,
    version: String,
    package: i64,
}

impl Members {
    pub(super) fn read(tx: &Transaction<'_>, dist: i64) -> Result<Members, Error> {
        let rows: Vec<(String, String, Member)> = tx
            .sql()
            .prepare_cached(
                "SELECT slot.component, slot.index_name, slot.name, package.version, package.id
                 FROM slot JOIN package ON package.id = slot.package
                 WHERE slot.dist = ? AND slot.removed_at IS NULL",
            )
            .and_then(|mut query| {
                query
                    .query_map([dist], |row| {
                        let member = Member {
                            name: row.get(2)?,
                            version: row.get(3)?,
                            package: row.get(4)?,
                        };
                        Ok((row.get(0)?, row.get(1)?, member))
                    })?
                    .collect()
            })
            .during("read the packages of a dist")?;
        let mut members: BTreeMap<_, Vec<Member>> = BTreeMap::new();
        for (component, index_name, member) in rows {
            members
                .entry((component, index_name))
                .or_default()
                .push(member);
        }
        Ok(Members(members))
    }

    /// Ids of an index's packages, sorted by name, then version.
    pub(super) fn packages(&self, index: &Index) -> Vec<i64> {
        let mut members: Vec<&Member> = index
            .members
            .iter()
            .filter_map(|name| self.0.get(&(index.component.clone(), name.clone())))
            .flatten()
            .collect();
        members.sort_by(|one, other| {
            let version = |member: &Member| member.version.parse::<Version>().ok();
            one.name
                .cmp(&other.name)
                .then_with(|| version(one).cmp(&version(other)))
                .then(one.package.cmp(&other.package))
        });
        members.iter().map(|member| member.package).collect()
    }
}

/// Digest of what an index is made of; rows of packages never change.
pub(super) fn input(index: &Index, packages: &[i64]) -> String {
    digest(&format!("{RENDERING} {:?} {packages:?}", index.kind))
}

pub(super) fn digest(text: &str) -> String {
    Checksums::of(&mut text.as_bytes())
        .expect("memory can be read")
        .sha256
}

/// Text of an index.
pub(super) fn render(
    tx: &Transaction<'_>,
    index: &Index,
    packages: &[i64],
) -> Result<String, Error> {
    match index.kind {
        Kind::Stanzas => stanzas(tx, packages),
        Kind::Contents => contents::render(tx, packages),
    }
}

fn stanzas(tx: &Transaction<'_>, packages: &[i64]) -> Result<String, Error> {
    let mut text = String::new();
    for package in packages {
        let stanza: String = tx
            .sql()
            .prepare_cached("SELECT stanza FROM package WHERE id = ?")
            .and_then(|mut query| query.query_row([package], |row| row.get(0)))
            .during("read a package")?;
        text.push_str(&stanza);
        text.push('\n');
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn settings() -> DistSettings {
        DistSettings {
            diststr: "sid-test-unstable".parse().unwrap(),
            origin: "Test".into(),
            components: vec!["main".parse().unwrap()],
            architectures: vec!["amd64".parse().unwrap(), "i386".parse().unwrap()],
            not_automatic: true,
            but_automatic_upgrades: true,
            keep: 1,
            valid_days: None,
            sha512: false,
        }
    }

    #[test]
    fn a_dist_has_the_indices_of_stock() {
        let mut files: Vec<String> = indices(&settings())
            .iter()
            .flat_map(|index| {
                index
                    .forms
                    .iter()
                    .map(|form| format!("{}/{}{}", index.directory, index.name, form.extension()))
            })
            .collect();
        files.sort();
        let expected = "main/Contents-amd64 main/Contents-amd64.gz main/Contents-i386 main/Contents-i386.gz \
             main/binary-amd64/Packages main/binary-amd64/Packages.gz main/binary-amd64/Packages.xz \
             main/binary-i386/Packages main/binary-i386/Packages.gz main/binary-i386/Packages.xz \
             main/debian-installer/binary-amd64/Packages main/debian-installer/binary-amd64/Packages.gz \
             main/debian-installer/binary-i386/Packages main/debian-installer/binary-i386/Packages.gz \
             main/source/Sources main/source/Sources.gz main/source/Sources.xz";
        assert_eq!(files.join(" "), expected);
    }

    #[test]
    fn packages_of_all_are_in_every_architecture_sorted_by_name_and_version() {
        let member = |name: &str, version: &str, package| Member {
            name: name.into(),
            version: version.into(),
            package,
        };
        let members = Members(BTreeMap::from([
            (
                ("main".into(), "binary-amd64".into()),
                vec![member("b", "1.10", 1), member("c", "1", 2)],
            ),
            (
                ("main".into(), "binary-all".into()),
                vec![member("b", "1.9", 3), member("a", "1", 4)],
            ),
        ]));
        let indices = indices(&settings());
        let packages = |directory: &str| {
            let index = indices
                .iter()
                .find(|index| index.directory == directory)
                .unwrap();
            members.packages(index)
        };
        assert_eq!(packages("main/binary-amd64"), [4, 3, 1, 2]);
        assert_eq!(packages("main/binary-i386"), [4, 3]);
    }

    #[test]
    fn forms_hold_the_same_text() {
        let text = "Package: hello\n".repeat(1000);
        let gz = Form::Gz.encode(&text).unwrap();
        let mut unpacked = String::new();
        flate2::read::GzDecoder::new(gz.as_slice())
            .read_to_string(&mut unpacked)
            .unwrap();
        assert_eq!(unpacked, text);
        let xz = Form::Xz.encode(&text).unwrap();
        unpacked.clear();
        liblzma::read::XzDecoder::new(xz.as_slice())
            .read_to_string(&mut unpacked)
            .unwrap();
        assert_eq!(unpacked, text);
        assert_eq!(Form::Plain.encode(&text).unwrap(), text.as_bytes());
    }
}
