//! Program name and arguments → one function of `cli`.
use std::process::ExitCode;

fn main() -> ExitCode {
    backends::helper_main(std::env::args_os().skip(1));
    mini_buildd::cli::main(std::env::args_os())
}
