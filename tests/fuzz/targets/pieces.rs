//! Any pieces, spliced in any form, are one text.
#![no_main]
use std::io::Read;

use fuzz::pieces::Form;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|texts: Vec<Vec<u8>>| {
    let texts: Vec<Vec<u8>> = texts.into_iter().filter(|text| !text.is_empty()).collect();
    for form in Form::ALL {
        let mut file = form.header().to_vec();
        let mut sizes = Vec::new();
        for text in &texts {
            let piece = form.compress(text).unwrap();
            file.extend(piece.bytes);
            sizes.push(piece.sizes);
        }
        file.extend(form.trailer(&sizes));
        assert_eq!(unpacked(form, &file), texts.concat());
    }
});

fn unpacked(form: Form, file: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    let mut reader: Box<dyn Read> = match form {
        Form::Plain => Box::new(file),
        Form::Gz => Box::new(flate2::read::MultiGzDecoder::new(file)),
        Form::Xz => Box::new(liblzma::read::XzDecoder::new(file)),
        Form::Zst => Box::new(zstd::Decoder::new(file).unwrap()),
    };
    reader.read_to_end(&mut text).unwrap();
    text
}
