//! Paragraphs that are read are the same when written and read again.
#![no_main]
use fuzz::deb::Paragraph;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(paragraphs) = Paragraph::parse_all(text) else {
        return;
    };
    let texts: Vec<String> = paragraphs.iter().map(Paragraph::to_string).collect();
    let written = texts.join("\n");
    assert_eq!(Paragraph::parse_all(&written).unwrap(), paragraphs);
    for (paragraph, text) in paragraphs.iter().zip(texts) {
        let mut set = Paragraph::default();
        for (name, value) in paragraph.fields() {
            set.set(name, value);
        }
        let read: Paragraph = set.to_string().parse().unwrap();
        assert_eq!(read, set, "{text:?}");
    }
});
