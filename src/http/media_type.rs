use std::ffi::OsStr;
use std::path::Path;

/// Media type of a file by its name; what browsers would run is text, as is all that is unknown.
pub(super) fn of(name: &OsStr) -> &'static str {
    let extension = Path::new(name).extension().and_then(OsStr::to_str);
    // A .gz is the file itself, with its own checksum in Release or .dsc, not an encoding of another: with
    // Content-Encoding, browsers would store something else than what was signed.
    match extension.unwrap_or_default() {
        "deb" | "udeb" | "ddeb" => "application/vnd.debian.binary-package",
        "gz" | "tgz" => "application/gzip",
        "xz" | "txz" => "application/x-xz",
        "bz2" => "application/x-bzip2",
        "zst" => "application/zstd",
        "tar" => "application/x-tar",
        "json" => "application/json",
        _ => "text/plain; charset=UTF-8",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_sent_as_html_or_script() {
        for name in [
            "a.html",
            "a.svg",
            "a.js",
            "a.buildlog",
            "InRelease",
            "a.xml",
            ".json",
        ] {
            assert_eq!(of(OsStr::new(name)), "text/plain; charset=UTF-8", "{name}");
        }
    }

    #[test]
    fn compressed_files_are_what_they_are() {
        for (name, kind) in [
            ("Packages.gz", "application/gzip"),
            ("Packages.xz", "application/x-xz"),
            ("hello_2.10.orig.tar.gz", "application/gzip"),
            (
                "hello_2.10_amd64.deb",
                "application/vnd.debian.binary-package",
            ),
        ] {
            assert_eq!(of(OsStr::new(name)), kind);
        }
    }
}
