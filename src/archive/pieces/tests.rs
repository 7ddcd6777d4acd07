use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::*;

fn spliced(form: Form, texts: &[Vec<u8>]) -> Vec<u8> {
    let mut file = form.header().to_vec();
    let mut pieces = Vec::new();
    for text in texts {
        let piece = form.compress(text).unwrap();
        file.extend(piece.bytes);
        pieces.push(piece.sizes);
    }
    file.extend(form.trailer(&pieces));
    file
}

fn unpacked(form: Form, file: &[u8]) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    match form {
        Form::Plain => text.extend(file),
        Form::Gz => drop(flate2::read::MultiGzDecoder::new(file).read_to_end(&mut text)?),
        // Of one stream.
        Form::Xz => drop(liblzma::read::XzDecoder::new(file).read_to_end(&mut text)?),
        Form::Zst => text = zstd::decode_all(file)?,
    }
    Ok(text)
}

/// Stanzas, noise, and what is nearly nothing or one byte over and over.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let stanza = "Package: [a-z]{2,20}\nVersion: [0-9.]{1,9}\nSHA256: [0-9a-f]{64}\n\n";
    prop_oneof![
        vec(stanza, 1..40).prop_map(|stanzas| stanzas.concat().into_bytes()),
        vec(any::<u8>(), 1..2000),
        vec(any::<u8>(), 1..6),
        (any::<u8>(), 1..200_000_usize).prop_map(|(byte, length)| [byte].repeat(length)),
    ]
}

fn texts() -> impl Strategy<Value = Vec<Vec<u8>>> {
    vec(text(), 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn pieces_read_as_one_text(texts in texts()) {
        for form in Form::ALL {
            prop_assert!(unpacked(form, &spliced(form, &texts)).unwrap() == texts.concat());
        }
    }

    #[test]
    fn a_damaged_bit_of_xz_is_noticed(texts in texts(), at: prop::sample::Index, bit in 0..8_u32) {
        let mut file = spliced(Form::Xz, &texts);
        let at = at.index(file.len());
        file[at] ^= 1_u8 << bit;
        prop_assert!(unpacked(Form::Xz, &file).is_err());
    }
}

/// Files in a directory of their own, and the texts that they hold.
fn files(directory: &Path, form: Form) -> Vec<(PathBuf, Vec<Vec<u8>>)> {
    let mut runner = TestRunner::deterministic();
    let mut lists = vec![Vec::new()];
    lists.extend((0..24).map(|_| texts().new_tree(&mut runner).unwrap().current()));
    let name = |number| directory.join(format!("{number}{}", form.extension()));
    let files = lists.into_iter().enumerate();
    files
        .map(|(number, texts)| {
            fs::write(name(number), spliced(form, &texts)).unwrap();
            (name(number), texts)
        })
        .collect()
}

fn run(program: &str, options: &[&str], files: &[(PathBuf, Vec<Vec<u8>>)]) -> Output {
    let paths = files.iter().map(|(path, _)| path);
    let mut command = Command::new(program);
    command.env("LC_ALL", "C").args(options).args(paths);
    command.output().unwrap()
}

#[test]
fn pieces_are_one_text_to_the_programs_of_their_forms() {
    for (form, program) in [(Form::Gz, "gzip"), (Form::Xz, "xz"), (Form::Zst, "zstd")] {
        let directory = tempfile::tempdir().unwrap();
        let files = files(directory.path(), form);
        let output = run(program, &["--decompress", "--quiet"], &files);
        assert!(output.status.success(), "{program}: {output:?}");
        for (path, texts) in files {
            assert!(fs::read(path.with_extension("")).unwrap() == texts.concat());
        }
    }
}

#[test]
fn xz_sees_one_stream_with_a_block_for_each_piece() {
    let directory = tempfile::tempdir().unwrap();
    let files = files(directory.path(), Form::Xz);
    let output = run("xz", &["--robot", "--list"], &files);
    let listed: Vec<String> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .filter_map(|line| line.strip_prefix("file\t"))
        .map(|line| line.split('\t').take(2).collect::<Vec<&str>>().join(" "))
        .collect();
    let expected: Vec<String> = files
        .iter()
        .map(|(_, texts)| format!("1 {}", texts.len()))
        .collect();
    assert_eq!(listed, expected);
}

#[test]
fn xz_notices_a_damaged_byte() {
    let directory = tempfile::tempdir().unwrap();
    let files = files(directory.path(), Form::Xz);
    for (number, (path, _)) in files.iter().enumerate() {
        let mut bytes = fs::read(path).unwrap();
        let at = bytes.len() * number / files.len();
        bytes[at] ^= 0x10;
        fs::write(path, bytes).unwrap();
    }
    let output = run("xz", &["--test"], &files);
    let faults = String::from_utf8(output.stderr).unwrap();
    for (path, _) in files {
        let path = path.display();
        assert!(
            faults.contains(&format!("xz: {path}: ")),
            "{path}\n{faults}"
        );
    }
}

#[test]
fn a_file_without_pieces_is_what_the_library_makes_of_nothing() {
    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 6);
    xz.write_all(b"").unwrap();
    assert_eq!(spliced(Form::Xz, &[]), xz.finish().unwrap());
    assert_eq!(spliced(Form::Plain, &[]), b"");
    for form in Form::ALL {
        assert_eq!(unpacked(form, &spliced(form, &[])).unwrap(), b"");
    }
}
