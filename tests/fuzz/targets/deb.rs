//! Whatever is called a .deb is read or refused, within bounds; what is read names no path elsewhere.
#![no_main]
use fuzz::deb::BinaryPackage;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|deb: &[u8]| {
    if let Ok(package) = BinaryPackage::read(&mut &deb[..]) {
        assert!(!package.name.as_str().contains('/'));
        assert!(!package.version.as_str().contains('/'));
    }
    if let Ok(paths) = BinaryPackage::read_file_list(&mut &deb[..]) {
        assert!(!paths.iter().any(|path| path.contains('\n')));
    }
});
