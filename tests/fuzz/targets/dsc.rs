//! A .dsc that is read is the same when written and read again, and names no file elsewhere.
#![no_main]
use fuzz::deb::Dsc;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(dsc) = text.parse::<Dsc>() else {
        return;
    };
    dsc.builds_for(&"amd64".parse().unwrap(), true);
    let again: Dsc = dsc.paragraph.to_string().parse().unwrap();
    assert_eq!(again.files, dsc.files);
    assert_eq!(again.paragraph, dsc.paragraph);
    for file in dsc.files {
        assert!(!file.name.as_str().contains('/'));
    }
});
