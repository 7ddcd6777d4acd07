//! Program name and arguments → one function of `cli`.
fn main() {
    sandbox::helper_main(std::env::args_os().skip(1));
}
