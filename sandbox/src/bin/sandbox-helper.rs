//! The helper as a program of its own, for the tests of this crate and of `backends`.
fn main() {
    sandbox::helper_main(std::env::args_os().skip(1));
    eprintln!("usage: sandbox-helper sandbox-helper …  (started by the sandbox library)");
    std::process::exit(2);
}
