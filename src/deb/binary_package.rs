use std::io::{self, Read};

use super::{Architecture, Error, PackageName, Paragraph, Version};

/// Bounds against decompression bombs; Debian's largest packages stay far below.
const MAX_CONTROL_TAR: u64 = 16 << 20;
const MAX_CONTROL: u64 = 1 << 20;
const MAX_DATA_TAR: u64 = 32 << 30;
/// Bytes of all paths together.
const MAX_FILE_LIST: usize = 256 << 20;
const MAX_PATH: u64 = 4096;
/// xz -9 needs 65 MiB.
const MAX_MEMORY: u64 = 256 << 20;

/// Control paragraph of a .deb (deb(5), deb-control(5)).
#[derive(Clone, Debug)]
pub struct BinaryPackage {
    pub paragraph: Paragraph,
    pub name: PackageName,
    pub version: Version,
    pub architecture: Architecture,
    /// Source package and version; those of the binary where it names none.
    pub source: PackageName,
    pub source_version: Version,
}

impl BinaryPackage {
    /// Reads a .deb: control.tar{,.gz,.xz,.zst} within bounds, nothing is unpacked.
    pub fn read(deb: &mut dyn Read) -> Result<BinaryPackage, Error> {
        begin(deb)?;
        let control = next_member(deb, CONTROL, control)?;
        BinaryPackage::from_paragraph(control.parse()?)
    }

    /// Paths of the data archive in its order, without directories, for Contents indices.
    ///
    /// A path with a newline has no place in such an index and is left out.
    pub fn read_file_list(deb: &mut dyn Read) -> Result<Vec<String>, Error> {
        begin(deb)?;
        next_member(deb, CONTROL, |_| Ok(()))?;
        next_member(deb, DATA, file_list)
    }

    /// As [`BinaryPackage::read`] and [`BinaryPackage::read_file_list`], in one pass.
    pub fn read_all(deb: &mut dyn Read) -> Result<(BinaryPackage, Vec<String>), Error> {
        let package = BinaryPackage::read(deb)?;
        Ok((package, next_member(deb, DATA, file_list)?))
    }

    pub(super) fn from_paragraph(paragraph: Paragraph) -> Result<BinaryPackage, Error> {
        let name: PackageName = paragraph.parsed("Package")?;
        let version: Version = paragraph.parsed("Version")?;
        let (source, source_version) = match paragraph.get("Source") {
            None => (name.clone(), version.clone()),
            Some(value) => source(value, &version).map_err(|fault| fault.in_field("Source"))?,
        };
        Ok(BinaryPackage {
            architecture: paragraph.parsed("Architecture")?,
            name,
            version,
            source,
            source_version,
            paragraph,
        })
    }
}

/// `hello` or `hello (2.10-3)`
fn source(value: &str, version: &Version) -> Result<(PackageName, Version), Error> {
    match value
        .split_once(" (")
        .map(|(name, rest)| (name, rest.strip_suffix(')')))
    {
        None => Ok((value.parse()?, version.clone())),
        Some((name, Some(version))) => Ok((name.parse()?, version.parse()?)),
        Some((_, None)) => Err(Error::Syntax(format!("not NAME (VERSION): {value:?}"))),
    }
}

fn control(tar: &mut dyn Read) -> Result<String, Error> {
    let mut entries = tar::Archive::new(tar);
    for entry in entries.entries().map_err(unreadable)?.raw(true) {
        let mut entry = entry.map_err(unreadable)?;
        if relative(&entry.path_bytes()) == b"control" && entry.header().entry_type().is_file() {
            return text(&mut entry, MAX_CONTROL);
        }
    }
    Err(malformed("control.tar has no control file"))
}

fn file_list(tar: &mut dyn Read) -> Result<Vec<String>, Error> {
    let mut files = Vec::new();
    let mut long_name = None;
    let mut size = 0;
    let mut entries = tar::Archive::new(tar);
    for entry in entries.entries().map_err(unreadable)?.raw(true) {
        let mut entry = entry.map_err(unreadable)?;
        match entry.header().entry_type() {
            kind if kind.is_gnu_longname() => {
                let name = text(&mut entry, MAX_PATH)?;
                long_name = Some(name.trim_end_matches('\0').to_owned());
            }
            kind if kind.is_gnu_longlink() => {}
            // dpkg refuses them as well.
            kind if kind.is_pax_local_extensions() || kind.is_pax_global_extensions() => {
                return Err(malformed("data.tar has pax headers"));
            }
            kind if kind.is_dir() => long_name = None,
            _ => {
                let path = long_name
                    .take()
                    .unwrap_or_else(|| String::from_utf8_lossy(&entry.path_bytes()).into_owned());
                size += size_of::<String>() + path.len();
                if size > MAX_FILE_LIST {
                    return Err(malformed("its paths are too many"));
                }
                files.push(path);
            }
        }
    }
    Ok(files
        .into_iter()
        .map(|path| String::from_utf8_lossy(relative(path.as_bytes())).into_owned())
        .filter(|path| !path.contains('\n'))
        .collect())
}

/// Beginning of a member's name, and what it may unpack to.
type Member = (&'static str, u64);
const CONTROL: Member = ("control.tar", MAX_CONTROL_TAR);
const DATA: Member = ("data.tar", MAX_DATA_TAR);

/// Reads up to the first member that is an archive.
fn begin(deb: &mut dyn Read) -> Result<(), Error> {
    let mut magic = [0; 8];
    deb.read_exact(&mut magic).map_err(unreadable)?;
    if magic != *b"!<arch>\n" {
        return Err(malformed("no ar archive"));
    }
    let (name, size) = header(deb)?;
    if name != "debian-binary" || size > 64 {
        return Err(malformed("debian-binary is not in its place"));
    }
    let format = text(&mut member(deb, size), 64)?;
    if !format.starts_with("2.") {
        return Err(malformed(&format!("unknown format {format:?}")));
    }
    Ok(())
}

/// Gives the next member, which deb(5) demands to be this one, unpacked; goes to its end.
fn next_member<T>(
    deb: &mut dyn Read,
    (prefix, max): Member,
    read: impl FnOnce(&mut dyn Read) -> Result<T, Error>,
) -> Result<T, Error> {
    let (name, size) = header(deb)?;
    let Some(compression) = name.strip_prefix(prefix) else {
        return Err(malformed(&format!("{prefix} is not in its place")));
    };
    let mut packed = member(deb, size);
    let inner = decompress(compression, Box::new(&mut packed))?;
    let mut content = Bounded { inner, left: max };
    let value = read(&mut content)?;
    // To its end: only there a member that was cut off or damaged shows.
    io::copy(&mut content, &mut io::sink()).map_err(unreadable)?;
    drop(content);
    io::copy(&mut packed, &mut io::sink()).map_err(unreadable)?;
    Ok(value)
}

/// Name and size of the next member (deb(5)): 60 bytes, the name in 16, the size in ten at 48.
fn header(deb: &mut dyn Read) -> Result<(String, u64), Error> {
    let mut header = [0; 60];
    deb.read_exact(&mut header).map_err(unreadable)?;
    let field = |bytes: &[u8]| {
        std::str::from_utf8(bytes)
            .ok()
            .map(|text| text.trim_end().to_owned())
    };
    match (field(&header[..16]), field(&header[48..58]), &header[58..]) {
        (Some(name), Some(size), b"`\n") if size.bytes().all(|b| b.is_ascii_digit()) => {
            let size = size
                .parse()
                .map_err(|_| malformed("a member without size"))?;
            // GNU ar ends names with a slash.
            Ok((name.trim_end_matches('/').to_owned(), size))
        }
        _ => Err(malformed("a member has no header")),
    }
}

/// Content of a member and the byte that pads it to an even size.
fn member(deb: &mut dyn Read, size: u64) -> Padded<'_> {
    Padded {
        content: deb.take(size),
        padding: size % 2,
    }
}

struct Padded<'a> {
    content: io::Take<&'a mut dyn Read>,
    padding: u64,
}

impl Read for Padded<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.content.read(buffer)?;
        if read == 0 && !buffer.is_empty() {
            if self.content.limit() > 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.content.set_limit(std::mem::take(&mut self.padding));
            io::copy(&mut self.content, &mut io::sink())?;
        }
        Ok(read)
    }
}

fn decompress<'a>(ending: &str, packed: Box<dyn Read + 'a>) -> Result<Box<dyn Read + 'a>, Error> {
    match ending {
        "" => Ok(packed),
        ".gz" => Ok(Box::new(flate2::read::MultiGzDecoder::new(packed))),
        ".xz" => {
            let stream = liblzma::stream::Stream::new_stream_decoder(
                MAX_MEMORY,
                liblzma::stream::CONCATENATED,
            )
            .map_err(|error| unreadable(error.into()))?;
            Ok(Box::new(liblzma::read::XzDecoder::new_stream(
                packed, stream,
            )))
        }
        ".zst" => Ok(Box::new(zstd::Decoder::new(packed).map_err(unreadable)?)),
        other => Err(malformed(&format!("unknown compression {other:?}"))),
    }
}

/// Reader that fails, rather than ends, at its bound.
struct Bounded<'a> {
    inner: Box<dyn Read + 'a>,
    left: u64,
}

impl Read for Bounded<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.left = self
            .left
            .checked_sub(read as u64)
            .ok_or_else(|| io::Error::other("it unpacks to more than is allowed"))?;
        Ok(read)
    }
}

fn text(reader: &mut dyn Read, max: u64) -> Result<String, Error> {
    let mut bytes = Vec::new();
    reader
        .take(max + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > max {
        return Err(malformed(&format!("a text of more than {max} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| malformed("a text that is not UTF-8"))
}

fn relative(path: &[u8]) -> &[u8] {
    let path = path.strip_prefix(b".").unwrap_or(path);
    path.strip_prefix(b"/").unwrap_or(path)
}

fn malformed(fault: &str) -> Error {
    Error::BinaryPackage(fault.to_owned())
}

#[expect(clippy::needless_pass_by_value, reason = "used in map_err")]
fn unreadable(error: io::Error) -> Error {
    Error::BinaryPackage(error.to_string())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::process::Command;

    use super::*;

    const HELLO_DATA: &str = "\
Package: hello-data
Source: hello (1:2.10-3)
Version: 1:2.10-3+b1
Architecture: all
Maintainer: Upl <upl@buildd.test>
Description: example
 Long text.
";

    fn build(dir: &Path, options: &[&str]) -> Vec<u8> {
        let root = dir.join("root");
        let long = "a-rather-long-name-of-a-directory/".repeat(6);
        fs::create_dir_all(root.join("DEBIAN")).unwrap();
        fs::create_dir_all(root.join("usr/share").join(&long)).unwrap();
        fs::write(root.join("DEBIAN/control"), HELLO_DATA).unwrap();
        fs::write(root.join("usr/share/hello"), "hello\n").unwrap();
        fs::write(root.join("usr/share").join(&long).join("file"), "x").unwrap();
        std::os::unix::fs::symlink("hello", root.join("usr/share/link")).unwrap();
        let deb = dir.join("hello.deb");
        let status = Command::new("dpkg-deb")
            .args(options)
            .args(["--root-owner-group", "--build"])
            .args([&root, &deb])
            .stdout(std::process::Stdio::null())
            .status()
            .unwrap();
        assert!(status.success());
        fs::read(deb).unwrap()
    }

    fn deb(options: &[&str]) -> Vec<u8> {
        build(tempfile::tempdir().unwrap().path(), options)
    }

    #[test]
    fn debs_of_every_compression_are_read() {
        for options in [
            &["-Znone"][..],
            &["-Zgzip"],
            &["-Zxz"],
            &["-Zzstd"],
            &["-Zgzip", "--uniform-compression"],
        ] {
            let deb = deb(options);
            let package = BinaryPackage::read(&mut &deb[..]).unwrap();
            assert_eq!(package.name, "hello-data");
            assert_eq!(package.version.as_str(), "1:2.10-3+b1");
            assert_eq!(package.architecture, "all");
            assert_eq!(package.source, "hello");
            assert_eq!(package.source_version.as_str(), "1:2.10-3");
            assert_eq!(package.paragraph.to_string(), HELLO_DATA);

            let mut files = BinaryPackage::read_file_list(&mut &deb[..]).unwrap();
            files.sort();
            assert_eq!(files.len(), 3, "{options:?}");
            assert_eq!(files[0].len(), "usr/share/".len() + 6 * 34 + "file".len());
            assert_eq!(files[1..], ["usr/share/hello", "usr/share/link"]);
        }
    }

    #[test]
    fn a_package_is_its_own_source_where_it_names_none() {
        let paragraph = "Package: hello\nVersion: 1\nArchitecture: amd64\n"
            .parse()
            .unwrap();
        let package = BinaryPackage::from_paragraph(paragraph).unwrap();
        assert_eq!(
            (package.source.as_str(), package.source_version.as_str()),
            ("hello", "1")
        );
    }

    #[test]
    fn hostile_control_fields_are_named() {
        for (field, value) in [
            ("Package", "../x"),
            ("Version", "1/2"),
            ("Architecture", "a/b"),
            ("Source", "a (b"),
        ] {
            let mut paragraph: Paragraph = HELLO_DATA.parse().unwrap();
            paragraph.set(field, value);
            let error = BinaryPackage::from_paragraph(paragraph).unwrap_err();
            assert!(
                error.to_string().starts_with(&format!("field {field}: ")),
                "{error}"
            );
        }
    }

    #[test]
    fn truncated_and_foreign_files_are_refused() {
        let deb = deb(&["-Zxz"]);
        for end in [0, 4, 8, 40, 70, 100, 150, 200] {
            assert!(BinaryPackage::read(&mut &deb[..end]).is_err(), "{end}");
        }
        assert!(BinaryPackage::read_file_list(&mut &deb[..deb.len() - 100]).is_err());
        assert!(BinaryPackage::read(&mut &b"PK\x03\x04 is another kind of archive"[..]).is_err());
    }

    /// A .deb of these members, whatever they hold.
    fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut deb =
            b"!<arch>\ndebian-binary   0                               4         `\n2.0\n".to_vec();
        for (name, content) in members {
            deb.extend(format!("{name:<16}{:<32}{:<10}`\n", 0, content.len()).bytes());
            deb.extend(*content);
            deb.resize(deb.len().next_multiple_of(2), b'\n');
        }
        deb
    }

    fn tar(kind: tar::EntryType, name: &str, size: u64) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_path(name).unwrap();
        header.set_cksum();
        tar.append(&header, io::repeat(b'x').take(size)).unwrap();
        tar.into_inner().unwrap()
    }

    fn fault<T: std::fmt::Debug>(read: Result<T, Error>) -> String {
        let error = read.unwrap_err();
        let Error::BinaryPackage(fault) = error else {
            panic!("{error}");
        };
        fault
    }

    #[test]
    fn a_bomb_is_stopped_at_its_bound() {
        let padding = tar(tar::EntryType::Regular, "padding", MAX_CONTROL_TAR + 4096);
        let control = zstd::encode_all(&padding[..], 3).unwrap();
        let deb = archive(&[("control.tar.zst", &control)]);
        assert_eq!(
            fault(BinaryPackage::read(&mut &deb[..])),
            "it unpacks to more than is allowed"
        );
    }

    #[test]
    fn texts_are_kept_up_to_their_bounds_only() {
        let control = tar(tar::EntryType::Regular, "control", MAX_CONTROL + 1);
        let long_name = tar(tar::EntryType::GNULongName, "x", MAX_PATH + 1);
        let deb = archive(&[("control.tar", &control), ("data.tar", &long_name)]);
        assert_eq!(
            fault(BinaryPackage::read(&mut &deb[..])),
            "a text of more than 1048576 bytes"
        );
        assert_eq!(
            fault(BinaryPackage::read_file_list(&mut &deb[..])),
            "a text of more than 4096 bytes"
        );
    }

    #[test]
    fn a_decoder_gets_no_more_memory_than_a_package_needs() {
        // A frame with a window of 1 GiB (RFC 8878, 3.1.1.1.2).
        let zstd = b"\x28\xB5\x2F\xFD\x00\xA0\x01\x00\x00";
        // A block with a dictionary of 1 GiB (xz-file-format.txt 5.3.1).
        let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 0);
        io::Write::write_all(&mut xz, b"x").unwrap();
        let mut xz = xz.finish().unwrap();
        assert_eq!(xz[12..17], *b"\x02\x00\x21\x01\x0C");
        xz[16] = 36;
        let check = crc32fast::hash(&xz[12..20]);
        xz[20..24].copy_from_slice(&check.to_le_bytes());

        for (name, packed) in [("control.tar.zst", &zstd[..]), ("control.tar.xz", &xz)] {
            let deb = archive(&[(name, packed)]);
            let fault = fault(BinaryPackage::read(&mut &deb[..]));
            assert!(fault.contains("memory"), "{name}: {fault}");
        }
    }
}
