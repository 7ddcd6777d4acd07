//! The program under test.
use std::path::PathBuf;

/// The copy beside this test program, for users who can't read what cargo built; else what cargo built.
pub(crate) fn program() -> PathBuf {
    let own = std::env::current_exe().expect("the test program knows its path");
    let beside = own.with_file_name("mini-buildd");
    if beside.exists() {
        return beside;
    }
    env!("CARGO_BIN_EXE_mini-buildd").into()
}
