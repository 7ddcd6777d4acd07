//! Every file that a .changes or .dsc lists must be there, with its size and every checksum.
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::str::FromStr;

use super::Error;
use super::directory::Directory;
use super::fault::{Fault, Stop};
use crate::deb::{Changes, Checksums, Dsc, FileName, ListedFile};
use crate::home::FileError;
use crate::pgp;

/// A longer .dsc is refused.
const DSC_LIMIT: u64 = 1 << 20;

/// Whether a list of MD5 sums is good enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sums {
    /// Stock's messages have nothing else.
    Any,
    Sha256,
}

/// Verifies all files of the list; returns what they are.
pub fn verify(
    directory: &Directory,
    listed: &[ListedFile],
    sums: Sums,
) -> Result<BTreeMap<FileName, Checksums>, Stop> {
    let mut verified = BTreeMap::new();
    for file in listed {
        if sums == Sums::Sha256 && file.sha256.is_none() {
            return Err(Fault::NoSha256(file.name.clone()).into());
        }
        if verified.contains_key(&file.name) {
            return Err(Fault::Twice(file.name.clone()).into());
        }
        let actual = checksums(directory, file)?;
        file.compare(&actual).map_err(|fault| Fault::File {
            name: file.name.clone(),
            fault,
        })?;
        verified.insert(file.name.clone(), actual);
    }
    Ok(verified)
}

fn checksums(directory: &Directory, listed: &ListedFile) -> Result<Checksums, Stop> {
    let name = &listed.name;
    let mut file = match directory.file(name) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Fault::Missing(name.clone()).into());
        }
        Err(source) => return Err(failed(directory, name)(source).into()),
    };
    let failed = failed(directory, name);
    let size = file.metadata().map_err(&failed)?.len();
    listed.compare_size(size).map_err(|fault| Fault::File {
        name: name.clone(),
        fault,
    })?;
    Ok(Checksums::of(&mut file).map_err(failed)?)
}

fn failed(directory: &Directory, name: &FileName) -> impl Fn(io::Error) -> Error + use<> {
    let failed = FileError::of("read", &directory.path().join(name.as_str()));
    move |source| failed(source).into()
}

/// Holds the .dsc of an upload, whose own sums are verified, against the .changes and the files.
pub fn verify_dsc(
    directory: &Directory,
    changes: &Changes,
    verified: &BTreeMap<FileName, Checksums>,
) -> Result<(), Stop> {
    let names: Vec<&FileName> = verified.keys().filter(|name| is_dsc(name)).collect();
    let name = match names[..] {
        // Refused later, in stock's words, where a retry finds the upload.
        [] => return Ok(()),
        [name] => name,
        _ => return Err(Fault::SeveralDsc(joined(&names)).into()),
    };
    let Some(text) = directory
        .read(name, DSC_LIMIT)
        .map_err(failed(directory, name))?
    else {
        return Err(dsc_fault(name, format!("longer than {DSC_LIMIT} bytes")).into());
    };
    let dsc = parse_dsc(&text).map_err(|fault| dsc_fault(name, fault))?;
    compare_dsc(&dsc, changes, verified).map_err(|fault| dsc_fault(name, fault).into())
}

fn dsc_fault(dsc: &FileName, fault: String) -> Fault {
    Fault::Dsc {
        dsc: dsc.clone(),
        fault,
    }
}

fn is_dsc(name: &FileName) -> bool {
    let extension = Path::new(name.as_str()).extension();
    extension.is_some_and(|extension| extension == "dsc")
}

fn joined(names: &[&FileName]) -> String {
    let names: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
    names.join(" ")
}

/// Parses a .dsc whose digest is verified; its own signature says nothing to us.
pub fn parse_dsc(text: &[u8]) -> Result<Dsc, String> {
    let text = pgp::unauthenticated_text(text).map_err(|error| error.to_string())?;
    Dsc::from_str(&text).map_err(|error| error.to_string())
}

fn compare_dsc(
    dsc: &Dsc,
    changes: &Changes,
    verified: &BTreeMap<FileName, Checksums>,
) -> Result<(), String> {
    if dsc.source != changes.source {
        return Err(format!(
            "Source: {} is not that of the .changes, {}",
            dsc.source, changes.source
        ));
    }
    if dsc.version.as_str() != changes.version.as_str() {
        return Err(format!(
            "Version: {} is not that of the .changes, {}",
            dsc.version, changes.version
        ));
    }
    for (number, file) in dsc.files.iter().enumerate() {
        if dsc.files[..number]
            .iter()
            .any(|other| other.name == file.name)
        {
            return Err(format!("Files: {} is listed twice", file.name));
        }
        if !file.name.as_str().starts_with(&format!("{}_", dsc.source)) {
            return Err(format!(
                "Files: {} is no name for a file of {}",
                file.name, dsc.source
            ));
        }
        if let Some(actual) = verified.get(&file.name) {
            file.compare(actual)
                .map_err(|fault| format!("Files: {}: {fault}", file.name))?;
        }
    }
    Ok(())
}
