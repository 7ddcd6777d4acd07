//! A .changes that is read is the same when written and read again, and names no file elsewhere.
#![no_main]
use fuzz::deb::Changes;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(changes) = text.parse::<Changes>() else {
        return;
    };
    let again: Changes = changes.paragraph.to_string().parse().unwrap();
    assert_eq!(again.files, changes.files);
    assert_eq!(again.paragraph, changes.paragraph);
    for file in changes.files {
        assert!(!file.name.as_str().contains('/'));
    }
});
